"""C_GetOperationState and C_SetOperationState (section 5.6.5 and 5.6.6)."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from abi.client import NULL, Client, ffi, mechanism, octets, refused
from abi.conftest import SO_PIN, USER_PIN, Token
from abi.helping import free_slots, make_token

from pypkcs11.standard.constants import (
    CKA_ALWAYS_AUTHENTICATE,
    CKA_CLASS,
    CKA_DECRYPT,
    CKA_EC_PARAMS,
    CKA_ENCRYPT,
    CKA_KEY_TYPE,
    CKA_PRIVATE,
    CKA_SIGN,
    CKA_VALUE,
    CKA_VERIFY,
    CKF_RESTORE_KEY_NOT_NEEDED,
    CKK_AES,
    CKK_GENERIC_SECRET,
    CKM_AES_CBC,
    CKM_AES_CMAC,
    CKM_EC_EDWARDS_KEY_PAIR_GEN,
    CKM_EC_KEY_PAIR_GEN,
    CKM_ECDSA,
    CKM_ECDSA_SHA256,
    CKM_EDDSA,
    CKM_RSA_PKCS_KEY_PAIR_GEN,
    CKM_SHA3_384,
    CKM_SHA256,
    CKM_SHA256_HMAC,
    CKM_SHA256_RSA_PKCS,
    CKO_SECRET_KEY,
    CKR_ARGUMENTS_BAD,
    CKR_BUFFER_TOO_SMALL,
    CKR_KEY_CHANGED,
    CKR_KEY_NOT_NEEDED,
    CKR_OK,
    CKR_OPERATION_NOT_INITIALIZED,
    CKR_SAVED_STATE_INVALID,
    CKR_SIGNATURE_INVALID,
    CKR_STATE_UNSAVEABLE,
    CKR_USER_NOT_LOGGED_IN,
    CKU_CONTEXT_SPECIFIC,
    CKU_SO,
    CKU_USER,
)

P256 = bytes.fromhex("06082a8648ce3d030107")
ED25519 = bytes.fromhex("06032b6570")
IV = bytes(16)
SECRET = b"k" * 32
MAC_KEY = {
    CKA_CLASS: CKO_SECRET_KEY,
    CKA_KEY_TYPE: CKK_GENERIC_SECRET,
    CKA_VALUE: SECRET,
    CKA_SIGN: True,
    CKA_VERIFY: True,
}
AES_KEY = MAC_KEY | {CKA_KEY_TYPE: CKK_AES, CKA_ENCRYPT: True, CKA_DECRYPT: True}

#: How many states a token keeps, as docs/sessions-and-pins.md says.
KEPT = 1000


def save(p11: Client, session: int) -> bytes:
    return p11.output("C_GetOperationState", session)


def restore(
    p11: Client, session: int, state: bytes, encryption_key: int = 0, authentication_key: int = 0
) -> None:
    keys = (encryption_key, authentication_key)
    p11.do("C_SetOperationState", session, octets(state), len(state), *keys)


def update(p11: Client, session: int, kind: str, data: bytes) -> None:
    p11.do(f"C_{kind}Update", session, octets(data), len(data))


# -- digests -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("mech", "name"), [(CKM_SHA256, "sha256"), (CKM_SHA3_384, "sha3_384")])
def test_a_digest_goes_on_from_where_it_was_saved(
    p11: Client, token: Token, session: int, mech: int, name: str
) -> None:
    """The example of the standard, and more: as often as one likes, and in other sessions."""
    p11.do("C_DigestInit", session, mechanism(mech))
    update(p11, session, "Digest", b"first part, longer than a block " * 10)
    state = save(p11, session)
    update(p11, session, "Digest", b"not in the end")
    other = p11.open(token.slot)
    for one, rest in ((session, b"a"), (session, b"b"), (other, b"c"), (other, b"")):
        restore(p11, one, state)
        update(p11, one, "Digest", rest)
        expected = hashlib.new(name, b"first part, longer than a block " * 10 + rest)
        assert p11.output("C_DigestFinal", one) == expected.digest()


def test_saving_disturbs_nothing(p11: Client, session: int) -> None:
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    for part in (b"one", b"two", b"three"):
        update(p11, session, "Digest", part)
        save(p11, session)
    assert p11.output("C_DigestFinal", session) == hashlib.sha256(b"onetwothree").digest()


def test_a_state_outlives_the_session_it_came_from(p11: Client, token: Token, session: int) -> None:
    other = p11.open(token.slot)
    p11.do("C_DigestInit", other, mechanism(CKM_SHA256))
    update(p11, other, "Digest", b"abc")
    state = save(p11, other)
    p11.do("C_CloseSession", other)
    restore(p11, session, state)
    assert p11.output("C_DigestFinal", session) == hashlib.sha256(b"abc").digest()


def test_what_has_just_begun_can_be_saved(p11: Client, session: int) -> None:
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    state = save(p11, session)
    for _ in range(2):
        restore(p11, session, state)
        whole = p11.output("C_Digest", session, octets(b"abc"), 3)
        assert whole == hashlib.sha256(b"abc").digest()


def test_restoring_ends_what_was_active(p11: Client, session: int) -> None:
    key = p11.create(session, AES_KEY)
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    state = save(p11, session)
    p11.do("C_DigestFinal", session, octets(bytes(32)), ffi.new("CK_ULONG *", 32))
    p11.do("C_EncryptInit", session, mechanism(CKM_AES_CBC, IV), key)
    p11.do("C_SignInit", session, mechanism(CKM_AES_CMAC), key)
    restore(p11, session, state)
    for name in ("C_EncryptUpdate", "C_SignUpdate"):
        rest = (octets(b""), ffi.new("CK_ULONG *")) if name == "C_EncryptUpdate" else ()
        with refused(CKR_OPERATION_NOT_INITIALIZED):
            p11.do(name, session, octets(IV), 16, *rest)
    assert p11.output("C_DigestFinal", session) == hashlib.sha256().digest()
    p11.do("C_FindObjectsInit", session, NULL, 0)
    restore(p11, session, state)
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        p11.do("C_FindObjectsFinal", session)


# -- signatures and MACs -----------------------------------------------------------------------


def test_a_mac_goes_on(p11: Client, session: int) -> None:
    key = p11.create(session, MAC_KEY)
    p11.do("C_SignInit", session, mechanism(CKM_SHA256_HMAC), key)
    update(p11, session, "Sign", b"one ")
    state = save(p11, session)
    p11.output("C_SignFinal", session)
    for rest, given in ((b"two", 0), (b"three", key)):
        restore(p11, session, state, authentication_key=given)
        update(p11, session, "Sign", rest)
        expected = hmac.new(SECRET, b"one " + rest, "sha256").digest()
        assert p11.output("C_SignFinal", session) == expected


def test_a_verification_goes_on(p11: Client, session: int) -> None:
    key = p11.create(session, MAC_KEY)
    p11.do("C_VerifyInit", session, mechanism(CKM_SHA256_HMAC), key)
    update(p11, session, "Verify", b"one ")
    state = save(p11, session)
    mac = hmac.new(SECRET, b"one two", "sha256").digest()
    for rest, code in ((b"two", CKR_OK), (b"three", CKR_SIGNATURE_INVALID)):
        restore(p11, session, state)
        update(p11, session, "Verify", rest)
        assert p11.C_VerifyFinal(session, octets(mac), 32) == code


PAIRS = {
    "cmac": (None, None, CKM_AES_CMAC),
    "ecdsa": (CKM_EC_KEY_PAIR_GEN, {CKA_EC_PARAMS: P256}, CKM_ECDSA_SHA256),
    "eddsa": (CKM_EC_EDWARDS_KEY_PAIR_GEN, {CKA_EC_PARAMS: ED25519}, CKM_EDDSA),
    "rsa": (CKM_RSA_PKCS_KEY_PAIR_GEN, {0x121: 2048}, CKM_SHA256_RSA_PKCS),
}


@pytest.mark.parametrize("name", PAIRS)
def test_every_signature_in_parts_goes_on(p11: Client, session: int, name: str) -> None:
    generate, public, sign = PAIRS[name]
    if generate is None:
        verifying = signing = p11.create(session, AES_KEY)
    else:
        mech = mechanism(generate)
        verifying, signing = p11.generate_pair(session, mech, public, {CKA_SIGN: True})
    p11.do("C_SignInit", session, mechanism(sign), signing)
    update(p11, session, "Sign", b"one ")
    signed = save(p11, session)
    p11.do("C_SignInit", session, NULL, 0)
    p11.do("C_VerifyInit", session, mechanism(sign), verifying)
    update(p11, session, "Verify", b"one ")
    verified = save(p11, session)
    for rest in (b"two", b"three"):
        restore(p11, session, signed)
        update(p11, session, "Sign", rest)
        signature = p11.output("C_SignFinal", session)
        p11.verify(session, mechanism(sign), verifying, signature, b"one " + rest)
        restore(p11, session, verified)
        update(p11, session, "Verify", rest)
        p11.do("C_VerifyFinal", session, octets(signature), len(signature))


def test_which_keys_may_be_given(p11: Client, session: int) -> None:
    key, other = p11.create(session, MAC_KEY), p11.create(session, MAC_KEY)
    p11.do("C_SignInit", session, mechanism(CKM_SHA256_HMAC), key)
    state = save(p11, session)
    for wrong in (other, 0x7FFFFFF0):
        with refused(CKR_KEY_CHANGED):
            restore(p11, session, state, authentication_key=wrong)
    with refused(CKR_KEY_NOT_NEEDED):
        restore(p11, session, state, encryption_key=key)
    p11.do("C_SignInit", session, NULL, 0)
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    digest = save(p11, session)
    for keys in ((key, 0), (0, key)):
        with refused(CKR_KEY_NOT_NEEDED):
            restore(p11, session, digest, *keys)
    # The session is as it was: the digest is active still.
    assert len(p11.output("C_Digest", session, octets(b"abc"), 3)) == 32


def test_the_token_says_that_no_key_is_needed(p11: Client, token: Token) -> None:
    assert p11.token_info(token.slot).flags & CKF_RESTORE_KEY_NOT_NEEDED


def test_a_key_that_wants_a_pin_wants_it_for_each_restored_use(p11: Client, session: int) -> None:
    private = {CKA_ALWAYS_AUTHENTICATE: True, CKA_PRIVATE: True, CKA_SIGN: True}
    mech = mechanism(CKM_EC_KEY_PAIR_GEN)
    key = p11.generate_pair(session, mech, {CKA_EC_PARAMS: P256}, private)[1]
    p11.do("C_SignInit", session, mechanism(CKM_ECDSA_SHA256), key)
    p11.login(session, CKU_CONTEXT_SPECIFIC, USER_PIN)
    update(p11, session, "Sign", b"abc")
    state = save(p11, session)
    for _ in range(2):
        restore(p11, session, state)
        with refused(CKR_USER_NOT_LOGGED_IN):
            p11.output("C_SignFinal", session)
        p11.login(session, CKU_CONTEXT_SPECIFIC, USER_PIN)
        assert len(p11.output("C_SignFinal", session)) == 64


# -- what cannot be saved ----------------------------------------------------------------------


def test_nothing_to_save(p11: Client, session: int) -> None:
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        save(p11, session)
    p11.do("C_FindObjectsInit", session, NULL, 0)
    with refused(CKR_OPERATION_NOT_INITIALIZED):
        save(p11, session)


@pytest.mark.parametrize("kinds", [["Encrypt"], ["Decrypt"], ["Digest", "Encrypt"]])
def test_ciphers_cannot_be_saved(p11: Client, session: int, kinds: list[str]) -> None:
    key = p11.create(session, AES_KEY)
    for kind in kinds:
        if kind == "Digest":
            p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
        else:
            p11.do(f"C_{kind}Init", session, mechanism(CKM_AES_CBC, IV), key)
    with refused(CKR_STATE_UNSAVEABLE):
        save(p11, session)
    out = p11.output(f"C_{kinds[-1]}", session, octets(IV), 16)  # it goes on all the same
    assert len(out) == 16


def test_signatures_in_one_part_cannot_be_saved(p11: Client, session: int) -> None:
    public, private = p11.generate_pair(
        session, mechanism(CKM_EC_KEY_PAIR_GEN), {CKA_EC_PARAMS: P256}, {CKA_SIGN: True}
    )
    for kind, key in (("Sign", private), ("Verify", public)):
        p11.do(f"C_{kind}Init", session, mechanism(CKM_ECDSA), key)
        with refused(CKR_STATE_UNSAVEABLE):
            save(p11, session)
        p11.do(f"C_{kind}Init", session, NULL, 0)


# -- what is not a state -----------------------------------------------------------------------


def test_a_state_cannot_be_made_up(p11: Client, session: int) -> None:
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    state = save(p11, session)
    bits = (state[:i] + bytes((state[i] ^ 1,)) + state[i + 1 :] for i in range(len(state)))
    for wrong in (*bits, state[:-1], state + b"\0", b"", b"x", bytes(len(state)), b"x" * 5000):
        with refused(CKR_SAVED_STATE_INVALID):
            restore(p11, session, wrong)
    with refused(CKR_ARGUMENTS_BAD):
        p11.do("C_SetOperationState", session, NULL, len(state), 0, 0)
    restore(p11, session, state)


def test_a_state_says_nothing_about_what_it_stands_for(p11: Client, session: int) -> None:
    key = p11.create(session, MAC_KEY)
    p11.do("C_SignInit", session, mechanism(CKM_SHA256_HMAC), key)
    update(p11, session, "Sign", b"very secret text")
    first, second = save(p11, session), save(p11, session)
    assert first != second
    assert SECRET[:8] not in first
    assert b"secret" not in first


def test_a_state_is_of_its_token(p11: Client, token: Token, session: int) -> None:
    (slot,) = free_slots(p11)
    make_token(p11, slot, "other")
    other = p11.open(slot)
    p11.login(other, CKU_USER, USER_PIN)
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    with refused(CKR_SAVED_STATE_INVALID):
        restore(p11, other, save(p11, session))


def test_a_state_is_of_its_sessions_state(p11: Client, token: Token, session: int) -> None:
    read_only = p11.open(token.slot, read_write=False)
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    state = save(p11, session)
    with refused(CKR_SAVED_STATE_INVALID):
        restore(p11, read_only, state)
    p11.do("C_CloseSession", read_only)
    p11.do("C_Logout", session)
    with refused(CKR_SAVED_STATE_INVALID):
        restore(p11, session, state)
    p11.login(session, CKU_SO, SO_PIN)
    with refused(CKR_SAVED_STATE_INVALID):
        restore(p11, session, state)
    p11.do("C_Logout", session)
    p11.login(session, CKU_USER, USER_PIN)
    restore(p11, session, state)  # a digest has nothing to do with who is logged in


@pytest.mark.parametrize("private", [True, False])
def test_a_logout_voids_what_private_keys_were_given_to(
    p11: Client, session: int, private: bool
) -> None:
    key = p11.create(session, MAC_KEY | {CKA_PRIVATE: private})
    p11.do("C_SignInit", session, mechanism(CKM_SHA256_HMAC), key)
    state = save(p11, session)
    p11.do("C_Logout", session)
    p11.login(session, CKU_USER, USER_PIN)
    if private:
        with refused(CKR_SAVED_STATE_INVALID):
            restore(p11, session, state)
    else:
        restore(p11, session, state)
        assert len(p11.output("C_Sign", session, octets(b"abc"), 3)) == 32


def test_a_key_that_is_destroyed_voids_it(p11: Client, session: int) -> None:
    key = p11.create(session, MAC_KEY)
    p11.do("C_SignInit", session, mechanism(CKM_SHA256_HMAC), key)
    state = save(p11, session)
    p11.do("C_DestroyObject", session, key)
    with refused(CKR_SAVED_STATE_INVALID):
        restore(p11, session, state)


def test_finalising_forgets_all_states(p11: Client, token: Token) -> None:
    session = p11.open(token.slot)
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    state = save(p11, session)
    p11.do("C_Finalize", NULL)
    p11.do("C_Initialize", NULL)
    session = p11.open(token.slot)
    with refused(CKR_SAVED_STATE_INVALID):
        restore(p11, session, state)


def test_the_oldest_states_are_forgotten(p11: Client, session: int) -> None:
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    states = [save(p11, session) for _ in range(KEPT + 2)]
    for state in states[:2]:
        with refused(CKR_SAVED_STATE_INVALID):
            restore(p11, session, state)
    for state in (states[2], states[-1]):
        restore(p11, session, state)


# -- the length --------------------------------------------------------------------------------


def test_the_rule_for_output(p11: Client, session: int) -> None:
    p11.do("C_DigestInit", session, mechanism(CKM_SHA256))
    length = ffi.new("CK_ULONG *")
    p11.do("C_GetOperationState", session, NULL, length)
    needed = int(length[0])
    room = octets(bytes(needed))
    length[0] = needed - 1
    assert p11.C_GetOperationState(session, room, length) == CKR_BUFFER_TOO_SMALL
    assert length[0] == needed
    assert not any(room)
    assert p11.C_GetOperationState(session, room, NULL) == CKR_ARGUMENTS_BAD
    p11.do("C_GetOperationState", session, room, length)
    restore(p11, session, bytes(ffi.buffer(room)))
