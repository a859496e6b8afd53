"""What a row of the attribute table says."""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import NamedTuple

from pypkcs11.standard.values import Value


class Kind(Enum):
    """How an attribute's value is written in C, and which Python type it has here.

    One attribute has one kind in all classes. CKA_VALUE, a big integer in some tables of the
    standard and a byte array in others, is ``BYTES``: both are ``bytes`` here.
    """

    BOOL = "CK_BBOOL"
    ULONG = "CK_ULONG"
    BYTES = "byte array"
    STRING = "RFC 2279 string"
    BIGINT = "big integer"
    DATE = "CK_DATE"
    ULONG_ARRAY = "CK_ULONG array"
    TEMPLATE = "CK_ATTRIBUTE array"


# The footnotes of PKCS #11 v3.2, table 13, as bits: footnote n is bit n.
MUST_ON_CREATE = 1 << 1
FORBIDDEN_ON_CREATE = 1 << 2
MUST_ON_GENERATE = 1 << 3
FORBIDDEN_ON_GENERATE = 1 << 4
MUST_ON_UNWRAP = 1 << 5
FORBIDDEN_ON_UNWRAP = 1 << 6
HIDDEN = 1 << 7
MODIFIABLE = 1 << 8
TOKEN_DEFAULT = 1 << 9
ONLY_SO_SETS_TRUE = 1 << 10
STICKY_ONCE_TRUE = 1 << 11
STICKY_ONCE_FALSE = 1 << 12
MADE_BY_MODULE = 1 << 13
# What the standard says in prose, beside its footnotes.
CHANGEABLE_ON_COPY = 1 << 14
CLEARABLE = 1 << 15
SETTLED = 1 << 16

_PROSE = {"copy": CHANGEABLE_ON_COPY, "clear": CLEARABLE, "settled": SETTLED}


class Attribute(NamedTuple):
    """One attribute of one kind of object.

    There are hundreds, all made at start-up: a named tuple is made in a third of the time that a
    frozen dataclass takes.

    :param type: its CKA_ number.
    :param kind: what its value looks like.
    :param notes: the standard's footnotes, as bits (``MUST_ON_CREATE`` and so on).
    :param default: its value in a new object whose template does not give it; None for an
        attribute that is then absent, or that someone else computes.
    """

    type: int
    kind: Kind
    notes: int = 0
    default: Value | None = None


def row(type: int, kind: Kind, notes: str = "", default: Value | None = None) -> Attribute:
    """Make a row, with the footnotes' numbers as the standard prints them.

    Beside numbers, ``copy`` marks what C_CopyObject may change and C_SetAttributeValue may not
    (section 4.1.3), ``clear`` what C_SetAttributeValue may only make empty, and ``settled`` what
    follows from the key, so that no other value goes with it once there is one.
    """
    return Attribute(type, kind, _bits(notes), default)


@cache
def _bits(notes: str) -> int:
    bits = 0
    for note in notes.split():
        bits |= _PROSE.get(note) or 1 << int(note)
    return bits
