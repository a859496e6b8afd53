"""A PKCS #11 application for tests: a module loaded through cffi, its calls, and small helpers.

It knows nothing of the project but the public header, so it works with any module. Methods named
``C_*`` are the module's functions as they are: they take C values and return the CK_RV. The other
methods raise :class:`CallError` for anything but CKR_OK.

    p11 = Client(path)
    assert p11.C_Initialize(NULL) == CKR_OK
    session = p11.open(slot)
    key = p11.create(session, {CKA_CLASS: CKO_SECRET_KEY, CKA_VALUE: b"..."})
"""

from __future__ import annotations

import csv
import functools
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import cffi

from pypkcs11.standard import constants
from pypkcs11.standard.constants import (
    CK_UNAVAILABLE_INFORMATION,
    CKF_RW_SESSION,
    CKF_SERIAL_SESSION,
    CKR_OK,
)

ROOT = Path(__file__).parents[2]
_RETURN_CODES = {n: name for name, n in vars(constants).items() if name.startswith("CKR_")}


class Function(NamedTuple):
    """A function of the standard. ``parameters`` are (type, name) in order."""

    name: str
    since: str
    parameters: tuple[tuple[str, str], ...]


def functions() -> list[Function]:
    """All functions of the standard, as tables/functions.csv has them."""
    with (ROOT / "tables" / "functions.csv").open(newline="") as file:
        return [
            Function(
                row["name"],
                row["since"],
                tuple(tuple(p.rsplit(" ", 1)) for p in row["parameters"].split(";")),
            )
            for row in csv.DictReader(file)
        ]


@functools.cache
def make_ffi() -> cffi.FFI:
    """The types and prototypes of include/pkcs11.h, as the C preprocessor gives them."""
    command = ["cc", "-E", "-P", str(ROOT / "include" / "pkcs11.h")]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    ffi = cffi.FFI()
    ffi.cdef(text)
    return ffi


ffi = make_ffi()
NULL = ffi.NULL


class RV(int):
    """A CK_RV that shows its name when a test fails."""

    def __repr__(self) -> str:
        return _RETURN_CODES.get(int(self), f"CK_RV {int(self):#x}")

    __str__ = __repr__


class CallError(Exception):
    """A function returned something other than CKR_OK."""

    def __init__(self, function: str, rv: int) -> None:
        super().__init__(f"{function}: {RV(rv)!r}")
        self.function = function
        self.rv = RV(rv)


@contextmanager
def refused(rv: int) -> Iterator[None]:
    """Expect that a call in the block fails with just this CK_RV."""
    try:
        yield
    except CallError as failure:
        assert failure.rv == RV(rv), f"{failure}, expected {RV(rv)!r}"
    else:
        raise AssertionError(f"succeeded, expected {RV(rv)!r}")


_parts: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

#: An array of attributes is a tuple of (type, value).
Value = bool | int | bytes | str | tuple[int, ...] | tuple[tuple[int, Any], ...]


def encode(value: Value) -> bytes:
    """An attribute's value as C has it: CK_BBOOL, CK_ULONG, octets or an array of CK_ULONG."""
    if isinstance(value, bool):
        return bytes([value])
    if isinstance(value, int):
        return bytes(ffi.buffer(ffi.new("CK_ULONG *", value)))
    if isinstance(value, tuple):
        return b"".join(map(encode, value))
    return value.encode() if isinstance(value, str) else bytes(value)


def number(value: bytes) -> int:
    """A CK_ULONG out of an attribute's octets."""
    assert len(value) == ffi.sizeof("CK_ULONG")
    return int(ffi.from_buffer("CK_ULONG *", value)[0])


def octets(data: bytes) -> Any:
    """A CK_BYTE array that holds just ``data``; even an empty one is not NULL."""
    array = ffi.new("CK_BYTE[]", len(data) or 1)
    ffi.memmove(array, data, len(data))
    return array


def template(attributes: Mapping[int, Value]) -> tuple[Any, int]:
    """A CK_ATTRIBUTE array and its length, to be passed on as two arguments."""
    array = ffi.new("CK_ATTRIBUTE[]", len(attributes))
    parts = []
    for attribute, (kind, value) in zip(array, attributes.items(), strict=True):
        if isinstance(value, tuple) and value and isinstance(value[0], tuple):
            part, count = template(dict(value))
            length = count * ffi.sizeof("CK_ATTRIBUTE")
        else:
            data = encode(value)
            part, length = octets(data), len(data)
        attribute.type = kind
        attribute.pValue = part
        attribute.ulValueLen = length
        parts.append(part)
    _parts[array] = parts
    return array, len(attributes)


def mechanism(kind: int, parameter: Any = None) -> Any:
    """A CK_MECHANISM pointer; the parameter is octets or a pointer to a structure, or None."""
    if isinstance(parameter, bytes):
        data, length = octets(parameter), len(parameter)
    elif parameter is None:
        data, length = NULL, 0
    else:
        data, length = parameter, ffi.sizeof(parameter[0])
    made = ffi.new("CK_MECHANISM *", (kind, data, length))
    _parts[made] = data
    return made


def struct(name: str, **fields: Any) -> Any:
    """A structure by name (``CK_GCM_PARAMS``); fields that are octets become pointers to them."""
    made = ffi.new(f"{name} *")
    parts = []
    for field, value in fields.items():
        if isinstance(value, bytes):
            data = octets(value)
            parts.append(data)
            setattr(made, field, data)
        else:
            parts.append(value)
            setattr(made, field, value)
    _parts[made] = parts
    return made


def gcm(iv: bytes, aad: bytes = b"", tag_bits: int = 128) -> Any:
    """CK_GCM_PARAMS."""
    return struct(
        "CK_GCM_PARAMS",
        pIv=iv,
        ulIvLen=len(iv),
        ulIvBits=len(iv) * 8,
        pAAD=aad,
        ulAADLen=len(aad),
        ulTagBits=tag_bits,
    )


class Client:
    """A module that has been loaded.

    Functions come from the list of the highest version that the module has, the way applications
    get them. ``functions`` has those that are there, by name.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._library = ffi.dlopen(self.path, ffi.RTLD_NOW | ffi.RTLD_LOCAL)
        self.functions: dict[str, Callable[..., int]] = {}
        self.version = self._read_list()

    def _read_list(self) -> tuple[int, int]:
        function_list: Any = None
        try:
            get = self._library.C_GetInterface
        except AttributeError:
            pointer = ffi.new("CK_FUNCTION_LIST **")
            rv = self._library.C_GetFunctionList(pointer)
            function_list = pointer[0]
        else:
            interface = ffi.new("CK_INTERFACE **")
            rv = get(NULL, NULL, interface, 0)
            if rv == CKR_OK:
                function_list = ffi.cast("CK_FUNCTION_LIST *", interface[0].pFunctionList)
        if rv != CKR_OK:
            raise CallError("C_GetInterface or C_GetFunctionList", rv)
        version = (function_list.version.major, function_list.version.minor)
        kind = {(3, 0): "_3_0", (3, 1): "_3_0", (3, 2): "_3_2"}.get(version, "")
        typed = ffi.cast(f"CK_FUNCTION_LIST{kind} *", function_list)
        for name, _ in ffi.typeof(typed).item.fields:
            if name != "version":
                self.functions[name] = getattr(typed, name)
        return version

    def __getattr__(self, name: str) -> Callable[..., RV]:
        if not name.startswith("C_"):
            raise AttributeError(name)
        function = self.functions[name]

        def call(*arguments: Any) -> RV:
            return RV(function(*arguments))

        setattr(self, name, call)
        return call

    def do(self, name: str, *arguments: Any) -> None:
        """Call a function that has to succeed."""
        rv = getattr(self, name)(*arguments)
        if rv != CKR_OK:
            raise CallError(name, rv)

    def output(self, name: str, *arguments: Any, size: int | None = None) -> bytes:
        """Call a function whose last two arguments are a buffer and its length.

        The length is asked for first, unless ``size`` says how large a buffer to offer. The
        buffer's end is watched: what is written behind it fails the test.
        """
        length = ffi.new("CK_ULONG *", 0)
        if size is None:
            self.do(name, *arguments, NULL, length)
            size = int(length[0])
        length[0] = size
        buffer = ffi.new("CK_BYTE[]", b"\xa5" * (size + 16))
        self.do(name, *arguments, buffer, length)
        assert length[0] <= size, f"{name} says {length[0]} octets, {size} were there"
        assert bytes(ffi.buffer(buffer, size + 16))[size:] == b"\xa5" * 16, f"{name} wrote behind"
        return bytes(ffi.buffer(buffer, length[0]))

    # -- slots, tokens and sessions ------------------------------------------------------------

    def slots(self, present: bool = True) -> list[int]:
        """C_GetSlotList."""
        count = ffi.new("CK_ULONG *")
        self.do("C_GetSlotList", present, NULL, count)
        slots = ffi.new("CK_SLOT_ID[]", max(int(count[0]), 1))
        self.do("C_GetSlotList", present, slots, count)
        return [int(slots[i]) for i in range(count[0])]

    def token_info(self, slot: int) -> Any:
        """C_GetTokenInfo."""
        info = ffi.new("CK_TOKEN_INFO *")
        self.do("C_GetTokenInfo", slot, info)
        return info

    def session_info(self, session: int) -> Any:
        """C_GetSessionInfo."""
        info = ffi.new("CK_SESSION_INFO *")
        self.do("C_GetSessionInfo", session, info)
        return info

    def init_token(self, slot: int, so_pin: bytes, label: str) -> None:
        """C_InitToken. The label is padded as the standard wants it."""
        padded = label.encode().ljust(32)
        self.do("C_InitToken", slot, octets(so_pin), len(so_pin), octets(padded))

    def open(self, slot: int, read_write: bool = True) -> int:
        """C_OpenSession."""
        handle = ffi.new("CK_SESSION_HANDLE *")
        flags = CKF_SERIAL_SESSION | (CKF_RW_SESSION if read_write else 0)
        self.do("C_OpenSession", slot, flags, NULL, NULL, handle)
        return int(handle[0])

    def login(self, session: int, user: int, pin: bytes) -> None:
        """C_Login."""
        self.do("C_Login", session, user, octets(pin), len(pin))

    # -- objects -------------------------------------------------------------------------------

    def create(self, session: int, attributes: Mapping[int, Value]) -> int:
        """C_CreateObject."""
        handle = ffi.new("CK_OBJECT_HANDLE *")
        self.do("C_CreateObject", session, *template(attributes), handle)
        return int(handle[0])

    def copy(self, session: int, obj: int, attributes: Mapping[int, Value]) -> int:
        """C_CopyObject."""
        handle = ffi.new("CK_OBJECT_HANDLE *")
        self.do("C_CopyObject", session, obj, *template(attributes), handle)
        return int(handle[0])

    def find(self, session: int, attributes: Mapping[int, Value], step: int = 16) -> list[int]:
        """C_FindObjectsInit to Final; ``step`` handles are asked for at a time."""
        self.do("C_FindObjectsInit", session, *template(attributes))
        found: list[int] = []
        handles, count = ffi.new("CK_OBJECT_HANDLE[]", step), ffi.new("CK_ULONG *")
        try:
            while True:
                self.do("C_FindObjects", session, handles, step, count)
                found += [int(handles[i]) for i in range(count[0])]
                if not count[0]:
                    return found
        finally:
            self.do("C_FindObjectsFinal", session)

    def get(self, session: int, obj: int, attribute: int) -> bytes:
        """One attribute with C_GetAttributeValue, the length asked for first."""
        one = ffi.new("CK_ATTRIBUTE *", (attribute, NULL, 0))
        self.do("C_GetAttributeValue", session, obj, one, 1)
        length = int(one.ulValueLen)
        assert length != CK_UNAVAILABLE_INFORMATION
        value = octets(bytes(length))
        one.pValue = value
        self.do("C_GetAttributeValue", session, obj, one, 1)
        return bytes(ffi.buffer(value, one.ulValueLen))

    def get_template(self, session: int, obj: int, attribute: int) -> tuple[tuple[int, bytes], ...]:
        """An array of attributes, whose lengths come in two steps (section 5.7.5)."""
        one = ffi.new("CK_ATTRIBUTE *", (attribute, NULL, 0))
        self.do("C_GetAttributeValue", session, obj, one, 1)
        count = int(one.ulValueLen) // ffi.sizeof("CK_ATTRIBUTE")
        array = ffi.new("CK_ATTRIBUTE[]", count or 1)
        one.pValue = array
        self.do("C_GetAttributeValue", session, obj, one, 1)
        values = [octets(bytes(entry.ulValueLen)) for entry in array[0:count]]
        for entry, value in zip(array[0:count], values, strict=True):
            entry.pValue = value
        self.do("C_GetAttributeValue", session, obj, one, 1)
        return tuple(
            (int(entry.type), bytes(ffi.buffer(value, entry.ulValueLen)))
            for entry, value in zip(array[0:count], values, strict=True)
        )

    def set(self, session: int, obj: int, attributes: Mapping[int, Value]) -> None:
        """C_SetAttributeValue."""
        self.do("C_SetAttributeValue", session, obj, *template(attributes))

    # -- keys and what they do -----------------------------------------------------------------

    def generate(self, session: int, mech: Any, attributes: Mapping[int, Value]) -> int:
        """C_GenerateKey."""
        handle = ffi.new("CK_OBJECT_HANDLE *")
        self.do("C_GenerateKey", session, mech, *template(attributes), handle)
        return int(handle[0])

    def generate_pair(
        self,
        session: int,
        mech: Any,
        public: Mapping[int, Value],
        private: Mapping[int, Value],
    ) -> tuple[int, int]:
        """C_GenerateKeyPair."""
        handles = ffi.new("CK_OBJECT_HANDLE[2]")
        templates = (*template(public), *template(private))
        self.do("C_GenerateKeyPair", session, mech, *templates, handles, handles + 1)
        return int(handles[0]), int(handles[1])

    def wrap(
        self, session: int, mech: Any, wrapping: int, key: int, size: int | None = None
    ) -> bytes:
        """C_WrapKey."""
        return self.output("C_WrapKey", session, mech, wrapping, key, size=size)

    def unwrap(
        self,
        session: int,
        mech: Any,
        unwrapping: int,
        wrapped: bytes,
        attributes: Mapping[int, Value],
    ) -> int:
        """C_UnwrapKey."""
        handle = ffi.new("CK_OBJECT_HANDLE *")
        given = (octets(wrapped), len(wrapped), *template(attributes))
        self.do("C_UnwrapKey", session, mech, unwrapping, *given, handle)
        return int(handle[0])

    def derive(self, session: int, mech: Any, base: int, attributes: Mapping[int, Value]) -> int:
        """C_DeriveKey."""
        handle = ffi.new("CK_OBJECT_HANDLE *")
        self.do("C_DeriveKey", session, mech, base, *template(attributes), handle)
        return int(handle[0])

    def digest(self, session: int, mech: Any, *parts: bytes) -> bytes:
        """C_Digest of one part, C_DigestUpdate and Final of another number of parts."""
        self.do("C_DigestInit", session, mech)
        return self._finish(session, "C_Digest", "C_DigestUpdate", "C_DigestFinal", parts)

    def sign(self, session: int, mech: Any, key: int, *parts: bytes) -> bytes:
        """C_Sign of one part, C_SignUpdate and Final of another number of parts."""
        self.do("C_SignInit", session, mech, key)
        return self._finish(session, "C_Sign", "C_SignUpdate", "C_SignFinal", parts)

    def _finish(
        self, session: int, whole: str, update: str, final: str, parts: tuple[bytes, ...]
    ) -> bytes:
        if len(parts) == 1:
            return self.output(whole, session, octets(parts[0]), len(parts[0]))
        for part in parts:
            self.do(update, session, octets(part), len(part))
        return self.output(final, session)

    def verify(self, session: int, mech: Any, key: int, signature: bytes, *parts: bytes) -> None:
        """C_Verify of one part, C_VerifyUpdate and Final of another number of parts."""
        self.do("C_VerifyInit", session, mech, key)
        end = (octets(signature), len(signature))
        if len(parts) == 1:
            self.do("C_Verify", session, octets(parts[0]), len(parts[0]), *end)
            return
        for part in parts:
            self.do("C_VerifyUpdate", session, octets(part), len(part))
        self.do("C_VerifyFinal", session, *end)

    def encrypt(self, session: int, mech: Any, key: int, *parts: bytes) -> bytes:
        """C_Encrypt of one part, C_EncryptUpdate and Final of another number of parts."""
        return self._cipher("Encrypt", session, mech, key, parts)

    def decrypt(self, session: int, mech: Any, key: int, *parts: bytes) -> bytes:
        """C_Decrypt of one part, C_DecryptUpdate and Final of another number of parts."""
        return self._cipher("Decrypt", session, mech, key, parts)

    def _cipher(
        self, way: str, session: int, mech: Any, key: int, parts: tuple[bytes, ...]
    ) -> bytes:
        self.do(f"C_{way}Init", session, mech, key)
        if len(parts) == 1:
            return self.output(f"C_{way}", session, octets(parts[0]), len(parts[0]))
        result = b""
        for part in parts:
            result += self.output(f"C_{way}Update", session, octets(part), len(part))
        return result + self.output(f"C_{way}Final", session)
