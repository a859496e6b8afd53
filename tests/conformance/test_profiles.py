"""The mandatory test cases of the OASIS PKCS #11 Profiles v3.2, and what else the profiles ask for.

The cases are in profiles/, told in steps. All their functions have to answer CKR_OK, and what they
print has to come back, but for texts and numbers that are the token's own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from abi.client import NULL, Client, encode, ffi, functions, mechanism, octets, template
from abi.samples import certificate
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from pypkcs11.standard import constants as C  # noqa: N812

PROFILES = Path(__file__).parent / "profiles"
CASES = {path.stem: tomllib.loads(path.read_text()) for path in sorted(PROFILES.glob("*.toml"))}
SO_PIN, PIN = b"so-pin-87654321", b"user-pin-1234"
Names = dict[str, Any]


def named(value: Any) -> Any:
    """A value of a case: a constant's name stands for its number."""
    if isinstance(value, list):
        return sum(named(one) for one in value)
    return getattr(C, value, value) if isinstance(value, str) else value


class Player:
    """An application that goes through a case step by step. One method for each function."""

    def __init__(self, p11: Client) -> None:
        self.p11 = p11
        self.slot = 0
        self.session = 0
        self.count = ffi.new("CK_ULONG *")
        self.objects: list[int] = []
        self.length = 0
        self.read: dict[int, bytes] = {}
        self.signed: tuple[bytes, bytes] = (b"", b"")

    def play(self, steps: list[list[Any]]) -> None:
        """Go through a case; every call has to succeed."""
        for function, *more in steps:
            getattr(self, function)(**(more[0] if more else {}))

    def do(self, function: str, *arguments: Any) -> None:
        self.p11.do(function, *arguments)

    def C_Initialize(self) -> None:
        self.do("C_Initialize", NULL)

    def C_Finalize(self) -> None:
        self.do("C_Finalize", NULL)

    def C_GetInfo(self, version: list[int], flags: int) -> None:
        info = ffi.new("CK_INFO *")
        self.do("C_GetInfo", info)
        assert [info.cryptokiVersion.major, info.cryptokiVersion.minor] == version
        assert info.flags == flags

    def C_GetSlotList(self, present: bool, list: bool) -> None:
        slots = ffi.new("CK_SLOT_ID[]", int(self.count[0])) if list else NULL
        self.do("C_GetSlotList", present, slots, self.count)
        if list:
            self.slot = int(slots[0])

    def C_GetSlotInfo(self, flags: list[str]) -> None:
        info = ffi.new("CK_SLOT_INFO *")
        self.do("C_GetSlotInfo", self.slot, info)
        assert info.flags == named(flags)

    def C_GetTokenInfo(self, flags: list[str], sessions: int, pin: list[int]) -> None:
        info = self.p11.token_info(self.slot)
        assert info.flags & named(flags) == named(flags)
        assert [info.ulMinPinLen, info.ulMaxPinLen] == pin
        assert info.ulSessionCount == info.ulRwSessionCount == sessions
        assert info.ulMaxSessionCount == info.ulMaxRwSessionCount == C.CK_EFFECTIVELY_INFINITE

    def C_GetMechanismList(self, list: bool, has: tuple[str, ...] = ()) -> None:
        numbers = ffi.new("CK_MECHANISM_TYPE[]", int(self.count[0])) if list else NULL
        self.do("C_GetMechanismList", self.slot, numbers, self.count)
        if list:
            assert {named(name) for name in has} <= {int(number) for number in numbers}

    def C_GetMechanismInfo(self, type: str, sizes: list[int], flags: list[str]) -> None:
        info = ffi.new("CK_MECHANISM_INFO *")
        self.do("C_GetMechanismInfo", self.slot, named(type), info)
        assert info.flags & named(flags) == named(flags)
        # A key's smallest and largest size are the token's choice; no size is no size.
        assert (info.ulMinKeySize == 0) == (sizes[0] == 0)
        assert (info.ulMaxKeySize == 0) == (sizes[1] == 0)

    def C_OpenSession(self, read_write: bool) -> None:
        self.session = self.p11.open(self.slot, read_write)

    def C_CloseSession(self) -> None:
        self.do("C_CloseSession", self.session)

    def C_CloseAllSessions(self) -> None:
        self.do("C_CloseAllSessions", self.slot)

    def C_Login(self, user: str) -> None:
        self.p11.login(self.session, named(user), PIN)

    def C_Logout(self) -> None:
        self.do("C_Logout", self.session)

    def C_FindObjectsInit(self, **attributes: Any) -> None:
        wanted = {getattr(C, name): named(value) for name, value in attributes.items()}
        self.do("C_FindObjectsInit", self.session, *template(wanted))

    def C_FindObjects(self, most: int, found: int) -> None:
        handles = ffi.new("CK_OBJECT_HANDLE[]", most)
        self.do("C_FindObjects", self.session, handles, most, self.count)
        assert self.count[0] == found
        self.objects = [int(handle) for handle in handles[0:found]]

    def C_FindObjectsFinal(self) -> None:
        self.do("C_FindObjectsFinal", self.session)

    def C_GetAttributeValue(self, object: int, **how: Any) -> None:
        if "ask" in how:
            self._get(object, {how["ask"]: None})
        elif "same" in how:
            self._get(object, {how["same"]: self.length})
        else:
            self._get(object, how["room"])

    def _get(self, number: int, room: dict[str, int | None]) -> None:
        array = ffi.new("CK_ATTRIBUTE[]", len(room))
        buffers = [
            NULL if octets is None else ffi.new("CK_BYTE[]", octets) for octets in room.values()
        ]
        for entry, buffer, (name, length) in zip(array, buffers, room.items(), strict=True):
            entry.type, entry.pValue, entry.ulValueLen = getattr(C, name), buffer, length or 0
        self.do("C_GetAttributeValue", self.session, self.objects[number], array, len(room))
        for entry, buffer in zip(array, buffers, strict=True):
            self.length = int(entry.ulValueLen)
            if buffer:
                self.read[int(entry.type)] = bytes(ffi.buffer(buffer, self.length))

    def C_SignInit(self, mechanism: str, object: int) -> None:
        kind = made_mechanism(named(mechanism))
        self.do("C_SignInit", self.session, kind, self.objects[object])

    def C_Sign(self, octets: int, room: int) -> None:
        data = bytes(i % 251 for i in range(octets))
        buffer, length = ffi.new("CK_BYTE[]", room), ffi.new("CK_ULONG *", room)
        self.do("C_Sign", self.session, data, octets, buffer, length)
        self.signed = data, bytes(ffi.buffer(buffer, length[0]))


made_mechanism = mechanism


# -- the tokens that the cases are played on ---------------------------------------------------


@pytest.fixture
def p11(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The module with a token on which both PINs are set, not initialised."""
    configuration = tmp_path / "config.toml"
    configuration.write_text("[store]\nkdf_memory = 64\nkdf_iterations = 1\nkdf_lanes = 1\n")
    monkeypatch.setenv("PYPKCS11_CONF", str(configuration))
    monkeypatch.setenv("PYPKCS11_TOKEN_DIR", str(tmp_path / "tokens"))
    p11 = Client(library)
    p11.do("C_Initialize", NULL)
    (slot,) = p11.slots()
    p11.init_token(slot, SO_PIN, "token1")
    session = p11.open(slot)
    p11.login(session, C.CKU_SO, SO_PIN)
    p11.do("C_InitPIN", session, octets(PIN), len(PIN))
    p11.do("C_Finalize", NULL)
    yield p11
    p11.C_Finalize(NULL)


def prepare(p11: Client, kind: str) -> rsa.RSAPublicNumbers | None:
    """Store what a case expects to be there."""
    p11.do("C_Initialize", NULL)
    session = p11.open(p11.slots()[0])
    p11.login(session, C.CKU_USER, PIN)
    result = PREPARATIONS[kind](p11, session)
    p11.do("C_Finalize", NULL)
    return result


def key_pair(p11: Client, session: int) -> rsa.RSAPublicNumbers:
    public, _ = p11.generate_pair(
        session,
        mechanism(C.CKM_RSA_PKCS_KEY_PAIR_GEN),
        {C.CKA_MODULUS_BITS: 2048, C.CKA_TOKEN: True, C.CKA_LABEL: "testrsa-pub"},
        {C.CKA_TOKEN: True, C.CKA_LABEL: "testrsa-pri"},
    )
    modulus, exponent = (
        int.from_bytes(p11.get(session, public, attribute), "big")
        for attribute in (C.CKA_MODULUS, C.CKA_PUBLIC_EXPONENT)
    )
    return rsa.RSAPublicNumbers(exponent, modulus)


def certificates(p11: Client, session: int) -> None:
    about = {C.CKA_CLASS: C.CKO_DATA, C.CKA_PRIVATE: False, C.CKA_LABEL: "Some builtin roots"}
    p11.create(session, about | {C.CKA_TOKEN: True})
    for number in range(4):
        made = {C.CKA_CLASS: C.CKO_CERTIFICATE, C.CKA_CERTIFICATE_TYPE: C.CKC_X_509}
        more = {C.CKA_VALUE: certificate(), C.CKA_TOKEN: True, C.CKA_ID: bytes([number])}
        p11.create(session, made | more)


PREPARATIONS = {
    "nothing": lambda p11, session: None,
    "an RSA key pair": key_pair,
    "public certificates": certificates,
}


# -- the tests ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_case(p11: Client, case: str) -> None:
    expected = prepare(p11, CASES[case]["prepared"])
    player = Player(p11)
    player.play(CASES[case]["steps"])
    if case == "authentication":
        assert expected is not None
        modulus = player.read[C.CKA_MODULUS]
        assert int.from_bytes(modulus, "big") == expected.n
        assert int.from_bytes(player.read[C.CKA_PUBLIC_EXPONENT], "big") == expected.e
        data, signature = player.signed
        expected.public_key().verify(signature, data, padding.PKCS1v15(), SHA256())
    if case == "certificates":
        assert player.read[C.CKA_LABEL] == b"Some builtin roots"
        assert player.read[C.CKA_VALUE] == certificate()


@pytest.mark.parametrize("case", [case for case in CASES if "profile" in CASES[case]])
def test_what_the_profile_asks_for(p11: Client, case: str) -> None:
    """The object that names the profile is there, and no function is missing."""
    p11.do("C_Initialize", NULL)
    session = p11.open(p11.slots()[0], read_write=False)
    profile = named(CASES[case]["profile"])
    (obj,) = p11.find(session, {C.CKA_CLASS: C.CKO_PROFILE, C.CKA_PROFILE_ID: profile})
    assert p11.get(session, obj, C.CKA_PROFILE_ID) == encode(profile)
    wanted = set(CASES[case]["functions"])
    for other in CASES[case]["includes"]:
        wanted |= set(CASES[other]["functions"])
    known = {function.name: function for function in functions()}
    assert wanted <= known.keys()
    for name in wanted - {"C_GetFunctionList", "C_GetInterfaceList", "C_GetInterface"}:
        assert name in p11.functions
        if known[name].parameters[0][0] == "CK_SESSION_HANDLE":
            nothing = [NULL if "PTR" in kind else 0 for kind, _ in known[name].parameters]
            assert getattr(p11, name)(*nothing) == C.CKR_SESSION_HANDLE_INVALID


def test_no_profile_is_claimed_that_has_no_case(p11: Client) -> None:
    p11.do("C_Initialize", NULL)
    session = p11.open(p11.slots()[0], read_write=False)
    claimed = {
        p11.get(session, obj, C.CKA_PROFILE_ID)
        for obj in p11.find(session, {C.CKA_CLASS: C.CKO_PROFILE})
    }
    played = {encode(named(case["profile"])) for case in CASES.values() if "profile" in case}
    # OASIS has no test case for the HKDF TLS Token; derivation has its own tests.
    assert claimed - {encode(C.CKP_HKDF_TLS_TOKEN)} == played
