"""src/embed/generated/*: exported functions, function lists, entry table, version script."""

from __future__ import annotations

from generator.clang import NOTICE, arguments, comment, parameters
from generator.tables import FunctionList, Tables

# Written by hand in src/embed/exports.c: they change what is ready.
BY_HAND = ("C_Initialize", "C_Finalize")


def exports(tables: Tables) -> str:
    """Return the functions that check whether the library is ready and then call Python."""
    lines = [comment(NOTICE)]
    for function in tables.entries:
        if function.name in BY_HAND:
            continue
        lines += [
            "",
            f"PYPKCS11_EXPORT CK_RV {function.name}({parameters(function)})",
            "{",
            "    CK_RV rv = CKR_CRYPTOKI_NOT_INITIALIZED;",
            "    int cancel_state;",
            "",
            "    if (pypkcs11_enter(&cancel_state)) {",
            f"        rv = py_{function.name}({arguments(function)});",
            "        pypkcs11_leave(cancel_state);",
            "    }",
            "    return rv;",
            "}",
        ]
    return "\n".join(lines) + "\n"


def lists(tables: Tables) -> str:
    """Return the three function lists, filled."""
    return "\n".join([comment(NOTICE), *(_list(fl) for fl in tables.lists)])


def _list(function_list: FunctionList) -> str:
    major, minor = function_list.version
    name = function_list.name.removeprefix("CK_").lower()
    lines = [
        "",
        f"static const CK_{name.upper()} {name} = {{",
        f"    .version = {{{major}, {minor}}},",
    ]
    lines += [f"    .{f.name} = {f.name}," for f in function_list.functions]
    return "\n".join([*lines, "};"]) + "\n"


def entry_prototypes(tables: Tables) -> str:
    """Return the prototypes of the functions that CFFI makes."""
    lines = [comment(NOTICE), "#ifndef PYPKCS11_ENTRIES_H", "#define PYPKCS11_ENTRIES_H", ""]
    lines += ['#include "pkcs11.h"', ""]
    lines += [f"CK_RV py_{f.name}({parameters(f)});" for f in tables.entries]
    return "\n".join([*lines, "", "#endif"]) + "\n"


def entry_table(tables: Tables) -> str:
    """Return the rows by which the library finds an entry that Python has not defined."""
    return "\n".join([comment(NOTICE), *(f"ENTRY(py_{f.name})" for f in tables.entries)]) + "\n"


def version_script(tables: Tables) -> str:
    """Return the linker's list of what the library exports: the standard, and nothing else."""
    lines = [comment(NOTICE), "{", "    global:"]
    lines += [f"        {function.name};" for function in tables.functions]
    return "\n".join([*lines, "    local:", "        *;", "};"]) + "\n"
