"""include/pkcs11.h says what the standard's tables say, to C and to C++."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from abi.compiling import ROOT, compile_c, compile_cpp


def rows(table: str) -> list[dict[str, str]]:
    with (ROOT / "tables" / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def checks() -> list[str]:
    """C conditions: every constant, type size, field and place in a list."""
    conditions = [f"{row['name']} == {row['value']}" for row in rows("constants")]
    conditions += [f"sizeof({row['name']}) == {row['size']}" for row in rows("types")]
    for row in rows("structs"):
        struct, field = row["struct"], row["field"]
        conditions.append(f"sizeof({struct}) == {row['struct_size']}")
        conditions.append(f"offsetof({struct}, {field}) == {row['offset']}")
        conditions.append(f"sizeof((({struct} *)0)->{field}) == {row['field_size']}")
    lists = {
        "CK_FUNCTION_LIST": "2_40",
        "CK_FUNCTION_LIST_3_0": "3_0",
        "CK_FUNCTION_LIST_3_2": "3_2",
    }
    for struct, version in lists.items():
        members = [row for row in rows("functions") if row[f"slot_{version}"]]
        conditions.append(f"sizeof({struct}) == {8 * (len(members) + 1)}")
        conditions += [
            f"offsetof({struct}, {row['name']}) == {row['offset']}"
            f" && {row['offset']} == 8 * {row[f'slot_{version}']}"
            for row in members
        ]
    return conditions


def program() -> str:
    lines = [
        '#include "pkcs11.h"',
        "#include <stddef.h>",
        "#include <stdio.h>",
        "int main(void)",
        "{",
    ]
    lines.append("    int wrong = 0;")
    for condition in checks():
        lines.append(f'    if (!({condition})) {{ puts("{condition}"); wrong = 1; }}')
    # A pointer type and a member exist for each function, and fit its prototype.
    for row in rows("functions"):
        name = row["name"]
        lines.append(f"    (void)sizeof((CK_{name})0 == ((CK_FUNCTION_LIST_3_2 *)0)->{name});")
        lines.append(f"    (void)sizeof((CK_{name})0 == &{name});")
    return "\n".join([*lines, "    return wrong;", "}", ""])


def test_tables_have_the_whole_standard() -> None:
    assert len(rows("constants")) == 1052
    assert len(rows("functions")) == 104
    assert len({row["struct"] for row in rows("structs")}) == 97


@pytest.mark.parametrize(
    ("compiler", "dialect"),
    [(compile_c, "-std=c99"), (compile_c, "-std=gnu17"), (compile_cpp, "-std=c++98")],
)
def test_values_sizes_and_offsets(
    tmp_path: Path, compiler: Callable[..., Path], dialect: str
) -> None:
    source = tmp_path / "header.c"
    source.write_text(program())
    # Comparing an unsigned value with 0 and zero pointers is what the program is for.
    binary = compiler(source, tmp_path / "header", dialect, "-Wno-type-limits", "-Wno-address")
    done = subprocess.run([binary], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("compiler", [compile_c, compile_cpp])
def test_platform_macros_may_be_given(tmp_path: Path, compiler: Callable[..., Path]) -> None:
    source = tmp_path / "macros.c"
    source.write_text(
        "#define CK_PTR *\n"
        "#define NULL_PTR 0\n"
        "#define CK_DECLARE_FUNCTION(type, name) type name\n"
        "#define CK_DECLARE_FUNCTION_POINTER(type, name) type (* name)\n"
        "#define CK_CALLBACK_FUNCTION(type, name) type (* name)\n"
        "#define CK_DISABLE_TRUE_FALSE\n"
        '#include "pkcs11.h"\n'
        '#include "pkcs11.h"\n'
        "#ifdef TRUE\n#error TRUE is defined\n#endif\n"
        "int main(void) { CK_BYTE_PTR p = NULL_PTR; return p != 0; }\n"
    )
    assert compiler(source, tmp_path / "macros").is_file()
