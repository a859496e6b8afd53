"""Sequences of calls: likely handles, arguments that are right, wrong, or nearly right.

What a function answers has to be on the standard's list for it (tables/return_codes.csv), and
CKR_GENERAL_ERROR never is: it tells of an error of the library's own.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from abi.client import NULL, ROOT, RV, Client, Function, ffi, functions, octets
from fuzz.choices import Choices
from fuzz.values import LENGTHS, NUMBERS, ROOM, Values, constants

from pypkcs11.mechanisms.table import key_types
from pypkcs11.standard import constants as C  # noqa: N812

#: How many objects C_FindObjects is asked for at the most.
MOST_FOUND = 16

SO_PIN, USER_PIN = b"so-pin", b"1234"
PINS = (USER_PIN, SO_PIN, b"wrong", b"", bytes(300))

#: What is made rarely, because it takes long or ends much.
RARE = {
    "C_Finalize": 64,
    "C_InitToken": 32,
    "C_CloseAllSessions": 32,
    "C_Logout": 16,
    "C_CloseSession": 8,
    "C_SetPIN": 8,
    "C_InitPIN": 8,
    "C_GetFunctionList": 16,
    "C_GetInterface": 16,
    "C_GetInterfaceList": 16,
    "C_GetFunctionStatus": 16,
    "C_CancelFunction": 16,
    "C_DestroyObject": 4,
}

#: Section 5.1.6: the key's attributes do not allow it.
_NOT_THIS_KEY = frozenset({C.CKR_KEY_FUNCTION_NOT_PERMITTED})

#: Codes that a function's list lacks, and that nothing on the list says.
BEYOND = {
    "C_WaitForSlotEvent": {C.CKR_NO_EVENT},
    "C_SessionCancel": {C.CKR_SESSION_HANDLE_INVALID},
    # One part amid many, as for C_Verify.
    "C_VerifySignature": {C.CKR_OPERATION_ACTIVE},
    "C_SetPIN": {C.CKR_USER_PIN_NOT_INITIALIZED},
    "C_WrapKey": _NOT_THIS_KEY,
    "C_UnwrapKey": _NOT_THIS_KEY,
    # Section 5.2; the code stands on C_DecapsulateKey's list, which gives out nothing.
    "C_EncapsulateKey": _NOT_THIS_KEY | {C.CKR_BUFFER_TOO_SMALL},
    "C_DecapsulateKey": _NOT_THIS_KEY,
    "C_WrapKeyAuthenticated": _NOT_THIS_KEY,
    "C_UnwrapKeyAuthenticated": _NOT_THIS_KEY,
    # Section 6.42.4: the data to be encrypted are shorter than the key shall be.
    "C_DeriveKey": _NOT_THIS_KEY | {C.CKR_DATA_LEN_RANGE},
}

#: The field of a mechanism's row, by the function that begins with it.
FIELDS = {
    "C_EncryptInit": "encrypt",
    "C_DecryptInit": "decrypt",
    "C_DigestInit": "digest",
    "C_SignInit": "sign",
    "C_VerifyInit": "verify",
    "C_SignRecoverInit": "sign_recover",
    "C_VerifyRecoverInit": "verify_recover",
    "C_VerifySignatureInit": "verify",
    "C_MessageEncryptInit": "message_encrypt",
    "C_MessageDecryptInit": "message_decrypt",
    "C_MessageSignInit": "message_sign",
    "C_MessageVerifyInit": "message_verify",
    "C_GenerateKey": "generate",
    "C_GenerateKeyPair": "generate_pair",
    "C_WrapKey": "wrap",
    "C_UnwrapKey": "unwrap",
    "C_WrapKeyAuthenticated": "wrap_authenticated",
    "C_UnwrapKeyAuthenticated": "unwrap_authenticated",
    "C_DeriveKey": "derive",
    "C_EncapsulateKey": "encapsulate",
    "C_DecapsulateKey": "decapsulate",
}

#: Making these takes as long as the key is large: they get templates that cannot be.
SLOW = {C.CKM_DSA_PARAMETER_GEN, C.CKM_DH_PKCS_PARAMETER_GEN, C.CKM_X9_42_DH_PARAMETER_GEN}

#: What goes on with what a function began, by what stands in the names of both.
VERBS = (
    "MessageEncrypt", "MessageDecrypt", "MessageSign", "MessageVerify",
    "VerifySignature", "SignRecover", "VerifyRecover",
    "Encrypt", "Decrypt", "Digest", "Sign", "Verify", "FindObjects",
)  # fmt: skip


class WrongError(Exception):
    """The module did what it must never do."""


@cache
def allowed() -> dict[str, frozenset[int]]:
    """The codes that each function may return."""
    with (ROOT / "tables" / "return_codes.csv").open(newline="") as file:
        listed = {
            row["function"]: {getattr(C, code) for code in row["codes"].split(";") if code}
            for row in csv.DictReader(file)
        }
    always = {C.CKR_FUNCTION_NOT_SUPPORTED, C.CKR_ARGUMENTS_BAD, C.CKR_OK}
    always |= {C.CKR_CRYPTOKI_NOT_INITIALIZED}
    return {
        name: frozenset((codes | always | BEYOND.get(name, set())) - {C.CKR_GENERAL_ERROR})
        for name, codes in listed.items()
    }


class World:
    """What an application would know by now: sessions, objects, and what calls gave it."""

    def __init__(self, p11: Client, trace: Callable[[str], None] | None = None) -> None:
        self.p11 = p11
        self.trace = trace
        self.slots: list[int] = []
        self.sessions: list[int] = []
        self.objects: list[int] = []
        self.kinds: dict[int, tuple[int, int]] = {}
        self.outputs: list[bytes] = []
        self.begun: list[str] = []
        self.calls = 0

    def play(self, data: bytes, most: int = 200) -> None:
        """Make the calls that some octets choose."""
        choices = Choices(data)
        self._begin(choices)
        for _ in range(most):
            if choices.over:
                break
            self._call(choices)
        for slot in self.slots:
            self.p11.C_CloseAllSessions(slot)

    def _begin(self, choices: Choices) -> None:
        """Initialise, unless that was done before, and most often log in to the token."""
        rv = self.p11.C_Initialize(NULL)
        if rv not in (C.CKR_OK, C.CKR_CRYPTOKI_ALREADY_INITIALIZED):
            raise WrongError(f"C_Initialize: {rv!r}")
        self.slots = self.p11.slots()
        for slot in self.slots:
            if self.p11.token_info(slot).flags & C.CKF_TOKEN_INITIALIZED:
                self._open(slot, choices)

    def _open(self, slot: int, choices: Choices) -> None:
        session = self.p11.open(slot)
        self.sessions.append(session)
        if not choices.one_in(8):
            self.p11.C_Login(session, C.CKU_USER, octets(USER_PIN), len(USER_PIN))
        self.objects.extend(self.p11.find(session, {}))

    def _next(self, choices: Choices) -> Function:
        """Any function, or one that goes on with what has been begun."""
        if self.begun and choices.below(2):
            going_on = [f for f in _weighted() if _verb(f.name) == self.begun[-1]]
            return choices.pick(going_on)
        return choices.pick(_weighted())

    def _call(self, choices: Choices) -> None:
        function = self._next(choices)
        call = Call(self, function, choices)
        arguments = call.arguments()
        if self.trace is not None:
            self.trace(f"{function.name}{call.described()}")
        rv = getattr(self.p11, function.name)(*arguments)
        if self.trace is not None:
            self.trace(f"    {RV(rv)!r}")
        self.calls += 1
        if rv not in allowed()[function.name]:
            raise WrongError(f"{function.name}: {RV(rv)!r} is not a code of this function")
        call.check()
        if rv == C.CKR_OK:
            call.learn()
            if function.name.endswith("Init"):
                self.begun = [*self.begun[-3:], _verb(function.name)]
        elif rv == C.CKR_OPERATION_NOT_INITIALIZED and self.begun:
            self.begun.pop()
        if function.name == "C_Finalize" and rv == C.CKR_OK:
            self.sessions.clear()
            self.objects.clear()
            self._begin(choices)


def _element(pointer: str) -> str:
    """CK_X for CK_X_PTR, and CK_X* for CK_X_PTR_PTR."""
    return pointer.removesuffix("_PTR").replace("_PTR", "*")


@cache
def _verb(name: str) -> str:
    return next((verb for verb in VERBS if verb in name or _turned(verb) in name), "")


def _turned(verb: str) -> str:
    """EncryptMessage for MessageEncrypt: both stand in names of functions."""
    return verb.removeprefix("Message") + "Message" if verb.startswith("Message") else verb


@cache
def _weighted() -> list[Function]:
    """The functions, each as often as it is to be called in comparison."""
    return [
        function
        for function in functions()
        for _ in range(max(1, 8 // RARE.get(function.name, 1)))
        if function.name != "C_Initialize"
    ]


class Call:
    """One call: its arguments, what may be written where, and what is to be learnt of it."""

    def __init__(self, world: World, function: Function, choices: Choices) -> None:
        self.world = world
        self.function = function
        self.choices = choices
        self.values = Values(choices, world.objects)
        self._learn: list[Callable[[], None]] = []
        self._watched: list[tuple[Any, int]] = []
        self._row: Any = None
        self._shown: list[str] = []

    def described(self) -> str:
        """The arguments for a reader."""
        return f"({', '.join(self._shown)})"

    def learn(self) -> None:
        """Note what a call that went well gave."""
        for note in self._learn:
            note()

    def check(self) -> None:
        """Nothing was written behind a buffer."""
        for buffer, size in self._watched:
            if bytes(ffi.buffer(buffer, ROOM + 16))[size:] != b"\xa5" * (ROOM + 16 - size):
                raise WrongError(f"{self.function.name} wrote behind its buffer of {size} octets")

    def arguments(self) -> list[Any]:
        """Values for all parameters."""
        parameters = self.function.parameters
        made: list[Any] = []
        for type, name in parameters:
            if len(made) < len(parameters) and len(made) <= parameters.index((type, name)):
                following = parameters[len(made) + 1 : len(made) + 2]
                made.extend(self._argument(type, name, following[0] if following else ("", "")))
        self._shown = [
            f"{name}={value!r}" for (_, name), value in zip(parameters, made, strict=True)
        ]
        return made

    def _argument(self, type: str, name: str, after: tuple[str, str]) -> Iterator[Any]:
        special = _BY_NAME.get(name) or _BY_TYPE.get(type)
        if type in ("CK_BYTE_PTR", "CK_UTF8CHAR_PTR", "CK_VOID_PTR") and after[0] == "CK_ULONG":
            yield from self._input(name)
        elif type == "CK_BYTE_PTR" and after[0] == "CK_ULONG_PTR":
            yield from self._output()
        elif type == "CK_ATTRIBUTE_PTR":
            yield from self._template(name)
        elif special is not None:
            yield special(self)
        elif type in ("CK_SLOT_ID_PTR", "CK_MECHANISM_TYPE_PTR", "CK_INTERFACE_PTR"):
            yield from self._list(type.removesuffix("_PTR"))
        elif type.endswith("_PTR"):
            yield self._result(type)
        else:
            yield self.choices.pick(NUMBERS)

    # -- arguments -------------------------------------------------------------------------------

    def _null(self) -> bool:
        return self.choices.one_in(48)

    def _input(self, name: str) -> Iterator[Any]:
        """Octets and how many there are."""
        if name == "pParameter":
            if "crypt" in self.function.name:
                yield from self.values.message()
            else:
                yield from self.values.parameter(None)
            return
        data = self.values.some(self.world.outputs)
        if "Pin" in name:
            data = self.choices.pick((USER_PIN, USER_PIN, *PINS))
        yield NULL if self._null() else self.values.room(data)
        yield len(data)

    def _output(self) -> Iterator[Any]:
        """A buffer, and a pointer to its length, which asks when the buffer is NULL."""
        length = self.values.keep(ffi.new("CK_ULONG *", self.choices.pick((ROOM, *LENGTHS))))
        size = int(length[0])
        if self._null():
            yield self.values.room()
            yield NULL
            return
        if self.choices.one_in(6):
            yield NULL
            yield length
            return
        buffer = self.values.room()
        self._watched.append((buffer, size))
        self._learn.append(lambda: self._note(buffer, length))
        yield buffer
        yield length

    def _note(self, buffer: Any, length: Any) -> None:
        if length[0] > ROOM:
            raise WrongError(f"{self.function.name} says {length[0]} octets of {ROOM}")
        self.world.outputs = [bytes(ffi.buffer(buffer, length[0])), *self.world.outputs[:7]]

    def _list(self, type: str) -> Iterator[Any]:
        yield NULL if self.choices.one_in(4) else self.values.keep(ffi.new(f"{type}[]", ROOM))

    def _result(self, type: str) -> Any:
        if self._null():
            return NULL
        made = self.values.keep(ffi.new(f"{_element(type)}[]", MOST_FOUND))
        if type == "CK_OBJECT_HANDLE_PTR":
            self._learn.append(lambda: self.world.objects.append(int(made[0])))
        elif type == "CK_SESSION_HANDLE_PTR":
            self._learn.append(lambda: self.world.sessions.append(int(made[0])))
        return made

    def session(self) -> int:
        """A session handle, seldom a wrong one."""
        if self.choices.one_in(32) or not self.world.sessions:
            return self.choices.pick((0, 1, 99999, 2**64 - 1))
        return self.choices.pick(self.world.sessions[-4:])

    def slot(self) -> int:
        if self.choices.one_in(8) or not self.world.slots:
            return self.choices.pick((0, 2**40))
        return self.choices.pick(self.world.slots)

    def object(self) -> int:
        """An object's handle, most often of a key that the mechanism takes."""
        if self.choices.one_in(24) or not self.world.objects:
            return self.choices.pick((0, 77777, 2**64 - 1))
        known = self.world.objects
        if self._row is not None:
            fit = [key for key in known if self._type(key) in self._row.key_types]
            if fit and not self.choices.one_in(8):
                return self.choices.pick(fit[-8:])
        return self.choices.pick(known[-16:])

    def _type(self, handle: int) -> int:
        """The key type of an object, as the module says."""
        if handle not in self.world.kinds:
            value = ffi.new("CK_ULONG *")
            asked = ffi.new("CK_ATTRIBUTE *", (C.CKA_KEY_TYPE, value, ffi.sizeof("CK_ULONG")))
            for session in self.world.sessions:
                if self.world.p11.C_GetAttributeValue(session, handle, asked, 1) == C.CKR_OK:
                    break
            self.world.kinds[handle] = (0, int(value[0]))
        return self.world.kinds[handle][1]

    def mechanism(self) -> Any:
        if self._null():
            return NULL
        made, self._row = self.values.mechanism(FIELDS.get(self.function.name, "digest"))
        return made

    def flags(self) -> int:
        if self.function.name == "C_WaitForSlotEvent":
            return C.CKF_DONT_BLOCK
        if self.function.name == "C_OpenSession":
            return self.choices.pick((C.CKF_SERIAL_SESSION | C.CKF_RW_SESSION, 4, 2, 0, 14))
        return self.choices.pick((0, C.CKF_END_OF_MESSAGE, 2**32, *constants("CKF_")[:24]))

    def _template(self, name: str) -> Iterator[Any]:
        """A template that suits the function and mechanism, more or less."""
        row = self._row
        given: dict[int, Any] = {}
        new = self.function.name not in _LOOKING
        if new:
            given = {
                C.CKA_TOKEN: self.choices.one_in(8),
                C.CKA_PRIVATE: bool(self.choices.below(2)),
            }
        if self.function.name == "C_CreateObject":
            given |= self._object()
        elif new and self.function.name != "C_CopyObject":
            given |= self._usages(name)
            if row is not None and row.generate_pair is not None:
                given |= self._pair(name)
            elif name == "pTemplate":
                given |= {C.CKA_CLASS: C.CKO_SECRET_KEY, C.CKA_KEY_TYPE: self._key_type()}
                given[C.CKA_VALUE_LEN] = self.choices.pick((16, 24, 32))
        if row is not None and row.type in SLOW:
            given |= {C.CKA_PRIME_BITS: self.choices.pick((0, 7)), C.CKA_SUBPRIME_BITS: 3}
        yield from self.values.template(given)

    def _key_type(self) -> int:
        if self._row is not None and self._row.generate is not None and self._row.key_types:
            return int(self._row.key_types[0])
        if self.choices.one_in(8):
            return self.choices.pick(constants("CKK_"))
        return self.choices.pick((C.CKK_AES, C.CKK_GENERIC_SECRET, *_secret_key_types()))

    def _usages(self, name: str) -> dict[int, Any]:
        sensitive = {
            C.CKA_SENSITIVE: bool(self.choices.below(2)),
            C.CKA_EXTRACTABLE: bool(self.choices.below(2)),
        }
        return {} if "Public" in name else sensitive

    def _pair(self, name: str) -> dict[int, Any]:
        if "Private" in name:
            return {C.CKA_DERIVE: True}
        likely = (C.CKA_MODULUS_BITS, C.CKA_EC_PARAMS, C.CKA_PARAMETER_SET, C.CKA_PRIME)
        wanted = self.choices.pick(likely)
        fit = {C.CKK_RSA: 0, C.CKK_EC: 1, C.CKK_EC_EDWARDS: 1, C.CKK_EC_MONTGOMERY: 1}
        key_types = self._row.key_types if self._row is not None else ()
        if key_types and not self.choices.one_in(8):
            wanted = likely[fit.get(key_types[0], 2)]
        return {wanted: self.values.value(wanted, 0)}

    def _object(self) -> dict[int, Any]:
        """A secret key, most often; else anything."""
        if self.choices.below(3) == 2:
            kind = self.choices.pick(constants("CKO_"))
            types = (C.CKA_KEY_TYPE, C.CKA_CERTIFICATE_TYPE, C.CKA_VALUE, C.CKA_EC_PARAMS)
            return {C.CKA_CLASS: kind} | {t: self.values.value(t, 1) for t in types[:2]}
        key_type = self._key_type()
        length = self.choices.pick((16, 32, 24, 8, 64))
        return {
            **dict.fromkeys(USAGES, True),
            C.CKA_CLASS: C.CKO_SECRET_KEY,
            C.CKA_KEY_TYPE: key_type,
            C.CKA_VALUE: self.choices.octets(length),
            C.CKA_EXTRACTABLE: bool(self.choices.below(2)),
            C.CKA_SENSITIVE: bool(self.choices.below(2)),
        }


#: What keys may do that are made to be used.
USAGES = (
    C.CKA_ENCRYPT, C.CKA_DECRYPT, C.CKA_SIGN, C.CKA_VERIFY, C.CKA_WRAP, C.CKA_UNWRAP, C.CKA_DERIVE,
)  # fmt: skip


@cache
def _secret_key_types() -> tuple[int, ...]:
    return tuple(type for type, row in key_types().items() if C.CKO_SECRET_KEY in row.load)


_LOOKING = frozenset(("C_GetAttributeValue", "C_SetAttributeValue", "C_FindObjectsInit"))

_BY_TYPE: dict[str, Callable[[Call], Any]] = {
    "CK_SESSION_HANDLE": Call.session,
    "CK_SLOT_ID": Call.slot,
    "CK_OBJECT_HANDLE": Call.object,
    "CK_MECHANISM_PTR": Call.mechanism,
    "CK_FLAGS": Call.flags,
    "CK_BBOOL": lambda call: call.choices.pick((0, 1, 2)),
    "CK_USER_TYPE": lambda call: call.choices.pick((1, 0, 2, 3)),
    "CK_MECHANISM_TYPE": lambda call: call.choices.pick(constants("CKM_")),
    "CK_NOTIFY": lambda call: NULL,
}
_BY_NAME: dict[str, Callable[[Call], Any]] = {
    "pInitArgs": lambda call: NULL,
    "pReserved": lambda call: NULL,
    "pApplication": lambda call: NULL,
    "pLabel": lambda call: call.values.room(b"fuzz".ljust(32)),
    "pFunctionName": lambda call: call.values.room(b"C_Sign\0"),
    "pInterfaceName": lambda call: call.values.room(b"PKCS 11\0"),
    "pVersion": lambda call: call.values.keep(ffi.new("CK_VERSION *", (3, 0))),
    "ulMaxObjectCount": lambda call: call.choices.pick((1, 0, MOST_FOUND)),
}
