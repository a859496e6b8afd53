"""The little DER that key attributes need: key infos, curve names and points."""

from __future__ import annotations

from functools import lru_cache

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
PRINTABLE_STRING = 0x13
SEQUENCE = 0x30


def encode(tag: int, content: bytes) -> bytes:
    """One element: tag, definite length, content."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def integer(value: int) -> bytes:
    """A non-negative INTEGER."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def object_identifier(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER written as ``1.3.101.112``."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        content.extend(reversed(groups))
    return encode(OBJECT_IDENTIFIER, bytes(content))


def public_key_info(algorithm: bytes, key: bytes) -> bytes:
    """A SubjectPublicKeyInfo (RFC 5280, section 4.1) of an algorithm's encoded fields and a key."""
    return _before_key(algorithm, len(key)) + key


@lru_cache(maxsize=64)
def _before_key(algorithm: bytes, length: int) -> bytes:
    """What stands in a SubjectPublicKeyInfo before a key of so many octets."""
    zeros = bytes(1 + length)
    info = encode(SEQUENCE, encode(SEQUENCE, algorithm) + encode(BIT_STRING, zeros))
    return info[: len(info) - length]


def content(tag: int, data: bytes) -> bytes | None:
    """What the one element of ``data`` holds, or None if ``data`` is not exactly one such element.

    The length must be in DER's one form; the content is not looked at.
    """
    if len(data) < 2 or data[0] != tag:
        return None
    start, length = 2, data[1]
    if length >= 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    inner = data[start:]
    return inner if len(inner) == length and encode(tag, inner) == data else None


def elements(data: bytes) -> list[tuple[int, bytes]]:
    """The elements that stand one after the other, as tags and contents.

    Longer forms of lengths than need be are understood, which BER allows; indefinite ones are not.

    :raises ValueError: for what is no sequence of such elements.
    """
    found = []
    while data:
        tag, inner, data = first(data)
        found.append((tag, inner))
    return found


def first(data: bytes) -> tuple[int, bytes, bytes]:
    """The first element's tag and content, and what stands behind it.

    :raises ValueError: if there is none.
    """
    if len(data) < 2:
        raise ValueError("no element")
    start, length = 2, data[1]
    if length >= 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    end = start + length
    if data[1] == 0x80 or end > len(data):
        raise ValueError("no length, or more than there is")
    return data[0], data[start:end], data[end:]


def split(data: bytes) -> tuple[bytes, bytes]:
    """The first element as it stands, and what stands behind it.

    :raises ValueError: if there is none.
    """
    rest = first(data)[2]
    end = len(data) - len(rest)
    return data[:end], rest
