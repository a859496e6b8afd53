"""Every function of the standard with arguments that are wrong, one wrong thing at a time.

The calls are made in a process of their own, so that a crash is a failed test that names the call.
That process runs this file as a program (see ``serve``); what it finds wrong comes back as text.
What is expected stands in the tables below; functions come from tables/functions.csv, so none is
forgotten.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from abi.client import (
    NULL,
    ROOT,
    RV,
    Client,
    Function,
    ffi,
    functions,
    mechanism,
    octets,
    struct,
    template,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_DERIVE,
    CKA_EC_PARAMS,
    CKA_EXTRACTABLE,
    CKA_KEY_TYPE,
    CKA_LABEL,
    CKA_MODULUS_BITS,
    CKA_PARAMETER_SET,
    CKA_SIGN,
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKF_DONT_BLOCK,
    CKF_END_OF_MESSAGE,
    CKF_RW_SESSION,
    CKF_SERIAL_SESSION,
    CKF_TOKEN_INITIALIZED,
    CKG_NO_GENERATE,
    CKK_AES,
    CKK_GENERIC_SECRET,
    CKM_AES_CBC_PAD,
    CKM_AES_ECB_ENCRYPT_DATA,
    CKM_AES_GCM,
    CKM_AES_KEY_GEN,
    CKM_AES_KEY_WRAP,
    CKM_EC_KEY_PAIR_GEN,
    CKM_ML_KEM,
    CKM_ML_KEM_KEY_PAIR_GEN,
    CKM_RSA_PKCS,
    CKM_RSA_PKCS_KEY_PAIR_GEN,
    CKM_SHA256,
    CKM_SHA256_HMAC,
    CKO_DATA,
    CKO_SECRET_KEY,
    CKP_ML_KEM_768,
    CKR_ARGUMENTS_BAD,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_BUFFER_TOO_SMALL,
    CKR_CRYPTOKI_ALREADY_INITIALIZED,
    CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_FUNCTION_NOT_PARALLEL,
    CKR_FUNCTION_NOT_SUPPORTED,
    CKR_GENERAL_ERROR,
    CKR_KEY_HANDLE_INVALID,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_OBJECT_HANDLE_INVALID,
    CKR_OK,
    CKR_OPERATION_NOT_INITIALIZED,
    CKR_SAVED_STATE_INVALID,
    CKR_SESSION_HANDLE_INVALID,
    CKR_SLOT_ID_INVALID,
    CKR_UNWRAPPING_KEY_HANDLE_INVALID,
    CKR_WRAPPING_KEY_HANDLE_INVALID,
    CKS_LAST_VALIDATION_OK,
    CKU_SO,
    CKU_USER,
)

Codes = tuple[int, ...]

# -- what is expected --------------------------------------------------------------------------

#: They answer before C_Initialize and after C_Finalize (sections 5.4.1, 5.4.4 to 5.4.6).
ALWAYS = {"C_Initialize", "C_GetFunctionList", "C_GetInterfaceList", "C_GetInterface"}

#: NULL pointers that mean something. All others are CKR_ARGUMENTS_BAD, but for output buffers,
#: which ask for a length: a buffer is what its length, a CK_ULONG_PTR, follows (section 5.2).
NULL_MEANS: dict[tuple[str, str], Codes] = {
    ("C_Initialize", "pInitArgs"): (CKR_CRYPTOKI_ALREADY_INITIALIZED,),  # all defaults
    ("C_GetInterface", "pInterfaceName"): (CKR_OK,),  # the default interface
    ("C_GetInterface", "pVersion"): (CKR_OK,),  # any version
    # "pMechanism" of C_*Init ends what is active (section 5.8 and on); here nothing is.
    **{
        (f"C_{name}Init", "pMechanism"): (CKR_OK, CKR_OPERATION_NOT_INITIALIZED)
        for name in (
            *("Encrypt", "Decrypt", "Digest", "Sign", "Verify", "VerifySignature"),
            *("SignRecover", "VerifyRecover"),
            *("MessageEncrypt", "MessageDecrypt", "MessageSign", "MessageVerify"),
        )
    },
    # The parameter of a message that there has to be.
    **{
        (f"C_{name}Message{step}", "pParameter"): (CKR_MECHANISM_PARAM_INVALID,)
        for name in ("Encrypt", "Decrypt")
        for step in ("", "Begin", "Next")
    },
    ("C_SignMessageNext", "pulSignatureLen"): (CKR_OK,),  # there is more to come
}

#: Where NULL is what a caller has to give, or may always give: nothing to try.
NULL_IS_RIGHT = {
    ("C_Finalize", "pReserved"),
    ("C_OpenSession", "pApplication"),
    ("C_OpenSession", "Notify"),
    ("C_WaitForSlotEvent", "pReserved"),
    *(
        (f"C_{n}Message{s}", "pParameter")
        for n in ("Sign", "Verify")
        for s in ("", "Begin", "Next")
    ),
}

#: The code for a handle that names no object, by parameter; (function, parameter) goes first.
NO_OBJECT: dict[str | tuple[str, str], Codes] = {
    "hObject": (CKR_OBJECT_HANDLE_INVALID,),
    "hKey": (CKR_KEY_HANDLE_INVALID,),
    "hBaseKey": (CKR_KEY_HANDLE_INVALID,),
    "hWrappingKey": (CKR_WRAPPING_KEY_HANDLE_INVALID,),
    "hUnwrappingKey": (CKR_UNWRAPPING_KEY_HANDLE_INVALID,),
    "hPublicKey": (CKR_KEY_HANDLE_INVALID,),
    "hPrivateKey": (CKR_UNWRAPPING_KEY_HANDLE_INVALID,),
    # What is given as a state is none, which goes first.
    "hEncryptionKey": (CKR_SAVED_STATE_INVALID,),
    "hAuthenticationKey": (CKR_SAVED_STATE_INVALID,),
}

#: What has to be active before a function can work.
NEEDS = {
    "C_Encrypt": "Encrypt",
    "C_EncryptUpdate": "Encrypt",
    "C_EncryptFinal": "Encrypt",
    "C_Decrypt": "Decrypt",
    "C_DecryptUpdate": "Decrypt",
    "C_DecryptFinal": "Decrypt",
    "C_Digest": "Digest",
    "C_DigestUpdate": "Digest",
    "C_DigestKey": "Digest",
    "C_DigestFinal": "Digest",
    "C_Sign": "Sign",
    "C_SignUpdate": "Sign",
    "C_SignFinal": "Sign",
    "C_Verify": "Verify",
    "C_VerifyUpdate": "Verify",
    "C_VerifyFinal": "Verify",
    "C_VerifySignature": "VerifySignature",
    "C_VerifySignatureUpdate": "VerifySignature",
    "C_VerifySignatureFinal": "VerifySignature",
    "C_SignRecover": "SignRecover",
    "C_VerifyRecover": "VerifyRecover",
    **{
        f"C_{function}": f"Message{name}"
        for name in ("Encrypt", "Decrypt", "Sign", "Verify")
        for function in (
            f"{name}Message",
            f"{name}MessageBegin",
            f"{name}MessageNext",
            f"Message{name}Final",
        )
    },
    "C_GetOperationState": "Digest",
    "C_DigestEncryptUpdate": "Digest Encrypt",
    "C_DecryptDigestUpdate": "Digest Decrypt",
    "C_SignEncryptUpdate": "Sign Encrypt",
    "C_DecryptVerifyUpdate": "Verify Decrypt",
    "C_FindObjects": "FindObjects",
    "C_FindObjectsFinal": "FindObjects",
}

#: Functions that give octets, and how long the answer is for what ``World.prepare`` sets up.
OUTPUT = {
    "C_Encrypt": 32,
    "C_EncryptUpdate": 16,
    "C_EncryptFinal": 16,
    "C_Decrypt": 20,
    "C_DecryptUpdate": 16,
    "C_DecryptFinal": 4,
    "C_Digest": 32,
    "C_DigestFinal": 32,
    "C_Sign": 32,
    "C_SignFinal": 32,
    "C_SignRecover": 256,
    "C_VerifyRecover": 20,
    "C_EncryptMessage": 20,
    "C_DecryptMessage": 20,
    "C_SignMessage": 32,
    "C_SignMessageNext": 32,
    "C_WrapKeyAuthenticated": 32,
    "C_GetOperationState": 57,
    "C_WrapKey": 40,
    "C_DigestEncryptUpdate": 16,
    "C_DecryptDigestUpdate": 16,
    "C_SignEncryptUpdate": 16,
    "C_DecryptVerifyUpdate": 16,
}

#: Functions that do not do anything but say so.
PARALLEL = {"C_GetFunctionStatus", "C_CancelFunction"}

FUNCTIONS = {function.name: function for function in functions()}


@functools.cache
def not_supported() -> frozenset[str]:
    """The names in ``pypkcs11.abi.unsupported``, which cannot be imported outside the library."""
    source = ROOT / "src" / "pypkcs11" / "abi" / "unsupported.py"
    for node in ast.walk(ast.parse(source.read_text())):
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == "NOT_SUPPORTED":
            assert isinstance(node, ast.AnnAssign)
            assert node.value is not None
            return frozenset(ast.literal_eval(node.value))
    raise AssertionError(f"{source} has no NOT_SUPPORTED")


# -- the process that makes the calls ----------------------------------------------------------

PIN, SO_PIN = b"user pin", b"so pin"
IV = bytes(16)
KEY = bytes(range(32))
TEXT = bytes(range(20))  # with padding, two blocks
P256 = bytes.fromhex("06082a8648ce3d030107")
AES = {
    CKA_CLASS: CKO_SECRET_KEY,
    CKA_KEY_TYPE: CKK_AES,
    CKA_VALUE: KEY,
    CKA_EXTRACTABLE: True,
    CKA_DERIVE: True,
}
HMAC = {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_GENERIC_SECRET, CKA_VALUE: KEY}
TEMPLATES: dict[str, dict[int, Any]] = {
    "C_CreateObject": {CKA_CLASS: CKO_DATA},
    "C_CopyObject": {CKA_LABEL: "copy"},
    "C_GetAttributeValue": {CKA_LABEL: bytes(32)},
    "C_SetAttributeValue": {CKA_LABEL: "changed"},
    "C_FindObjectsInit": {CKA_CLASS: CKO_DATA},
    "C_GenerateKey": {CKA_VALUE_LEN: 16},
    "C_UnwrapKey": {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_AES},
    "C_UnwrapKeyAuthenticated": {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_AES},
    "C_DeriveKey": {CKA_VALUE_LEN: 16},
    "C_EncapsulateKey": {CKA_KEY_TYPE: CKK_AES},
    "C_DecapsulateKey": {CKA_KEY_TYPE: CKK_AES},
}


class World:
    """Two tokens: the first with the user logged in and objects, the second for PIN functions."""

    def __init__(self, p11: Client) -> None:
        self.p11 = p11
        p11.do("C_Initialize", NULL)
        self.slot, self.other_slot = self._token("one"), self._token("two")
        self.main = p11.open(self.slot)
        p11.login(self.main, CKU_USER, PIN)
        self.aes = p11.create(self.main, AES)
        self.hmac = p11.create(self.main, HMAC | {CKA_SIGN: True})
        self.note = p11.create(self.main, {CKA_CLASS: CKO_DATA, CKA_LABEL: "note"})
        self.gone = p11.create(self.main, {CKA_CLASS: CKO_DATA})
        p11.do("C_DestroyObject", self.main, self.gone)
        self.closed = p11.open(self.slot)
        p11.do("C_CloseSession", self.closed)
        encrypt = mechanism(CKM_AES_CBC_PAD, IV)
        self.encrypted = p11.encrypt(self.main, encrypt, self.aes, TEXT)
        kem = {CKA_PARAMETER_SET: CKP_ML_KEM_768}
        made = p11.generate_pair(self.main, mechanism(CKM_ML_KEM_KEY_PAIR_GEN), kem, {})
        self.public, self.private = made
        sizes = {CKA_MODULUS_BITS: 2048}
        pair = mechanism(CKM_RSA_PKCS_KEY_PAIR_GEN)
        self.rsa_public, self.rsa_private = p11.generate_pair(self.main, pair, sizes, {})
        recover = (self.main, mechanism(CKM_RSA_PKCS), self.rsa_private)
        p11.do("C_SignRecoverInit", *recover)
        self.signed = p11.output("C_SignRecover", self.main, octets(TEXT), len(TEXT))
        self.sealed, self.tag = self._seal()
        self.wrapped = p11.wrap(self.main, mechanism(CKM_AES_KEY_WRAP), self.aes, self.aes)

    def _token(self, label: str) -> int:
        p11 = self.p11
        (free,) = (s for s in p11.slots() if not p11.token_info(s).flags & CKF_TOKEN_INITIALIZED)
        p11.init_token(free, SO_PIN, label)
        session = p11.open(free)
        p11.login(session, CKU_SO, SO_PIN)
        p11.do("C_InitPIN", session, octets(PIN), len(PIN))
        p11.do("C_CloseSession", session)
        return free

    def _seal(self) -> tuple[bytes, bytes]:
        """A message, encrypted by another, and its tag."""
        sealed = AESGCM(KEY).encrypt(IV, TEXT, b"")
        return sealed[:-16], sealed[-16:]

    def message(self) -> Any:
        """What comes with a message."""
        return struct(
            "CK_GCM_MESSAGE_PARAMS",
            pIv=IV,
            ulIvLen=len(IV),
            ulIvFixedBits=0,
            ivGenerator=CKG_NO_GENERATE,
            pTag=self.tag,
            ulTagBits=128,
        )

    def given(self, name: str) -> tuple[Any, ...]:
        """The arguments between the session and the output."""
        if name.endswith("Final") or name == "C_GetOperationState":
            return ()
        if name == "C_WrapKey":
            return mechanism(CKM_AES_KEY_WRAP), self.aes, self.aes
        if name == "C_WrapKeyAuthenticated":
            return mechanism(CKM_AES_GCM, self.message()), self.aes, self.aes, NULL, 0
        if name.startswith("C_SignMessage"):
            return NULL, 0, octets(TEXT), len(TEXT)
        data = self.encrypted if "Decrypt" in name else TEXT
        if name == "C_DecryptMessage":
            data = self.sealed
        if name == "C_VerifyRecover":
            data = self.signed
        if name in ("C_EncryptMessage", "C_DecryptMessage"):
            message = self.message()
            return message, ffi.sizeof(message[0]), NULL, 0, octets(data), len(data)
        return octets(data), len(data)

    def session_for(self, name: str) -> int:
        """A session in the state that a function works in."""
        if name not in ("C_Login", "C_InitPIN", "C_SetPIN", "C_Logout"):
            return self.p11.open(self.slot)
        session = self.p11.open(self.other_slot)
        if name == "C_InitPIN":
            self.p11.login(session, CKU_SO, SO_PIN)
        if name == "C_Logout":
            self.p11.login(session, CKU_USER, PIN)
        return session

    def mechanism_for(self, name: str) -> tuple[Any, int]:
        """A mechanism and a key that a function takes."""
        if "Authenticated" in name or ("Message" in name and "crypt" in name):
            return mechanism(CKM_AES_GCM, self.message()), self.aes
        if "Recover" in name:
            key = self.rsa_private if "Sign" in name else self.rsa_public
            return mechanism(CKM_RSA_PKCS), key
        if "Encrypt" in name or "Decrypt" in name:
            return mechanism(CKM_AES_CBC_PAD, IV), self.aes
        if "Digest" in name:
            return mechanism(CKM_SHA256), self.hmac
        if name == "C_GenerateKeyPair":
            return mechanism(CKM_EC_KEY_PAIR_GEN), 0
        if name == "C_GenerateKey":
            return mechanism(CKM_AES_KEY_GEN), 0
        if name in ("C_WrapKey", "C_UnwrapKey"):
            return mechanism(CKM_AES_KEY_WRAP), self.aes
        if name == "C_DeriveKey":
            data = struct("CK_KEY_DERIVATION_STRING_DATA", pData=KEY, ulLen=len(KEY))
            return mechanism(CKM_AES_ECB_ENCRYPT_DATA, data), self.aes
        if "capsulate" in name:
            return mechanism(CKM_ML_KEM), 0
        return mechanism(CKM_SHA256_HMAC), self.hmac

    def prepare(self, name: str, session: int) -> None:
        """Make active what the function needs, and give the first part where it is the last."""
        p11 = self.p11
        for operation in NEEDS.get(name, "").split():
            mech, key = self.mechanism_for(operation)
            if operation == "FindObjects":
                p11.do("C_FindObjectsInit", session, NULL, 0)
            elif operation == "Digest":
                p11.do("C_DigestInit", session, mech)
            elif operation == "VerifySignature":
                p11.do("C_VerifySignatureInit", session, mech, key, octets(KEY), len(KEY))
            else:
                p11.do(f"C_{operation}Init", session, mech, key)
        if name.endswith("MessageNext"):
            begin = FUNCTIONS[name.replace("Next", "Begin")]
            p11.do(begin.name, *self.good(begin, session))
        if name == "C_EncryptFinal":
            p11.output("C_EncryptUpdate", session, octets(TEXT), len(TEXT), size=64)
        elif name == "C_DecryptFinal":
            p11.output("C_DecryptUpdate", session, octets(self.encrypted), 32, size=64)
        elif name in ("C_DigestFinal", "C_SignFinal"):
            p11.do(name.replace("Final", "Update"), session, octets(TEXT), len(TEXT))

    def good(self, function: Function, session: int) -> list[Any]:
        """Arguments with nothing wrong about them."""
        name = function.name
        mech, key = self.mechanism_for(name)
        pin = SO_PIN if name == "C_InitToken" else PIN
        data = self.encrypted if "Decrypt" in name else TEXT
        if name == "C_UnwrapKey":
            data = self.wrapped
        if name == "C_DecapsulateKey":
            data = bytes(1088)
        if name == "C_VerifyRecover":
            data = self.signed
        message = self.message() if "crypt" in name else NULL
        attributes, count = template(TEMPLATES.get(name, {CKA_LABEL: "x"}))
        public, private = template({CKA_EC_PARAMS: P256}), template({CKA_SIGN: True})
        pin_slot = name in ("C_InitToken",)
        by_name: dict[str, Any] = {
            "hSession": session,
            "slotID": self.other_slot if pin_slot else self.slot,
            "flags": CKF_DONT_BLOCK if name == "C_WaitForSlotEvent" else 0,
            "tokenPresent": 1,
            "pParameter": message,
            "ulParameterLen": ffi.sizeof(message[0]) if message else 0,
            "type": CKM_SHA256 if name == "C_GetMechanismInfo" else CKS_LAST_VALIDATION_OK,
            "userType": CKU_USER,
            "pMechanism": mech,
            "hKey": key,
            "hBaseKey": key,
            "hWrappingKey": key,
            "hUnwrappingKey": key,
            "hPublicKey": self.public,
            "hPrivateKey": self.private,
            "hObject": self.note,
            "pTemplate": attributes,
            "ulCount": count,
            "ulAttributeCount": count,
            "pPublicKeyTemplate": public[0],
            "ulPublicKeyAttributeCount": public[1],
            "pPrivateKeyTemplate": private[0],
            "ulPrivateKeyAttributeCount": private[1],
            "pPin": octets(pin),
            "ulPinLen": len(pin),
            "pOldPin": octets(pin),
            "ulOldLen": len(pin),
            "pNewPin": octets(pin),
            "ulNewLen": len(pin),
            "pLabel": octets(b"label".ljust(32)),
            "ulMaxObjectCount": 4,
            "pInterfaceName": octets(b"PKCS 11\0"),
            "pVersion": ffi.new("CK_VERSION *", (2, 40)),
            "ulRandomLen": 16,
            "ulSeedLen": 16,
            "pInitArgs": NULL,
            "pReserved": NULL,
            "pApplication": NULL,
            "Notify": NULL,
        }
        if name == "C_OpenSession":
            by_name["flags"] = CKF_SERIAL_SESSION | CKF_RW_SESSION
        if name.endswith("MessageNext"):
            by_name["flags"] = CKF_END_OF_MESSAGE
        arguments = []
        for kind, parameter in function.parameters:
            if parameter in by_name:
                arguments.append(by_name[parameter])
            elif self._is_input(function, parameter):
                arguments.append(octets(data))
            elif ffi.typeof(kind).kind == "pointer":
                item = ffi.typeof(kind).item
                size = 64 if item.kind in ("primitive", "pointer") else 1
                kind = "CK_BYTE[64]" if item.kind == "void" else f"{item.cname}[{size}]"
                arguments.append(ffi.new(kind))
                if kind == "CK_ULONG_PTR" or parameter.startswith("pul"):
                    arguments[-1][0] = 64
            else:
                arguments.append(len(data) if parameter.endswith("Len") else 0)
        return arguments

    @staticmethod
    def _is_input(function: Function, parameter: str) -> bool:
        kinds = [kind for kind, _ in function.parameters]
        index = [name for _, name in function.parameters].index(parameter)
        return kinds[index] == "CK_BYTE_PTR" and kinds[index + 1 : index + 2] == ["CK_ULONG"]

    def state(self) -> tuple[Any, ...]:
        """What a call that is refused must not change."""
        p11 = self.p11
        info = p11.session_info(self.main)
        tokens = [p11.token_info(slot) for slot in (self.slot, self.other_slot)]
        note = octets(bytes(32))
        one = ffi.new("CK_ATTRIBUTE *", (CKA_LABEL, note, 32))
        p11.do("C_GetAttributeValue", self.main, self.note, one, 1)
        return (
            int(info.state),
            tuple(p11.find(self.main, {})),
            bytes(note),
            tuple((int(t.flags), bytes(t.label), int(t.ulSessionCount)) for t in tokens),
        )


def blank(function: Function) -> tuple[list[Any], list[Any]]:
    """Arguments that are zero or point to zeros, and the zeros, which have to be kept."""
    arguments, buffers = [], []
    for kind, parameter in function.parameters:
        c_type = ffi.typeof(kind)
        if c_type.kind == "primitive":
            arguments.append(0)
        elif c_type.kind == "function" or parameter in ("pReserved", "pInitArgs"):
            arguments.append(NULL)
        else:
            buffers.append(ffi.new("CK_BYTE[4096]"))
            arguments.append(ffi.cast(kind, buffers[-1]))
    return arguments, buffers


class Checks:
    """The checks, by name; each returns what it found wrong with one function."""

    def __init__(self, p11: Client) -> None:
        self.p11 = p11
        self._world: World | None = None

    @property
    def world(self) -> World:
        if self._world is None:
            self._world = World(self.p11)
        return self._world

    def uninitialised(self, function: Function) -> Iterator[str]:
        """In a process that has not called C_Initialize."""
        arguments, _buffers = blank(function)
        nothing = [
            0 if ffi.typeof(kind).kind == "primitive" else NULL for kind, _ in function.parameters
        ]
        if function.name not in ALWAYS:
            for what, given in (("buffers", arguments), ("NULLs", nothing)):
                yield from self._expect(function, what, given, (CKR_CRYPTOKI_NOT_INITIALIZED,))
        elif function.name != "C_Initialize":
            # Whichever interface and version; how many interfaces there are.
            for index in {"C_GetInterface": (0, 1), "C_GetInterfaceList": (0,)}.get(
                function.name, ()
            ):
                arguments[index] = NULL
            yield from self._expect(function, "buffers", arguments, (CKR_OK,))

    def finalised(self, function: Function) -> Iterator[str]:
        """After C_Finalize, with handles that were good before."""
        if self._world is None:
            assert self.world.main
            self.p11.do("C_Finalize", NULL)
        yield from self.uninitialised(function)
        if function.name not in ALWAYS:
            arguments = self.world.good(function, self.world.main)
            yield from self._expect(function, "good", arguments, (CKR_CRYPTOKI_NOT_INITIALIZED,))

    def sessions(self, function: Function) -> Iterator[str]:
        """Session handles that name no session, with arguments that are good and that are not."""
        names = [parameter for _, parameter in function.parameters]
        if "hSession" not in names:
            return
        for handle in (0, 0x7FFFFFF0, (1 << 64) - 1, self.world.closed):
            good = self.world.good(function, handle)
            bad = [
                NULL if ffi.typeof(kind).kind == "pointer" else value
                for (kind, _), value in zip(function.parameters, good, strict=True)
            ]
            for what, arguments in (("good", good), ("NULL", bad)):
                yield from self._unchanged(
                    function,
                    f"hSession={handle:#x}, {what}",
                    arguments,
                    (CKR_SESSION_HANDLE_INVALID,),
                )

    def slots(self, function: Function) -> Iterator[str]:
        """Slots that are not there."""
        names = [parameter for _, parameter in function.parameters]
        if "slotID" not in names:
            return
        for slot in (0x7FFFFFF1, (1 << 64) - 1):
            arguments = self.world.good(function, 0)
            arguments[names.index("slotID")] = slot
            yield from self._unchanged(
                function, f"slotID={slot:#x}", arguments, (CKR_SLOT_ID_INVALID,)
            )

    def objects(self, function: Function) -> Iterator[str]:
        """Handles that name no object."""
        for index, (kind, parameter) in enumerate(function.parameters):
            if kind != "CK_OBJECT_HANDLE":
                continue
            codes = NO_OBJECT.get((function.name, parameter)) or NO_OBJECT.get(parameter)
            assert codes or function.name in not_supported(), f"no row for {parameter}"
            for handle in (0, 0x7FFFFFF2, (1 << 64) - 1, self.world.gone):
                session = self.world.session_for(function.name)
                if function.name in FUNCTIONS.keys() - not_supported():
                    self.world.prepare(function.name, session)
                arguments = self.world.good(function, session)
                arguments[index] = handle
                what = f"{parameter}={handle:#x}"
                yield from self._unchanged(function, what, arguments, codes or ())
                self.p11.do("C_CloseSession", session)

    def nulls(self, function: Function) -> Iterator[str]:
        """NULL for each pointer in turn, all else being good."""
        kinds = [kind for kind, _ in function.parameters]
        for index, (kind, parameter) in enumerate(function.parameters):
            if ffi.typeof(kind).kind != "pointer" or (function.name, parameter) in NULL_IS_RIGHT:
                continue
            codes = NULL_MEANS.get((function.name, parameter), (CKR_ARGUMENTS_BAD,))
            if kinds[index + 1 : index + 2] == ["CK_ULONG_PTR"] and parameter != "phObject":
                codes = (CKR_OK,)
            yield from self._tried(function, index, NULL, f"{parameter}=NULL", codes)

    def lengths(self, function: Function) -> Iterator[str]:
        """Lengths beyond all memory: any code but success and "general error" will do."""
        previous = ""
        for index, (kind, parameter) in enumerate(function.parameters):
            is_length = kind == "CK_ULONG" and previous.endswith("_PTR")
            previous = kind
            if not is_length or parameter == "ulMaxObjectCount":
                continue
            for length in ((1 << 64) - 1, 1 << 62):
                yield from self._tried(function, index, length, f"{parameter}={length:#x}", ())

    def inactive(self, function: Function) -> Iterator[str]:
        """Update and Final without Init."""
        if function.name not in NEEDS:
            return
        session = self.world.session_for(function.name)
        arguments = self.world.good(function, session)
        codes = (CKR_OPERATION_NOT_INITIALIZED,)
        yield from self._unchanged(function, "without Init", arguments, codes)
        self.p11.do("C_CloseSession", session)

    def short(self, function: Function) -> Iterator[str]:
        """Buffers that are too small: nothing is lost, and the next try gives the answer."""
        if function.name not in OUTPUT:
            return
        name, length = function.name, OUTPUT[function.name]
        given = self.world.given(name)
        call = getattr(self.p11, name)
        answers = set()
        for room in (0, 1, length - 1, length, length + 100):
            session = self.world.session_for(name)
            self.world.prepare(name, session)
            told = ffi.new("CK_ULONG *", 0)
            rv = call(session, *given, NULL, told)
            # Before padding is seen, the length may be a bound.
            if rv != CKR_OK or not length <= told[0] <= length + 16:
                yield f"{name} says {told[0]} octets instead of {length}, {RV(rv)}"
            out = ffi.new("CK_BYTE[512]", [0xA5] * 512)
            told[0] = room
            rv = call(session, *given, out, told)
            if room < length:
                if rv != CKR_BUFFER_TOO_SMALL:
                    yield f"{name} with {room} octets of room: {RV(rv)}"
                if set(out) != {0xA5}:
                    yield f"{name} with {room} octets of room wrote something"
                told[0] = 512
                rv = call(session, *given, out, told)
            if rv != CKR_OK:
                yield f"{name} in the end, first with {room} octets of room: {RV(rv)}"
            if set(bytes(ffi.buffer(out))[told[0] :]) != {0xA5}:
                yield f"{name} wrote behind its answer"
            answers.add(bytes(ffi.buffer(out))[: told[0]])
            self.p11.do("C_CloseSession", session)
        if name == "C_GetOperationState":
            answers = {min(answers)}  # no two states are alike
        if [len(answer) for answer in answers] != [length]:
            yield f"{name} gave other answers than one of {length} octets: {answers}"

    def values(self, function: Function) -> Iterator[str]:
        """Attributes and parameters that are nowhere, but have a length."""
        if function.name in not_supported():
            return
        for index, (kind, parameter) in enumerate(function.parameters):
            if kind == "CK_ATTRIBUTE_PTR" and function.name != "C_GetAttributeValue":
                wrong = ffi.new("CK_ATTRIBUTE[1]", [(CKA_LABEL, NULL, 5)])
                codes = (CKR_ARGUMENTS_BAD, CKR_ATTRIBUTE_VALUE_INVALID)
                yield from self._tried(function, index, wrong, f"{parameter}->pValue=NULL", codes)
            if kind == "CK_MECHANISM_PTR":
                wrong = ffi.new("CK_MECHANISM *", (CKM_AES_CBC_PAD, NULL, 16))
                if function.name in ("C_EncryptInit", "C_DecryptInit"):
                    codes = (CKR_ARGUMENTS_BAD, CKR_MECHANISM_PARAM_INVALID)
                    what = f"{parameter}->pParameter=NULL"
                    yield from self._tried(function, index, wrong, what, codes)

    def parallel(self, function: Function) -> Iterator[str]:
        """What version 2.0 had for parallel sessions."""
        if function.name in PARALLEL:
            session = self.world.session_for(function.name)
            codes = (CKR_FUNCTION_NOT_PARALLEL,)
            yield from self._unchanged(function, "good", [session], codes)
            self.p11.do("C_CloseSession", session)

    def _tried(
        self, function: Function, index: int, value: Any, what: str, codes: Codes
    ) -> Iterator[str]:
        session = self.world.session_for(function.name)
        if function.name not in not_supported():
            self.world.prepare(function.name, session)
        arguments = self.world.good(function, session)
        arguments[index] = value
        yield from self._unchanged(function, what, arguments, codes)
        self.p11.do("C_CloseSession", session)

    def _unchanged(
        self, function: Function, what: str, arguments: list[Any], codes: Codes
    ) -> Iterator[str]:
        if function.name in not_supported():
            codes = (CKR_FUNCTION_NOT_SUPPORTED,)
        before = self.world.state()
        yield from self._expect(function, what, arguments, codes)
        after = self.world.state()
        if after != before:
            yield f"{function.name}({what}) changed {before} to {after}"

    def _expect(
        self, function: Function, what: str, arguments: list[Any], codes: Codes
    ) -> Iterator[str]:
        os.write(2, f"{function.name}({what})\n".encode())
        rv = getattr(self.p11, function.name)(*arguments)
        expected = " or ".join(str(RV(code)) for code in codes) or "a refusal"
        if rv not in codes if codes else rv in (CKR_OK, CKR_GENERAL_ERROR):
            yield f"{function.name}({what}) returned {rv}, expected {expected}"


def serve(library: str) -> None:
    """Answer lines of "check function" with lists of what is wrong, until the input ends."""
    checks = Checks(Client(library))
    for line in sys.stdin:
        check, name = line.split()
        if name in checks.p11.functions:
            found = list(getattr(checks, check)(FUNCTIONS[name]))
        else:
            found = [f"the module's function list has no {name}"]
        print(json.dumps(found), flush=True)


# -- the tests ---------------------------------------------------------------------------------


class Worker:
    """The process that makes the calls. It is started again when it has died."""

    def __init__(self, library: Path, directory: Path) -> None:
        self._library = library
        self._directory = directory
        self._process: subprocess.Popen[str] | None = None
        self._count = 0
        self._calls = directory / "calls"

    def _start(self) -> subprocess.Popen[str]:
        self._count += 1
        home = self._directory / str(self._count)
        home.mkdir()
        configuration = home / "config.toml"
        configuration.write_text("[store]\nkdf_memory = 64\nkdf_iterations = 1\nkdf_lanes = 1\n")
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")]),
            "PYPKCS11_CONF": str(configuration),
            "PYPKCS11_TOKEN_DIR": str(home / "tokens"),
        }
        with self._calls.open("wb") as calls:
            return subprocess.Popen(
                [sys.executable, __file__, str(self._library)],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=calls,
                text=True,
            )

    def ask(self, check: str, function: str) -> list[str]:
        """Run one check of one function."""
        if self._process is None:
            self._process = self._start()
        process = self._process
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{check} {function}\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], 60)
        line = process.stdout.readline() if ready else ""
        if line:
            found: list[str] = json.loads(line)
            return found
        if not ready:
            process.kill()
        code = process.wait()
        self._process = None
        end = "hung" if not ready else f"ended with {code}"
        if ready and code < 0:
            end = f"died of {signal.Signals(-code).name}"
        last = self._calls.read_text(errors="replace").splitlines()[-15:]
        return [f"the process {end}; its last lines:", *last]

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin
            self._process.stdin.close()
            self._process.wait(60)


@pytest.fixture(scope="module")
def worker(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(library, tmp_path_factory.mktemp("bad-input"))
    yield worker
    worker.stop()


@pytest.fixture(scope="module")
def outside(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A process that never calls C_Initialize."""
    worker = Worker(library, tmp_path_factory.mktemp("outside"))
    yield worker
    worker.stop()


@pytest.fixture(scope="module")
def after(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A process that has called C_Finalize."""
    worker = Worker(library, tmp_path_factory.mktemp("after"))
    yield worker
    worker.stop()


def test_the_tables_are_whole() -> None:
    assert len(FUNCTIONS) == 104
    assert not_supported() <= FUNCTIONS.keys()
    for name, function in FUNCTIONS.items():
        kinds = [kind for kind, _ in function.parameters]
        if name not in not_supported() and kinds[-2:] == ["CK_BYTE_PTR", "CK_ULONG_PTR"]:
            assert name in OUTPUT, f"{name} gives octets and has no row in OUTPUT"
        ends = name.endswith(("Update", "Final")) and name != "C_SessionCancel"
        if name not in not_supported() and ends:
            assert name in NEEDS, f"{name} has no row in NEEDS"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_before_c_initialize(outside: Worker, name: str) -> None:
    assert outside.ask("uninitialised", name) == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_after_c_finalize(after: Worker, name: str) -> None:
    assert after.ask("finalised", name) == []


CHECKS = (
    "sessions",
    "slots",
    "objects",
    "nulls",
    "lengths",
    "values",
    "inactive",
    "short",
    "parallel",
)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_wrong_arguments(worker: Worker, name: str) -> None:
    assert [wrong for check in CHECKS for wrong in worker.ask(check, name)] == []


if __name__ == "__main__":
    serve(sys.argv[1])
