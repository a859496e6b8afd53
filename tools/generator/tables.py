"""The tables of PKCS #11 v3.2, read from tables/*.csv."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

# Answered by C alone, so that they work before C_Initialize and without starting Python.
ANSWERED_IN_C = ("C_GetFunctionList", "C_GetInterfaceList", "C_GetInterface")


@dataclass(frozen=True, slots=True)
class Constant:
    """One #define: `family` is its prefix (CKA, CKR...), `type` what it is a value of."""

    name: str
    value: int
    family: str
    type: str
    since: str
    status: str
    alias_of: str


@dataclass(frozen=True, slots=True)
class Typedef:
    """A scalar, pointer or callback type; `size` in bytes where CK_ULONG has 64 bits."""

    name: str
    definition: str
    kind: str
    since: str
    size: int


@dataclass(frozen=True, slots=True)
class Field:
    """A member of a struct; `length` is its number of elements, None when it is no array."""

    name: str
    type: str
    length: int | None
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Struct:
    """A structure; sizes and offsets in bytes where CK_ULONG has 64 bits."""

    name: str
    since: str
    size: int
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function."""

    type: str
    name: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function; `slots` gives its place, from 1, in the lists of 2.40, 3.0 and 3.2 or None."""

    name: str
    since: str
    parameters: tuple[Parameter, ...]
    slots: tuple[int | None, int | None, int | None]
    offset: int


@dataclass(frozen=True, slots=True)
class FunctionList:
    """One of the standard's structures of function pointers, with the version it reports."""

    name: str
    version: tuple[int, int]
    functions: tuple[Function, ...]


@dataclass(frozen=True, slots=True)
class Tables:
    """All four tables, in the order of their rows."""

    constants: tuple[Constant, ...]
    types: tuple[Typedef, ...]
    structs: tuple[Struct, ...]
    functions: tuple[Function, ...]

    @classmethod
    def read(cls, directory: Path) -> Tables:
        """Read the tables of `directory`; raise ValueError for a row that breaks their rules."""
        return cls(
            tuple(_constant(row) for row in _rows(directory / "constants.csv")),
            tuple(_typedef(row) for row in _rows(directory / "types.csv")),
            tuple(_structs(_rows(directory / "structs.csv"))),
            tuple(_function(row) for row in _rows(directory / "functions.csv")),
        )

    @property
    def lists(self) -> tuple[FunctionList, ...]:
        """The function lists, the oldest first."""
        names = (
            ("CK_FUNCTION_LIST", (2, 40)),
            ("CK_FUNCTION_LIST_3_0", (3, 0)),
            ("CK_FUNCTION_LIST_3_2", (3, 2)),
        )
        return tuple(
            FunctionList(name, version, _in_list(self.functions, place))
            for place, (name, version) in enumerate(names)
        )

    @property
    def entries(self) -> tuple[Function, ...]:
        """The functions that Python answers."""
        return tuple(f for f in self.functions if f.name not in ANSWERED_IN_C)


def _in_list(functions: tuple[Function, ...], place: int) -> tuple[Function, ...]:
    members = [f for f in functions if f.slots[place] is not None]
    if [f.slots[place] for f in members] != list(range(1, len(members) + 1)):
        raise ValueError(f"functions.csv: list {place} is not in the order of its slots")
    return tuple(members)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _constant(row: dict[str, str]) -> Constant:
    return Constant(
        row["name"],
        int(row["value"], 16),
        row["family"],
        row["type"],
        row["since"],
        row["status"],
        row["alias_of"],
    )


def _typedef(row: dict[str, str]) -> Typedef:
    return Typedef(row["name"], row["definition"], row["kind"], row["since"], int(row["size"]))


def _structs(rows: list[dict[str, str]]) -> list[Struct]:
    structs = []
    for name, group in groupby(rows, key=lambda row: row["struct"]):
        members = list(group)
        structs.append(
            Struct(
                name,
                members[0]["since"],
                int(members[0]["struct_size"]),
                tuple(_field(row) for row in members),
            )
        )
    return structs


def _field(row: dict[str, str]) -> Field:
    type_name, _, array = row["type"].partition(" [")
    length = int(array.rstrip("]")) if array else None
    return Field(row["field"], type_name, length, int(row["offset"]), int(row["field_size"]))


def _function(row: dict[str, str]) -> Function:
    parameters = []
    for parameter in row["parameters"].split(";"):
        type_name, name = parameter.split(" ")
        parameters.append(Parameter(type_name, name))
    slots = [int(row[c]) if row[c] else None for c in ("slot_2_40", "slot_3_0", "slot_3_2")]
    return Function(
        row["name"],
        row["since"],
        tuple(parameters),
        (slots[0], slots[1], slots[2]),
        int(row["offset"]),
    )
