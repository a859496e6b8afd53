"""What begins an operation, what ends it and what leaves it alive (sections 5.6 to 5.17)."""

from __future__ import annotations

import hashlib

import pytest
from abi.client import NULL, Client, ffi, mechanism, octets, refused, template
from abi.conftest import USER_PIN, Token
from abi.helping import configure, make_token

from pypkcs11.standard.constants import (
    CKA_ALWAYS_AUTHENTICATE,
    CKA_CLASS,
    CKA_DECRYPT,
    CKA_EC_PARAMS,
    CKA_ENCRYPT,
    CKA_EXTRACTABLE,
    CKA_KEY_TYPE,
    CKA_PRIVATE,
    CKA_SENSITIVE,
    CKA_SIGN,
    CKA_TOKEN,
    CKA_VALUE,
    CKA_VERIFY,
    CKF_DECRYPT,
    CKF_DIGEST,
    CKF_DUAL_CRYPTO_OPERATIONS,
    CKF_ENCRYPT,
    CKF_FIND_OBJECTS,
    CKF_SIGN,
    CKF_VERIFY,
    CKK_AES,
    CKM_AES_CBC,
    CKM_AES_CMAC,
    CKM_EC_KEY_PAIR_GEN,
    CKM_ECDSA,
    CKM_ECDSA_SHA256,
    CKM_MD5,
    CKM_SHA256,
    CKO_SECRET_KEY,
    CKR_ARGUMENTS_BAD,
    CKR_BUFFER_TOO_SMALL,
    CKR_KEY_FUNCTION_NOT_PERMITTED,
    CKR_KEY_HANDLE_INVALID,
    CKR_KEY_INDIGESTIBLE,
    CKR_MECHANISM_INVALID,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_OK,
    CKR_OPERATION_ACTIVE,
    CKR_OPERATION_NOT_INITIALIZED,
    CKR_PIN_INCORRECT,
    CKR_PIN_LOCKED,
    CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE,
    CKR_USER_NOT_LOGGED_IN,
    CKS_RW_PUBLIC_SESSION,
    CKU_CONTEXT_SPECIFIC,
    CKU_USER,
)

P256 = bytes.fromhex("06082a8648ce3d030107")
IV = bytes(range(16))
AES = {
    CKA_CLASS: CKO_SECRET_KEY,
    CKA_KEY_TYPE: CKK_AES,
    CKA_VALUE: bytes(range(16)),
    CKA_SIGN: True,
    CKA_VERIFY: True,
}
KINDS = ("Digest", "Encrypt", "Decrypt", "Sign", "Verify", "FindObjects")
FLAGS = dict(
    zip(
        KINDS,
        (CKF_DIGEST, CKF_ENCRYPT, CKF_DECRYPT, CKF_SIGN, CKF_VERIFY, CKF_FIND_OBJECTS),
        strict=True,
    )
)

#: What may be active together, by section 5.17. Everything else excludes each other.
PAIRS = ({"Digest", "Encrypt"}, {"Decrypt", "Digest"}, {"Sign", "Encrypt"}, {"Decrypt", "Verify"})


@pytest.fixture
def key(p11: Client, session: int) -> int:
    """An AES key that may do anything."""
    return p11.create(session, AES)


def begin(p11: Client, session: int, kind: str, key: int) -> int:
    """C_*Init of a kind, with arguments that are right."""
    if kind == "FindObjects":
        return p11.C_FindObjectsInit(session, NULL, 0)
    if kind == "Digest":
        return p11.C_DigestInit(session, mechanism(CKM_SHA256))
    cipher = kind in ("Encrypt", "Decrypt")
    mech = mechanism(CKM_AES_CBC, IV) if cipher else mechanism(CKM_AES_CMAC)
    return int(getattr(p11, f"C_{kind}Init")(session, mech, key))


def is_active(p11: Client, session: int, kind: str) -> bool:
    """Whether an operation is; asks in a way that does not end it."""
    room, length = ffi.new("CK_BYTE[64]"), ffi.new("CK_ULONG *", 64)
    if kind == "FindObjects":
        handles = ffi.new("CK_OBJECT_HANDLE[1]")
        return int(p11.C_FindObjects(session, handles, 0, length)) == CKR_OK
    if kind == "Verify":
        return int(p11.C_VerifyUpdate(session, room, 0)) == CKR_OK
    final = getattr(p11, f"C_{kind}Final")
    return int(final(session, NULL, length)) == CKR_OK


# -- what may begin beside what ----------------------------------------------------------------


@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
def test_what_goes_together(p11: Client, session: int, key: int, first: str, second: str) -> None:
    assert begin(p11, session, first, key) == CKR_OK
    legal = {first, second} in PAIRS
    assert begin(p11, session, second, key) == (CKR_OK if legal else CKR_OPERATION_ACTIVE)
    assert is_active(p11, session, first)  # whatever the second met
    assert [kind for kind in KINDS if is_active(p11, session, kind)] == [
        kind for kind in KINDS if kind == first or (legal and kind == second)
    ]
    if legal:
        for third in KINDS:
            assert begin(p11, session, third, key) == CKR_OPERATION_ACTIVE


def test_the_token_says_that_there_are_pairs(p11: Client, token: Token) -> None:
    assert p11.token_info(token.slot).flags & CKF_DUAL_CRYPTO_OPERATIONS


def test_sessions_do_not_get_in_each_others_way(
    p11: Client, token: Token, session: int, key: int
) -> None:
    sessions = [p11.open(token.slot, read_write=False) for _ in KINDS]
    for one, kind in zip(sessions, KINDS, strict=True):
        assert begin(p11, one, kind, key) == CKR_OK
    for one, kind in zip(sessions, KINDS, strict=True):
        assert [k for k in KINDS if is_active(p11, one, k)] == [kind]


# -- ending ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_init_without_a_mechanism_ends_an_operation(
    p11: Client, session: int, key: int, kind: str
) -> None:
    assert begin(p11, session, kind, key) == CKR_OK
    arguments = (NULL,) if kind == "Digest" else (NULL, 0)
    p11.do(f"C_{kind}Init", session, *arguments)
    assert not is_active(p11, session, kind)
    assert begin(p11, session, kind, key) == CKR_OK


@pytest.mark.parametrize("kind", KINDS)
def test_session_cancel_ends_what_is_named(p11: Client, session: int, key: int, kind: str) -> None:
    assert begin(p11, session, kind, key) == CKR_OK
    p11.do("C_SessionCancel", session, 0)
    p11.do("C_SessionCancel", session, sum(FLAGS.values()) - FLAGS[kind])
    assert is_active(p11, session, kind)
    p11.do("C_SessionCancel", session, FLAGS[kind])
    assert not is_active(p11, session, kind)
    p11.do("C_SessionCancel", session, FLAGS[kind])  # what is not active is no mistake


def test_cancelling_one_half_of_two_leaves_the_other(p11: Client, session: int, key: int) -> None:
    for kind in ("Sign", "Encrypt"):
        assert begin(p11, session, kind, key) == CKR_OK
    p11.do("C_SessionCancel", session, CKF_ENCRYPT)
    assert is_active(p11, session, "Sign")
    assert not is_active(p11, session, "Encrypt")


def test_an_empty_template_finds_everything_and_cancels_nothing(
    p11: Client, session: int, key: int
) -> None:
    p11.do("C_FindObjectsInit", session, NULL, 0)
    with refused(CKR_OPERATION_ACTIVE):
        p11.do("C_FindObjectsInit", session, NULL, 0)
    p11.do("C_FindObjectsFinal", session)


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_an_init_that_fails_begins_nothing(p11: Client, session: int, key: int, kind: str) -> None:
    may_not = p11.create(session, AES | {CKA_SIGN: False, CKA_VERIFY: False} | _no_cipher())
    call = getattr(p11, f"C_{kind}Init")
    mech = mechanism(CKM_AES_CBC if kind in ("Encrypt", "Decrypt") else CKM_AES_CMAC)
    if kind == "Digest":
        attempts = [(mechanism(CKM_AES_CBC, IV),), (mechanism(CKM_SHA256, b"parameter"),)]
        codes = {CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID}
    else:
        good = mechanism(CKM_AES_CBC, IV) if "crypt" in kind else mech
        attempts = [
            (mechanism(CKM_SHA256), key),
            (mechanism(mech.mechanism, b"xyz"), key),
            (good, 0),
            (good, may_not),
        ]
        codes = {
            CKR_MECHANISM_INVALID,
            CKR_MECHANISM_PARAM_INVALID,
            CKR_KEY_HANDLE_INVALID,
            CKR_KEY_FUNCTION_NOT_PERMITTED,
        }
    assert {int(call(session, *arguments)) for arguments in attempts} == codes
    assert not any(is_active(p11, session, other) for other in KINDS)
    assert begin(p11, session, kind, key) == CKR_OK
    for arguments in attempts:
        assert call(session, *arguments) != CKR_OK
    assert is_active(p11, session, kind)  # what is active stays so


def _no_cipher() -> dict[int, bool]:
    return {CKA_ENCRYPT: False, CKA_DECRYPT: False}


def one_part(p11: Client, session: int, kind: str, length: int = 16) -> int:
    """C_Digest, C_Encrypt, ...: 16 octets, into room for 64."""
    data, room = octets(bytes(16)), ffi.new("CK_BYTE[64]")
    if kind == "Verify":
        return int(p11.C_Verify(session, data, length, room, 16))
    told = ffi.new("CK_ULONG *", 64)
    return int(getattr(p11, f"C_{kind}")(session, data, length, room, told))


def give_part(p11: Client, session: int, kind: str) -> None:
    data = octets(bytes(16))
    if kind in ("Encrypt", "Decrypt"):
        p11.output(f"C_{kind}Update", session, data, 16, size=64)
    else:
        p11.do(f"C_{kind}Update", session, data, 16)


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_one_part_after_a_part_ends_the_operation(
    p11: Client, session: int, key: int, kind: str
) -> None:
    assert begin(p11, session, kind, key) == CKR_OK
    give_part(p11, session, kind)
    assert one_part(p11, session, kind) == CKR_OPERATION_ACTIVE
    assert not is_active(p11, session, kind)


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_one_part_ends_the_operation(p11: Client, session: int, key: int, kind: str) -> None:
    assert begin(p11, session, kind, key) == CKR_OK
    code = one_part(p11, session, kind)
    assert code == (CKR_SIGNATURE_INVALID if kind == "Verify" else CKR_OK)
    assert one_part(p11, session, kind) == CKR_OPERATION_NOT_INITIALIZED


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_the_last_part_ends_the_operation(p11: Client, session: int, key: int, kind: str) -> None:
    assert begin(p11, session, kind, key) == CKR_OK
    give_part(p11, session, kind)
    room = ffi.new("CK_BYTE[64]")
    for code in (CKR_OK, CKR_OPERATION_NOT_INITIALIZED):
        if kind == "Verify":
            code = CKR_SIGNATURE_INVALID if code == CKR_OK else code
            assert p11.C_VerifyFinal(session, room, 16) == code
        else:
            length = ffi.new("CK_ULONG *", 64)
            assert getattr(p11, f"C_{kind}Final")(session, room, length) == code


@pytest.mark.parametrize("kind", ["Digest", "Encrypt", "Decrypt", "Sign"])
def test_asking_for_a_length_ends_nothing(p11: Client, session: int, key: int, kind: str) -> None:
    assert begin(p11, session, kind, key) == CKR_OK
    call, data, length = getattr(p11, f"C_{kind}"), octets(bytes(16)), ffi.new("CK_ULONG *", 0)
    room = ffi.new("CK_BYTE[64]")
    for _ in range(2):
        assert call(session, data, 16, NULL, length) == CKR_OK
        needed = int(length[0])
        assert needed in (16, 32)
        length[0] = needed - 1
        assert call(session, data, 16, room, length) == CKR_BUFFER_TOO_SMALL
        assert length[0] == needed
    assert not any(room)
    assert call(session, data, 16, room, length) == CKR_OK


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_bad_arguments_leave_the_operation_as_it_was(
    p11: Client, session: int, key: int, kind: str
) -> None:
    assert begin(p11, session, kind, key) == CKR_OK
    room, length = ffi.new("CK_BYTE[64]"), ffi.new("CK_ULONG *", 64)
    out = (room, 16) if kind == "Verify" else (room, length)
    assert getattr(p11, f"C_{kind}")(session, NULL, 16, *out) == CKR_ARGUMENTS_BAD
    part = (NULL, 16, *out) if "crypt" in kind else (NULL, 16)
    assert getattr(p11, f"C_{kind}Update")(session, *part) == CKR_ARGUMENTS_BAD
    if kind == "Verify":
        assert p11.C_Verify(session, room, 16, NULL, 16) == CKR_ARGUMENTS_BAD
        assert p11.C_VerifyFinal(session, NULL, 16) == CKR_ARGUMENTS_BAD
    else:
        assert getattr(p11, f"C_{kind}")(session, room, 16, room, NULL) == CKR_ARGUMENTS_BAD
        assert getattr(p11, f"C_{kind}Final")(session, room, NULL) == CKR_ARGUMENTS_BAD
    # Not even a one-part call is out of order now: no part has been taken in.
    code = one_part(p11, session, kind)
    assert code == (CKR_SIGNATURE_INVALID if kind == "Verify" else CKR_OK)


def test_data_that_cannot_be_ends_the_operation(p11: Client, session: int, key: int) -> None:
    assert begin(p11, session, "Encrypt", key) == CKR_OK
    assert one_part(p11, session, "Encrypt", length=15) not in (CKR_OK, CKR_BUFFER_TOO_SMALL)
    assert not is_active(p11, session, "Encrypt")
    assert begin(p11, session, "Verify", key) == CKR_OK
    assert p11.C_Verify(session, octets(b"x"), 1, octets(b"xy"), 2) == CKR_SIGNATURE_LEN_RANGE
    assert not is_active(p11, session, "Verify")


def test_an_active_operation_outlives_its_keys_end(p11: Client, session: int) -> None:
    key = p11.create(session, AES)
    p11.do("C_SignInit", session, mechanism(CKM_AES_CMAC), key)
    p11.do("C_DestroyObject", session, key)
    assert len(p11.output("C_Sign", session, octets(b"abc"), 3)) == 16


# -- digesting keys ----------------------------------------------------------------------------

SECRET = {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_AES, CKA_VALUE: bytes(range(32))}


@pytest.mark.parametrize("hidden", [True, False])
def test_keys_are_digested_among_other_parts(p11: Client, session: int, hidden: bool) -> None:
    access = {CKA_SENSITIVE: hidden, CKA_EXTRACTABLE: not hidden}
    key = p11.create(session, SECRET | access)
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    p11.do("C_DigestKey", session, key)
    p11.do("C_DigestUpdate", session, octets(b"between"), 7)
    p11.do("C_DigestKey", session, key)
    expected = hashlib.sha256(bytes(range(32)) + b"between" + bytes(range(32)))
    assert p11.output("C_DigestFinal", session) == expected.digest()
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    p11.do("C_DigestKey", session, key)
    assert one_part(p11, session, "Digest") == CKR_OPERATION_ACTIVE  # a key is a part


def test_keys_that_are_not_digested(p11: Client, session: int) -> None:
    hidden = {CKA_SENSITIVE: True, CKA_EXTRACTABLE: False}
    long, short = p11.create(session, SECRET | hidden), None
    short = p11.create(
        session,
        {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: 0x10, CKA_VALUE: b"seven b"} | hidden,
    )
    public, private = p11.generate_pair(
        session, mechanism(CKM_EC_KEY_PAIR_GEN), {CKA_EC_PARAMS: P256}, {}
    )
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.do("C_DigestKey", session, long)
    for mech, wrong in ((CKM_SHA256, (short, public, private)), (CKM_MD5, (long,))):
        p11.do("C_DigestInit", session, mechanism(mech))
        for key in wrong:
            with refused(CKR_KEY_INDIGESTIBLE):
                p11.do("C_DigestKey", session, key)
        with refused(CKR_KEY_HANDLE_INVALID):
            p11.do("C_DigestKey", session, 0)
        # The digest is as it was, and has seen nothing.
        length = 32 if mech == CKM_SHA256 else 16
        assert len(p11.output("C_Digest", session, octets(b"abc"), 3)) == length


def test_a_key_that_is_sealed_is_not_digested(p11: Client, session: int) -> None:
    key = p11.create(session, SECRET | {CKA_TOKEN: True, CKA_PRIVATE: False})
    p11.do("C_Logout", session)
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    with refused(CKR_KEY_INDIGESTIBLE):
        p11.do("C_DigestKey", session, key)


def test_a_digest_of_a_private_key_ends_with_the_login(p11: Client, session: int) -> None:
    key = p11.create(session, SECRET | {CKA_PRIVATE: True, CKA_SENSITIVE: True})
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    p11.do("C_DigestKey", session, key)
    p11.do("C_Logout", session)
    assert not is_active(p11, session, "Digest")


# -- keys that ask for the PIN at each use -----------------------------------------------------


@pytest.fixture
def careful(p11: Client, session: int) -> int:
    """A private key with CKA_ALWAYS_AUTHENTICATE."""
    private = {CKA_ALWAYS_AUTHENTICATE: True, CKA_PRIVATE: True, CKA_SIGN: True}
    mech = mechanism(CKM_EC_KEY_PAIR_GEN)
    return p11.generate_pair(session, mech, {CKA_EC_PARAMS: P256}, private)[1]


def test_each_use_of_such_a_key_needs_the_pin(p11: Client, session: int, careful: int) -> None:
    digest = octets(bytes(32))
    for _ in range(2):
        p11.do("C_SignInit", session, mechanism(CKM_ECDSA), careful)
        for _ in range(2):
            with refused(CKR_USER_NOT_LOGGED_IN):
                p11.output("C_Sign", session, digest, 32, size=64)
        with refused(CKR_PIN_INCORRECT):
            p11.login(session, CKU_CONTEXT_SPECIFIC, b"wrong")
        with refused(CKR_USER_NOT_LOGGED_IN):
            p11.output("C_Sign", session, digest, 32, size=64)
        p11.login(session, CKU_CONTEXT_SPECIFIC, USER_PIN)
        assert len(p11.output("C_Sign", session, digest, 32)) == 64
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.login(session, CKU_CONTEXT_SPECIFIC, USER_PIN)


def test_the_proof_is_for_one_operation(
    p11: Client, token: Token, session: int, careful: int
) -> None:
    other = p11.open(token.slot)
    for one in (session, other):
        p11.do("C_SignInit", one, mechanism(CKM_ECDSA_SHA256), careful)
    p11.login(session, CKU_CONTEXT_SPECIFIC, USER_PIN)
    p11.do("C_SignUpdate", session, octets(b"abc"), 3)
    assert len(p11.output("C_SignFinal", session)) == 64
    with refused(CKR_USER_NOT_LOGGED_IN):
        p11.do("C_SignUpdate", other, octets(b"abc"), 3)


def test_an_operation_that_needs_no_proof_gets_none(p11: Client, session: int, key: int) -> None:
    p11.do("C_SignInit", session, mechanism(CKM_AES_CMAC), key)
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.login(session, CKU_CONTEXT_SPECIFIC, USER_PIN)
    assert is_active(p11, session, "Sign")


def test_failing_too_often_locks_the_pin_and_ends_the_login(
    p11: Client, token: Token, session: int, careful: int
) -> None:
    p11.do("C_CloseSession", session)
    configure(p11, "[pins]\nuser_retries = 3\n")
    slot = p11.slots()[0]
    session = p11.open(slot)
    p11.login(session, CKU_USER, USER_PIN)
    private = {CKA_ALWAYS_AUTHENTICATE: True, CKA_PRIVATE: True, CKA_SIGN: True}
    mech = mechanism(CKM_EC_KEY_PAIR_GEN)
    key = p11.generate_pair(session, mech, {CKA_EC_PARAMS: P256}, private)[1]
    p11.do("C_SignInit", session, mechanism(CKM_ECDSA), key)
    for _ in range(2):
        with refused(CKR_PIN_INCORRECT):
            p11.login(session, CKU_CONTEXT_SPECIFIC, b"wrong")
    with refused(CKR_PIN_LOCKED):
        p11.login(session, CKU_CONTEXT_SPECIFIC, b"wrong")
    assert p11.session_info(session).state == CKS_RW_PUBLIC_SESSION
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.output("C_Sign", session, octets(bytes(32)), 32, size=64)
    with refused(CKR_PIN_LOCKED):
        p11.login(session, CKU_USER, USER_PIN)


def test_a_search_goes_on_as_it_began(p11: Client, session: int) -> None:
    keys = {p11.create(session, AES) for _ in range(5)}
    p11.do("C_FindObjectsInit", session, *template({CKA_CLASS: CKO_SECRET_KEY}))
    found, count = ffi.new("CK_OBJECT_HANDLE[2]"), ffi.new("CK_ULONG *")
    seen: list[int] = []
    for expected in (2, 2, 1, 0, 0):
        p11.do("C_FindObjects", session, found, 2, count)
        assert count[0] == expected
        seen += [int(found[i]) for i in range(count[0])]
    assert sorted(seen) == sorted(keys)
    p11.do("C_FindObjectsFinal", session)


def test_tokens_are_apart(p11: Client, token: Token, session: int, key: int) -> None:
    other_slot = p11.slots()[-1]
    make_token(p11, other_slot, "other")
    other = p11.open(other_slot)
    with refused(CKR_KEY_HANDLE_INVALID):
        p11.do("C_SignInit", other, mechanism(CKM_AES_CMAC), key)
