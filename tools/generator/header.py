"""include/pkcs11.h: the whole of PKCS #11 v3.2 in one file that needs no other."""

from __future__ import annotations

from collections.abc import Iterable

from generator.clang import NOTICE, callback, comment, member, ordered, parameters
from generator.tables import Constant, FunctionList, Tables

HEAD = """\
/* PKCS #11 (Cryptoki) v3.2 for C and C++: every constant, type, structure and function.
 *
 * Include this file and no other. A program that needs its own calling convention may define
 * CK_PTR, CK_DECLARE_FUNCTION, CK_DECLARE_FUNCTION_POINTER, CK_CALLBACK_FUNCTION and NULL_PTR
 * before it does; CK_DISABLE_TRUE_FALSE keeps TRUE and FALSE undefined.
 *
 * {notice}
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef PYPKCS11_PKCS11_H
#define PYPKCS11_PKCS11_H

/* Other copies of the standard's header guard themselves with these names. */
#define _PKCS11_H_ 1
#define _PKCS11T_H_ 1

#ifdef __cplusplus
extern "C" {{
#endif

/* ---- How this platform spells pointers, functions and packing ---- */

#ifndef CK_PTR
#define CK_PTR *
#endif
#ifndef CK_DECLARE_FUNCTION
#define CK_DECLARE_FUNCTION(returnType, name) returnType name
#endif
#ifndef CK_DECLARE_FUNCTION_POINTER
#define CK_DECLARE_FUNCTION_POINTER(returnType, name) returnType(CK_PTR name)
#endif
#ifndef CK_CALLBACK_FUNCTION
#define CK_CALLBACK_FUNCTION(returnType, name) returnType(CK_PTR name)
#endif
#ifndef NULL_PTR
#ifdef __cplusplus
#define NULL_PTR 0
#else
#define NULL_PTR ((void *)0)
#endif
#endif

/* Structures are packed to one byte on Windows and aligned naturally everywhere else. */
#ifdef _WIN32
#pragma pack(push, cryptoki, 1)
#endif
"""

TAIL = """\
#ifdef _WIN32
#pragma pack(pop, cryptoki)
#endif

#ifdef __cplusplus
}
#endif

#endif /* PYPKCS11_PKCS11_H */
"""


def render(tables: Tables) -> str:
    """Return the header's text."""
    parts = [
        HEAD.format(notice=NOTICE),
        *_constants(tables.constants),
        *_types(tables),
        *_structs(tables),
        *_functions(tables),
        TAIL,
    ]
    return "\n".join(parts)


def _section(title: str) -> str:
    return comment(f"---- {title} ----")


def _constants(constants: Iterable[Constant]) -> list[str]:
    groups: dict[str, list[Constant]] = {}
    for constant in constants:
        groups.setdefault(constant.type, []).append(constant)
    parts = []
    for type_name, members in groups.items():
        lines = [_section(f"Constants: {type_name}"), ""]
        width = max(len(c.name) for c in members)
        for constant in members:
            lines += _define(constant, width)
        parts.append("\n".join(lines) + "\n")
    return parts


def _define(constant: Constant, width: int) -> list[str]:
    value = _value(constant)
    notes = [] if constant.since == "2.40" else [f"since {constant.since}"]
    if constant.status:
        notes.append(constant.status)
    line = f"#define {constant.name:{width}} {value}"
    if notes:
        line += "  " + comment(", ".join(notes))
    if constant.name in ("TRUE", "FALSE"):
        guard = f"#if !defined({constant.name}) && !defined(CK_DISABLE_TRUE_FALSE)"
        return [guard, line, "#endif"]
    return [line]


def _value(constant: Constant) -> str:
    if constant.alias_of:
        return constant.alias_of
    if constant.name == "CK_UNAVAILABLE_INFORMATION":
        return "(~0UL)"  # all ones, however wide CK_ULONG is
    if constant.family == "CRYPTOKI_VERSION" or constant.type == "CK_BBOOL":
        return str(constant.value)
    return f"0x{constant.value:08X}UL"


def _types(tables: Tables) -> list[str]:
    scalars = [f"typedef {t.definition} {t.name};" for t in tables.types if t.kind == "scalar"]
    forward = [f"typedef struct {s.name} {s.name};" for s in tables.structs]
    forward += [f"typedef struct {fl.name} {fl.name};" for fl in tables.lists]
    pointers = [
        f"typedef {t.definition.removeprefix('struct ').removesuffix(' *')} CK_PTR {t.name};"
        for t in tables.types
        if t.kind == "pointer"
    ]
    callbacks = [callback(t.definition, t.name) for t in tables.types if t.kind == "callback"]
    return [
        "\n".join([_section(title), "", *lines, ""])
        for title, lines in (
            ("Types: numbers and characters", scalars),
            ("Types: structures, defined below", forward),
            ("Types: pointers", pointers),
            ("Types: functions that the application supplies", callbacks),
        )
    ]


def _structs(tables: Tables) -> list[str]:
    parts = [_section("Structures") + "\n"]
    for struct in ordered(tables):
        lines = [f"struct {struct.name} {{", *(f"    {member(f)}" for f in struct.fields), "};"]
        if struct.since != "2.40":
            lines.insert(0, comment(f"since {struct.since}"))
        parts.append("\n".join(lines) + "\n")
    return parts


def _functions(tables: Tables) -> list[str]:
    prototypes = []
    pointers = []
    since = ""
    for function in tables.functions:
        if function.since != since:
            since = function.since
            prototypes += ["", comment(f"since {since}")] if since != "2.40" else []
        rest = f"({parameters(function)});"
        prototypes.append(f"extern CK_DECLARE_FUNCTION(CK_RV, {function.name}){rest}")
        pointers.append(
            f"typedef CK_DECLARE_FUNCTION_POINTER(CK_RV, CK_{function.name}){rest}",
        )
    return [
        "\n".join([_section("Functions"), "", *prototypes, ""]),
        "\n".join([_section("Functions: pointer types"), "", *pointers, ""]),
        _section("Function lists: a version, then one pointer per function") + "\n",
        *(_list(function_list) for function_list in tables.lists),
    ]


def _list(function_list: FunctionList) -> str:
    lines = [f"struct {function_list.name} {{", "    CK_VERSION version;"]
    lines += [f"    CK_{f.name} {f.name};" for f in function_list.functions]
    return "\n".join([*lines, "};"]) + "\n"
