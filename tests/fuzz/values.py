"""What goes into C structures: attributes, templates and mechanism parameters, likely and not."""

from __future__ import annotations

import csv
from functools import cache
from typing import Any

from abi.client import NULL, ROOT, ffi
from abi.samples import certificate
from fuzz.choices import Choices

from pypkcs11.core.attributes import Kind, rules
from pypkcs11.mechanisms.parameters import CcmMessage, GcmMessage
from pypkcs11.mechanisms.registry import Mechanism, ParameterClass
from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.standard import constants as C  # noqa: N812

#: Octets behind every pointer, so that a length that is not too long is never one that lies.
ROOM = 4096
LENGTHS = (16, 0, 1, 8, 12, 15, 17, 20, 24, 32, 33, 64, 128, 256, 1000, ROOM)
NUMBERS = (*LENGTHS, 2, 3, 96, 112, 192, 2**32 - 1, 2**32, 2**63, 2**64 - 1)


def constants(prefix: str) -> tuple[int, ...]:
    """All constants with a prefix."""
    return tuple(value for name, value in vars(C).items() if name.startswith(prefix))


#: Constants by the C type of what holds them.
BY_TYPE = {
    "CK_MECHANISM_TYPE": (*constants("CKM_SHA"), C.CKM_MD5, *constants("CKM_AES")),
    "CK_RSA_PKCS_MGF_TYPE": constants("CKG_MGF"),
    "CK_RSA_PKCS_OAEP_SOURCE_TYPE": (C.CKZ_DATA_SPECIFIED, 0, 2),
    "CK_EC_KDF_TYPE": constants("CKD_"),
    "CK_X9_42_DH_KDF_TYPE": constants("CKD_"),
    "CK_KEY_TYPE": constants("CKK_"),
    "CK_OBJECT_CLASS": constants("CKO_"),
    "CK_GENERATOR_FUNCTION": constants("CKG_"),
    "CK_PRF_DATA_TYPE": constants("CK_SP800_108_"),
    "CK_PKCS5_PBKD2_PSEUDO_RANDOM_FUNCTION_TYPE": constants("CKP_PKCS5"),
    "CK_PKCS5_PBKDF2_SALT_SOURCE_TYPE": constants("CKZ_SALT"),
    "CK_HEDGE_TYPE": constants("CKH_"),
}

ATTRIBUTES = constants("CKA_")
TEMPLATES = frozenset((C.CKA_WRAP_TEMPLATE, C.CKA_UNWRAP_TEMPLATE, C.CKA_DERIVE_TEMPLATE))
CURVES = tuple(
    bytes.fromhex(text)
    for text in (
        "06082a8648ce3d030107",
        "06052b81040022",
        "06052b8104000a",
        "06032b6570",
        "06032b656e",
        "06032b6571",
        "130a63757276653235353139",
        "06032b",
    )
)

#: Values that make sense, of attributes that are more than a flag.
LIKELY: dict[int, tuple[Any, ...]] = {
    C.CKA_CLASS: constants("CKO_"),
    C.CKA_KEY_TYPE: constants("CKK_"),
    C.CKA_CERTIFICATE_TYPE: (C.CKC_X_509, C.CKC_WTLS, C.CKC_X_509_ATTR_CERT, 99),
    C.CKA_VALUE_LEN: (16, 24, 32, 0, 1, 64, 2**40),
    C.CKA_MODULUS_BITS: (1024, 0, 511, 16385, 2**33),
    C.CKA_PRIME_BITS: (0, 7, 2**33),
    C.CKA_SUBPRIME_BITS: (0, 160, 256, 2**33),
    C.CKA_EC_PARAMS: CURVES,
    C.CKA_PUBLIC_EXPONENT: (b"\1\0\1", b"\3", b"\2", b"", b"\0"),
    C.CKA_VALUE: (bytes(range(16)), bytes(range(32)), b"", b"\1", bytes(24), certificate()),
    C.CKA_ID: (b"a", b"b", b""),
    C.CKA_LABEL: (b"a", b"b", b"\xff"),
    C.CKA_PARAMETER_SET: (1, 2, 3, 0, 2**40),
    C.CKA_ALLOWED_MECHANISMS: ((C.CKM_AES_CBC,), (), (C.CKM_AES_GCM, C.CKM_SHA256_HMAC)),
    C.CKA_START_DATE: (b"20260101", b"", b"2026", b"20261399"),
}


class Values:
    """Makes C values, and keeps what they point to for as long as it lives itself."""

    def __init__(self, choices: Choices, handles: list[int]) -> None:
        self.choices = choices
        self.handles = handles
        self._kept: list[Any] = []

    def keep(self, made: Any) -> Any:
        """Let something live as long as this."""
        self._kept.append(made)
        return made

    # -- octets ----------------------------------------------------------------------------------

    def room(self, content: bytes = b"") -> Any:
        """A buffer of :data:`ROOM` octets, and 16 more that nobody may touch."""
        buffer = self.keep(ffi.new("CK_BYTE[]", b"\xa5" * (ROOM + 16)))
        if content:
            ffi.memmove(buffer, content, min(len(content), ROOM))
        return buffer

    def some(self, known: list[bytes]) -> bytes:
        """Octets of a likely length, or some that the module once gave."""
        if known and self.choices.below(2):
            found = self.choices.pick(known)
            if self.choices.one_in(4) and found:
                at = self.choices.below(len(found))
                found = found[:at] + bytes([found[at] ^ 1]) + found[at + 1 :]
            return found[:ROOM]
        return self.choices.octets(self.choices.pick(LENGTHS))

    # -- templates -------------------------------------------------------------------------------

    def template(self, given: dict[int, Any], depth: int = 1) -> tuple[Any, int]:
        """A template of what is given, less some and more some."""
        choices = self.choices
        wanted = {type: value for type, value in given.items() if not choices.one_in(24)}
        while choices.one_in(8) and len(wanted) < 24:
            type = choices.pick(ATTRIBUTES)
            wanted[type] = self.value(type, depth)
        if choices.one_in(32):
            return NULL, choices.pick((0, 1, 3))
        array = self.keep(ffi.new("CK_ATTRIBUTE[]", len(wanted) or 1))
        for attribute, (type, value) in zip(array, wanted.items(), strict=False):
            attribute.type = type
            self._set(attribute, value, depth)
        return array, len(wanted)

    def _set(self, attribute: Any, value: Any, depth: int) -> None:
        if isinstance(value, dict):
            inner, count = self.template(value, depth - 1)
            attribute.pValue, attribute.ulValueLen = inner, count * ffi.sizeof("CK_ATTRIBUTE")
            return
        data = value if isinstance(value, bytes) else _c_value(value)
        attribute.pValue = self.room(data)
        attribute.ulValueLen = len(data)
        if self.choices.one_in(24):
            attribute.ulValueLen = self.choices.pick(LENGTHS)
        elif self.choices.one_in(24):
            attribute.pValue = NULL

    def value(self, type: int, depth: int) -> Any:
        """A value for an attribute."""
        choices = self.choices
        if type in LIKELY and not choices.one_in(8):
            return choices.pick(LIKELY[type])
        if type in TEMPLATES and depth:
            return {C.CKA_ENCRYPT: True}
        kind = _kinds().get(type)
        if kind is Kind.BOOL:
            return bool(choices.below(2))
        if kind is Kind.ULONG:
            return choices.pick(NUMBERS)
        return self.some([])

    # -- mechanisms ------------------------------------------------------------------------------

    def mechanism(self, function: str) -> tuple[Any, Mechanism | None]:
        """A CK_MECHANISM, most often one that does what is wanted of it."""
        choices = self.choices
        rows = list(mechanisms().values())
        fit = [row for row in rows if getattr(row, function, None) is not None]
        row: Mechanism | None = choices.pick(fit or rows)
        if choices.one_in(12):
            row = choices.pick(rows)
        type = row.type if row is not None else 0
        if choices.one_in(24):
            type, row = choices.pick(constants("CKM_")), None
        made = self.keep(ffi.new("CK_MECHANISM *"))
        made.mechanism = type
        message = function in FIELDS_OF_MESSAGES
        made.pParameter, made.ulParameterLen = self.parameter(row, message=message)
        return made, row

    def message(self) -> tuple[Any, int]:
        """What comes with a message."""
        rows = [row for row in mechanisms().values() if row.message_parameter is not None]
        return self.parameter(self.choices.pick(rows), message=True)

    def parameter(self, row: Mechanism | None, message: bool = False) -> tuple[Any, int]:
        """A parameter: the structure that the mechanism takes, octets, or nothing.

        :param message: whether the one that comes with messages is wanted.
        """
        choices = self.choices
        name = ""
        if row is not None:
            name = _structure_of(row.message_parameter if message else row.parameter)
            if not message and row.message_parameter in WRAPS and choices.one_in(4):
                name = WRAPS[row.message_parameter]
        if choices.one_in(16):
            # Not what the mechanism takes: what would be read as pointers there has to be NULL.
            return self.keep(ffi.new("CK_BYTE[]", ROOM)), choices.pick((*LENGTHS, 40, 48, 56, 72))
        if not name:
            return NULL, choices.pick((0, 0, 0, 16)) if choices.one_in(8) else 0
        if name == "octets":
            return self.room(choices.octets(16)), choices.pick(LENGTHS)
        if name not in _structures():
            number = self.keep(ffi.new("CK_ULONG *", choices.pick(LENGTHS)))
            return number, ffi.sizeof("CK_ULONG")
        made = self.structure(name)
        size = ffi.sizeof(name)
        # A size that no structure has: the pointers of another would be somewhere else.
        return made, choices.pick((size, 0, size - 1, size + 4)) if choices.one_in(16) else size

    def structure(self, name: str, depth: int = 2) -> Any:
        """A structure with something in each field, and some room behind it."""
        memory = self.keep(ffi.new("CK_BYTE[]", ffi.sizeof(name) + 64))
        made = ffi.cast(f"{name} *", memory)
        for field, type in _structures()[name]:
            self._fill(made, field, type, depth)
        return made

    def _fill(self, made: Any, field: str, type: str, depth: int) -> None:
        choices = self.choices
        pointed = _pointed_at(type)
        if type in BY_TYPE:
            setattr(made, field, choices.pick(BY_TYPE[type]))
        elif type == "CK_OBJECT_HANDLE":
            setattr(made, field, choices.pick(self.handles or [0]))
        elif type == "CK_BBOOL":
            setattr(made, field, choices.pick((1, 0, 2)))
        elif field in _COUNTS:
            setattr(made, field, choices.below(4))
        elif field == "ulValueLen":
            setattr(made, field, choices.pick(LENGTHS))
        elif type in ("CK_ULONG", "CK_EXTRACT_PARAMS", "CK_MAC_GENERAL_PARAMS"):
            number = choices.pick(NUMBERS)
            # More than there is room for, but not so much that it is plainly absurd, would lie.
            setattr(made, field, number if number <= ROOM or number >= 2**32 else 8)
        elif pointed in _structures():
            if depth and not choices.one_in(16):
                setattr(made, field, ffi.cast(f"{pointed} *", self._array(pointed, depth)))
        elif pointed == "CK_ULONG":
            setattr(made, field, self.keep(ffi.new("CK_ULONG *", choices.pick(LENGTHS))))
        elif pointed == "CK_OBJECT_HANDLE":
            setattr(made, field, self.keep(ffi.new("CK_OBJECT_HANDLE *")))
        elif pointed is not None:
            if not choices.one_in(16):
                pointer = ffi.typeof(getattr(made, field))
                setattr(made, field, ffi.cast(pointer, self.room(choices.octets(8))))
        elif "[" in type:
            ffi.buffer(getattr(made, field))[:] = choices.octets(ffi.sizeof(getattr(made, field)))
        elif type in _structures():
            for inner, inner_type in _structures()[type]:
                self._fill(getattr(made, field), inner, inner_type, depth)

    def _array(self, name: str, depth: int) -> Any:
        """Three structures in a row: no count says more."""
        size = ffi.sizeof(name)
        memory = self.keep(ffi.new("CK_BYTE[]", 3 * size + 64))
        for i in range(3):
            made = ffi.cast(f"{name} *", memory + i * size)
            for field, type in _structures()[name]:
                self._fill(made, field, type, depth - 1)
        return memory


#: What C_WrapKey takes of mechanisms for messages, beside their ordinary parameter.
WRAPS: dict[ParameterClass | None, str] = {
    GcmMessage: "CK_GCM_WRAP_PARAMS",
    CcmMessage: "CK_CCM_WRAP_PARAMS",
}

#: Fields of a row whose functions take a mechanism with a message's parameter.
FIELDS_OF_MESSAGES = frozenset(
    ("message_encrypt", "message_decrypt", "wrap_authenticated", "unwrap_authenticated")
)

#: Fields that count structures: what is behind the pointer are three.
_COUNTS = frozenset(("ulNumberOfDataParams", "ulAdditionalDerivedKeys", "ulAttributeCount"))


def _c_value(value: Any) -> bytes:
    if isinstance(value, bool):
        return bytes([value])
    if isinstance(value, int):
        return bytes(ffi.buffer(ffi.new("CK_ULONG *", value)))
    return b"".join(map(_c_value, value))


@cache
def _kinds() -> dict[int, Kind]:
    return {
        row.type: row.kind
        for object_class in constants("CKO_")
        for key_type in (None, *constants("CKK_"))
        for row in _rules(object_class, key_type)
    }


def _rules(object_class: int, subtype: int | None) -> list[Any]:
    try:
        return list(rules(object_class, subtype).values())
    except Exception:  # there are no objects of this kind
        return []


@cache
def _structures() -> dict[str, tuple[tuple[str, str], ...]]:
    """The fields and their types of every mechanism parameter, and of what these point to."""
    found: dict[str, list[tuple[str, str]]] = {}
    with (ROOT / "tables" / "structs.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["struct"], []).append((row["field"], row["type"]))
    return {
        name: tuple(fields)
        for name, fields in found.items()
        if "FUNCTION_LIST" not in name and name not in ("CK_INTERFACE", "CK_C_INITIALIZE_ARGS")
    }


def _pointed_at(type: str) -> str | None:
    if type.endswith("_PTR"):
        return type.removesuffix("_PTR")
    if type.endswith("*"):
        return type.rstrip("* ")
    return None


def _structure_of(kind: ParameterClass | None) -> str:
    """The C structure that a parameter is read from, or "octets", or nothing."""
    if kind is None:
        return ""
    name = (kind.__doc__ or "").partition(":")[0].removeprefix("A ")
    return name if name.startswith("CK_") else "octets"
