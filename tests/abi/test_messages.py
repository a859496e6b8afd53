"""Encryption and decryption message by message (sections 5.9 and 5.11), and what makes the nonces.

The ``cryptography`` package opens what the module seals, and the other way.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from abi.client import NULL, RV, Client, ffi, gcm, mechanism, octets, refused, struct
from abi.conftest import Token
from abi.key_helpers import generated, secret
from abi.message_helpers import (
    begin,
    gcm_message,
    given,
    next_part,
    nonce_of,
    parts,
    tag_of,
    whole,
)
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from pypkcs11.standard import constants as c

KEY = bytes(range(32))
NONCE = bytes(range(100, 112))
AAD = b"what goes with it"
TEXT = b"The quick brown fox jumps over the lazy dog. " * 3
GENERATORS = {
    "GENERATE": c.CKG_GENERATE,
    "COUNTER": c.CKG_GENERATE_COUNTER,
    "RANDOM": c.CKG_GENERATE_RANDOM,
    "COUNTER_XOR": c.CKG_GENERATE_COUNTER_XOR,
}
END = c.CKF_END_OF_MESSAGE


@pytest.fixture
def key(p11: Client, session: int) -> int:
    return secret(p11, session, KEY, ENCRYPT=True, DECRYPT=True)


def seal(nonce: bytes, text: bytes = TEXT, aad: bytes = AAD) -> tuple[bytes, bytes]:
    """A message and its tag, by another implementation."""
    sealed = AESGCM(KEY).encrypt(nonce, text, aad)
    return sealed[:-16], sealed[-16:]


def encrypted(p11: Client, session: int, parameter: Any, text: bytes = TEXT) -> bytes:
    """A message encrypted, and opened by another implementation; its nonce."""
    sealed = whole(p11, session, "Encrypt", parameter, AAD, text)
    assert len(sealed) == len(text)
    nonce = nonce_of(parameter)
    assert AESGCM(KEY).decrypt(nonce, sealed + tag_of(parameter), AAD) == text
    return nonce


# -- messages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 15, 16, 135, 16384, 16385, 100_000])
def test_messages_in_one_part(p11: Client, session: int, key: int, size: int) -> None:
    text = os.urandom(size)
    begin(p11, session, "Encrypt", key)
    for number in range(3):
        nonce = bytes([number]) * 12
        parameter = gcm_message(nonce)
        sealed = whole(p11, session, "Encrypt", parameter, AAD, text)
        assert (sealed, tag_of(parameter)) == seal(nonce, text)
        assert nonce_of(parameter) == nonce
    p11.do("C_MessageEncryptFinal", session)
    begin(p11, session, "Decrypt", key)
    for number in range(3):
        nonce = bytes([number + 7]) * 12
        sealed, tag = seal(nonce, text)
        assert whole(p11, session, "Decrypt", gcm_message(nonce, tag), AAD, sealed) == text
    p11.do("C_MessageDecryptFinal", session)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@for_all(st.lists(st.binary(max_size=70), min_size=1, max_size=6))
def test_messages_in_parts(p11: Client, session: int, key: int, split: list[bytes]) -> None:
    """For every split; what decrypts gives nothing before the last part."""
    text = b"".join(split)
    parameter = gcm_message(NONCE)
    begin(p11, session, "Encrypt", key)
    sealed = parts(p11, session, "Encrypt", parameter, AAD, *split)
    assert [len(one) for one in sealed] == [len(one) for one in split]
    assert (b"".join(sealed), tag_of(parameter)) == seal(NONCE, text)
    p11.do("C_MessageEncryptFinal", session)
    begin(p11, session, "Decrypt", key)
    opened = parts(p11, session, "Decrypt", parameter, AAD, *sealed)
    assert opened == [*([b""] * (len(split) - 1)), text]
    p11.do("C_MessageDecryptFinal", session)


def test_long_parts(p11: Client, session: int, key: int) -> None:
    split = [os.urandom(size) for size in (70_000, 1, 30_000)]
    parameter = gcm_message(NONCE)
    begin(p11, session, "Encrypt", key)
    sealed = b"".join(parts(p11, session, "Encrypt", parameter, AAD, *split))
    assert (sealed, tag_of(parameter)) == seal(NONCE, b"".join(split))


@pytest.mark.parametrize("size", [40, 100_000])
def test_in_place(p11: Client, session: int, key: int, size: int) -> None:
    text = os.urandom(size)
    place, length = octets(text), ffi.new("CK_ULONG *", size)
    parameter = gcm_message(NONCE)
    begin(p11, session, "Encrypt", key)
    before = (*given(parameter), NULL, 0)
    p11.do("C_EncryptMessage", session, *before, place, size, place, length)
    assert (bytes(place), tag_of(parameter)) == seal(NONCE, text, b"")
    p11.do("C_MessageEncryptFinal", session)
    begin(p11, session, "Decrypt", key)
    p11.do("C_DecryptMessage", session, *before, place, size, place, length)
    assert bytes(place) == text


@pytest.mark.parametrize("octets_of_tag", [4, 8, 12, 13, 14, 15, 16])
def test_shorter_tags(p11: Client, session: int, key: int, octets_of_tag: int) -> None:
    parameter = gcm_message(NONCE, b"\xa5" * 16, tag_bits=octets_of_tag * 8)
    begin(p11, session, "Encrypt", key)
    sealed = whole(p11, session, "Encrypt", parameter, AAD, TEXT)
    tag = seal(NONCE)[1][:octets_of_tag]
    # Nothing is written behind the tag.
    assert bytes(ffi.buffer(parameter.pTag, 16)) == tag + b"\xa5" * (16 - octets_of_tag)
    p11.do("C_MessageEncryptFinal", session)
    begin(p11, session, "Decrypt", key)
    assert whole(p11, session, "Decrypt", gcm_message(NONCE, tag), AAD, sealed) == TEXT


def test_the_mechanism_may_have_the_parameter(p11: Client, session: int, key: int) -> None:
    """As in the standard's example; what it says there does not count."""
    mech = mechanism(c.CKM_AES_GCM, gcm_message(bytes(12)))
    p11.do("C_MessageEncryptInit", session, mech, key)
    encrypted(p11, session, gcm_message(NONCE))
    p11.do("C_MessageEncryptFinal", session)
    wrong = mechanism(c.CKM_AES_GCM, b"x" * 12)
    rv = p11.C_MessageEncryptInit(session, wrong, key)
    assert rv == c.CKR_MECHANISM_PARAM_INVALID


@pytest.mark.parametrize("bits", [True, False])
def test_chacha20_poly1305(p11: Client, session: int, bits: bool) -> None:
    """Its structure has nonce and tag only; a nonce's length may be in octets, too."""
    key = secret(p11, session, KEY, c.CKK_CHACHA20, ENCRYPT=True, DECRYPT=True)
    known, kind = ChaCha20Poly1305(KEY), c.CKM_CHACHA20_POLY1305
    texts = [os.urandom(size) for size in (1, 63, 64, 65, 20_000)]
    begin(p11, session, "Encrypt", key, kind)
    messages = []
    for number, text in enumerate(texts):
        nonce = bytes([number]) * 12
        parameter = struct(
            "CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS",
            pNonce=nonce,
            ulNonceLen=96 if bits else 12,
            pTag=bytes(16),
        )
        sealed = whole(p11, session, "Encrypt", parameter, AAD, text)
        tag = bytes(ffi.buffer(parameter.pTag, 16))
        assert sealed + tag == known.encrypt(nonce, text, AAD)
        split = b"".join(parts(p11, session, "Encrypt", parameter, AAD, text[:33], text[33:]))
        assert split + bytes(ffi.buffer(parameter.pTag, 16)) == sealed + tag
        messages.append((parameter, sealed, text))
    p11.do("C_MessageEncryptFinal", session)
    begin(p11, session, "Decrypt", key, kind)
    for parameter, sealed, text in messages:
        assert whole(p11, session, "Decrypt", parameter, AAD, sealed) == text
        opened = parts(p11, session, "Decrypt", parameter, AAD, sealed[:9], sealed[9:])
        assert opened == [b"", text]
        with refused(c.CKR_AEAD_DECRYPT_FAILED):
            whole(p11, session, "Decrypt", parameter, AAD + b"x", sealed)
    parameter.ulNonceLen = 88
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        whole(p11, session, "Decrypt", parameter, AAD, sealed)


@pytest.mark.parametrize("octets_of_tag", [4, 10, 16])
def test_ccm(p11: Client, session: int, octets_of_tag: int) -> None:
    """Each message says how long it is, and the token holds the caller to it."""
    key = secret(p11, session, KEY, ENCRYPT=True, DECRYPT=True)
    known, kind = AESCCM(KEY, octets_of_tag), c.CKM_AES_CCM
    for text in (b"", b"x", os.urandom(20_000)):
        parameter = struct(
            "CK_CCM_MESSAGE_PARAMS",
            ulDataLen=len(text),
            pNonce=bytes(12),
            ulNonceLen=12,
            ulNonceFixedBits=32,
            nonceGenerator=c.CKG_GENERATE,
            pMAC=bytes(16),
            ulMACLen=octets_of_tag,
        )
        begin(p11, session, "Encrypt", key, kind)
        with refused(c.CKR_DATA_LEN_RANGE):
            whole(p11, session, "Encrypt", parameter, AAD, text + b"x")
        split = parts(p11, session, "Encrypt", parameter, AAD, text[:33], text[33:])
        nonce = bytes(ffi.buffer(parameter.pNonce, 12))
        tag = bytes(ffi.buffer(parameter.pMAC, octets_of_tag))
        sealed = b"".join(split)
        assert sealed + tag == known.encrypt(nonce, text, AAD)
        p11.do("C_MessageEncryptFinal", session)
        begin(p11, session, "Decrypt", key, kind)
        assert whole(p11, session, "Decrypt", parameter, AAD, sealed) == text
        with refused(c.CKR_AEAD_DECRYPT_FAILED):
            whole(p11, session, "Decrypt", parameter, AAD + b"x", sealed)
        p11.do("C_MessageDecryptFinal", session)


# -- what is wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["tag", "text", "aad", "nonce"])
def test_forgeries(p11: Client, session: int, key: int, what: str) -> None:
    """A forged message gives nothing, in one part or many, and the next one is decrypted."""
    sealed, tag = seal(NONCE)
    values = {"text": sealed, "tag": tag, "aad": AAD, "nonce": NONCE}
    values[what] = bytes([values[what][0] ^ 1]) + values[what][1:]
    forged, parameter = values["text"], gcm_message(values["nonce"], values["tag"])
    before = (*given(parameter), octets(values["aad"]), len(AAD))
    begin(p11, session, "Decrypt", key)
    out, length = ffi.new("CK_BYTE[]", b"\xa5" * 200), ffi.new("CK_ULONG *", 200)
    rv = p11.C_DecryptMessage(session, *before, octets(forged), len(forged), out, length)
    assert rv == RV(c.CKR_AEAD_DECRYPT_FAILED)
    assert set(bytes(out)[:200]) == {0xA5}
    p11.do("C_DecryptMessageBegin", session, *before)
    assert next_part(p11, session, "Decrypt", parameter, forged[:50], 0) == b""
    last = (*given(parameter), octets(forged[50:]), len(forged) - 50, out, length, END)
    length[0] = 200
    assert p11.C_DecryptMessageNext(session, *last) == RV(c.CKR_AEAD_DECRYPT_FAILED)
    assert set(bytes(out)[:200]) == {0xA5}
    assert p11.C_DecryptMessageNext(session, *last) == c.CKR_OPERATION_NOT_INITIALIZED
    assert whole(p11, session, "Decrypt", gcm_message(NONCE, tag), AAD, sealed) == TEXT


def test_the_tag_may_come_last(p11: Client, session: int, key: int) -> None:
    sealed, tag = seal(NONCE)
    parameter = gcm_message(NONCE)
    parameter.pTag = NULL
    begin(p11, session, "Decrypt", key)
    p11.do("C_DecryptMessageBegin", session, *given(parameter), octets(AAD), len(AAD))
    next_part(p11, session, "Decrypt", parameter, sealed[:5], 0)
    last = gcm_message(NONCE, tag)
    assert next_part(p11, session, "Decrypt", last, sealed[5:], END) == TEXT


def test_buffers_too_small(p11: Client, session: int, key: int) -> None:
    """Nothing is lost, no nonce used up, and the next try goes well."""
    parameter = gcm_message(bytes(12), generator=c.CKG_GENERATE_COUNTER)
    begin(p11, session, "Encrypt", key)
    out, length = ffi.new("CK_BYTE[200]"), ffi.new("CK_ULONG *")
    before = (*given(parameter), octets(AAD), len(AAD), octets(TEXT), len(TEXT))
    for room in (0, 1, len(TEXT) - 1):
        length[0] = room
        assert p11.C_EncryptMessage(session, *before, out, length) == c.CKR_BUFFER_TOO_SMALL
        assert length[0] == len(TEXT)
    assert p11.C_EncryptMessage(session, *before, NULL, length) == c.CKR_OK
    assert encrypted(p11, session, parameter) == bytes(12)
    p11.do("C_EncryptMessageBegin", session, *given(parameter), octets(AAD), len(AAD))
    assert nonce_of(parameter) == bytes(11) + b"\1"
    nonce = nonce_of(parameter)
    length[0] = 3
    part = (*given(parameter), octets(TEXT), len(TEXT), out, length, END)
    assert p11.C_EncryptMessageNext(session, *part) == c.CKR_BUFFER_TOO_SMALL
    sealed = next_part(p11, session, "Encrypt", parameter, TEXT, END)
    assert (sealed, tag_of(parameter)) == seal(nonce)
    p11.do("C_MessageEncryptFinal", session)

    begin(p11, session, "Decrypt", key)
    p11.do("C_DecryptMessageBegin", session, *given(parameter), octets(AAD), len(AAD))
    next_part(p11, session, "Decrypt", parameter, sealed[:100], 0)
    length[0] = len(TEXT) - 1
    last = (*given(parameter), octets(sealed[100:]), len(sealed) - 100, out, length, END)
    assert p11.C_DecryptMessageNext(session, *last) == c.CKR_BUFFER_TOO_SMALL
    assert length[0] == len(TEXT)
    p11.do("C_DecryptMessageNext", session, *last)
    assert bytes(out)[: length[0]] == TEXT


def test_wrong_parameters(p11: Client, session: int, key: int) -> None:
    begin(p11, session, "Encrypt", key)
    none = gcm_message(NONCE)
    none.pIv = NULL
    for wrong in (
        none,
        gcm_message(b""),
        gcm_message(bytes(7)),
        gcm_message(bytes(129)),
        gcm_message(NONCE, tag_bits=0),
        gcm_message(NONCE, tag_bits=100),
        gcm_message(NONCE, tag_bits=127),
        gcm_message(NONCE, tag_bits=136),
        gcm_message(NONCE, tag_bits=2**40),
        gcm_message(NONCE, generator=5),
        gcm_message(NONCE, generator=c.CKG_GENERATE, fixed_bits=97),
        gcm_message(NONCE, generator=c.CKG_GENERATE, fixed_bits=2**63),
        gcm_message(NONCE, generator=c.CKG_GENERATE, fixed_bits=33),
        gcm_message(NONCE, generator=c.CKG_GENERATE_RANDOM, fixed_bits=33),
        gcm(NONCE[:8], b"", 999),
    ):
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            whole(p11, session, "Encrypt", wrong, AAD, TEXT)
    no_tag = gcm_message(NONCE)
    no_tag.pTag = NULL
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        whole(p11, session, "Encrypt", no_tag, AAD, TEXT)
    before = (octets(AAD), len(AAD), octets(TEXT), len(TEXT))
    size = ffi.sizeof("CK_GCM_MESSAGE_PARAMS")
    length = ffi.new("CK_ULONG *")
    for pointer, told in ((NULL, 0), (NULL, size), (gcm_message(NONCE), size - 1)):
        rv = p11.C_EncryptMessage(session, pointer, told, *before, NULL, length)
        assert rv == c.CKR_MECHANISM_PARAM_INVALID
    encrypted(p11, session, gcm_message(NONCE))


def test_another_tag_length_at_the_end(p11: Client, session: int, key: int) -> None:
    begin(p11, session, "Encrypt", key)
    p11.do("C_EncryptMessageBegin", session, *given(gcm_message(NONCE)), NULL, 0)
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        next_part(p11, session, "Encrypt", gcm_message(NONCE, bytes(12)), TEXT, END)


# -- what may follow what ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Encrypt", "Decrypt"])
def test_the_order_of_calls(p11: Client, session: int, key: int, name: str) -> None:
    sealed, tag = seal(NONCE)
    data = TEXT if name == "Encrypt" else sealed
    parameter = gcm_message(NONCE, tag)
    out, length = ffi.new("CK_BYTE[200]"), ffi.new("CK_ULONG *", 200)
    before = (*given(parameter), octets(AAD), len(AAD))
    part = (*given(parameter), octets(data), len(data), out, length)
    message = getattr(p11, f"C_{name}Message")
    begin_message = getattr(p11, f"C_{name}MessageBegin")
    next_message = getattr(p11, f"C_{name}MessageNext")
    final = getattr(p11, f"C_Message{name}Final")
    init = getattr(p11, f"C_Message{name}Init")
    mech = mechanism(c.CKM_AES_GCM)

    for call in (
        lambda: message(session, *before, octets(data), len(data), out, length),
        lambda: begin_message(session, *before),
        lambda: next_message(session, *part, END),
        lambda: final(session),
    ):
        assert call() == c.CKR_OPERATION_NOT_INITIALIZED
    assert init(session, mech, key) == c.CKR_OK
    assert init(session, mech, key) == c.CKR_OPERATION_ACTIVE
    rv = p11.C_EncryptInit(session, mechanism(c.CKM_AES_GCM, gcm(NONCE)), key)
    assert rv == c.CKR_OPERATION_ACTIVE
    assert next_message(session, *part, END) == c.CKR_OPERATION_NOT_INITIALIZED
    assert begin_message(session, *before) == c.CKR_OK
    assert begin_message(session, *before) == c.CKR_OPERATION_ACTIVE
    rv = message(session, *before, octets(data), len(data), out, length)
    assert rv == c.CKR_OPERATION_ACTIVE
    assert final(session) == c.CKR_OPERATION_ACTIVE
    assert next_message(session, *part, 2) == c.CKR_ARGUMENTS_BAD
    length[0] = 200
    assert next_message(session, *part, END) == c.CKR_OK  # the message has gone on
    assert bytes(out)[: length[0]] == (sealed if name == "Encrypt" else TEXT)
    assert next_message(session, *part, END) == c.CKR_OPERATION_NOT_INITIALIZED
    assert p11.C_GetOperationState(session, NULL, length) == c.CKR_STATE_UNSAVEABLE
    assert final(session) == c.CKR_OK
    assert final(session) == c.CKR_OPERATION_NOT_INITIALIZED

    for cancel in (
        lambda: init(session, NULL, key),
        lambda: p11.C_SessionCancel(session, getattr(c, f"CKF_MESSAGE_{name.upper()}")),
    ):
        assert init(session, mech, key) == c.CKR_OK
        assert begin_message(session, *before) == c.CKR_OK
        assert cancel() == c.CKR_OK
        assert final(session) == c.CKR_OPERATION_NOT_INITIALIZED


def test_beginning(p11: Client, session: int, key: int) -> None:
    not_so = secret(p11, session, KEY, ENCRYPT=False, DECRYPT=False)
    generic = secret(p11, session, KEY, c.CKK_GENERIC_SECRET)
    for name in ("Encrypt", "Decrypt"):
        init = getattr(p11, f"C_Message{name}Init")
        mech = mechanism(c.CKM_AES_GCM)
        assert init(session, mech, not_so) == c.CKR_KEY_FUNCTION_NOT_PERMITTED
        assert init(session, mech, generic) == c.CKR_KEY_TYPE_INCONSISTENT
        assert init(session, mech, 0) == c.CKR_KEY_HANDLE_INVALID
        assert init(session, mechanism(c.CKM_AES_CTR), key) == c.CKR_MECHANISM_INVALID


def test_messages_end_with_the_login(p11: Client, token: Token, session: int) -> None:
    key = generated(p11, session, ENCRYPT=True, PRIVATE=True)
    begin(p11, session, "Encrypt", key)
    p11.do("C_Logout", session)
    with refused(c.CKR_OPERATION_NOT_INITIALIZED):
        whole(p11, session, "Encrypt", gcm_message(NONCE), AAD, TEXT)


# -- nonces ------------------------------------------------------------------------------------


def test_counters(p11: Client, session: int, key: int) -> None:
    """From 0, for each fixed part; the fixed bits need not be whole octets."""
    begin(p11, session, "Encrypt", key)
    counter = c.CKG_GENERATE_COUNTER
    for number in range(5):
        made = encrypted(p11, session, gcm_message(b"\xff" * 12, generator=counter))
        assert made == number.to_bytes(12, "big")
    for number in range(3):
        parameter = gcm_message(b"\xff" * 12, generator=counter, fixed_bits=36)
        assert encrypted(p11, session, parameter) == b"\xff\xff\xff\xff\xf0" + number.to_bytes(
            7, "big"
        )
    parameter = gcm_message(b"\xee" * 12, generator=counter, fixed_bits=32)
    assert encrypted(p11, session, parameter) == b"\xee" * 4 + bytes(8)


def test_masked_counters(p11: Client, session: int, key: int) -> None:
    """As TLS 1.3 makes them. The caller brings the same nonce each time, or is told."""
    begin(p11, session, "Encrypt", key)
    base = int.from_bytes(NONCE, "big")
    for number in range(5):
        parameter = gcm_message(NONCE, generator=c.CKG_GENERATE_COUNTER_XOR, fixed_bits=32)
        assert encrypted(p11, session, parameter) == (base ^ number).to_bytes(12, "big")
    with refused(c.CKR_MECHANISM_PARAM_INVALID):  # the nonce that came back
        whole(p11, session, "Encrypt", parameter, AAD, TEXT)
    parameter = gcm_message(NONCE, generator=c.CKG_GENERATE_COUNTER_XOR, fixed_bits=40)
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        whole(p11, session, "Encrypt", parameter, AAD, TEXT)


@pytest.mark.parametrize("name", GENERATORS)
def test_no_nonce_comes_twice(p11: Client, session: int, key: int, name: str) -> None:
    """Nor in another session, nor after the first has begun anew."""
    other = p11.open(p11.session_info(session).slotID)
    seen = []
    for _ in range(2):
        for where in (session, other):
            begin(p11, where, "Encrypt", key)
            for _ in range(10):
                parameter = gcm_message(NONCE, generator=GENERATORS[name], fixed_bits=16)
                seen.append(encrypted(p11, where, parameter))
            p11.do("C_MessageEncryptFinal", where)
    assert len(set(seen)) == len(seen) == 40
    assert {nonce[:2] for nonce in seen} == {NONCE[:2]}


@pytest.mark.parametrize("generator", [c.CKG_GENERATE_COUNTER, c.CKG_GENERATE_COUNTER_XOR])
def test_a_counter_does_not_wrap(p11: Client, session: int, key: int, generator: int) -> None:
    begin(p11, session, "Encrypt", key)
    seen = set()
    for _ in range(256):
        seen.add(encrypted(p11, session, gcm_message(NONCE, generator=generator, fixed_bits=88)))
    assert seen == {NONCE[:11] + bytes([last]) for last in range(256)}
    for _ in range(2):
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            parameter = gcm_message(NONCE, generator=generator, fixed_bits=88)
            whole(p11, session, "Encrypt", parameter, AAD, TEXT)
    encrypted(p11, session, gcm_message(NONCE, generator=c.CKG_GENERATE))


def test_counters_outlive_the_login(p11: Client, token: Token, session: int) -> None:
    """The objects of a token are others after a login; the counters of its keys go on."""
    key = generated(p11, session, ENCRYPT=True, PRIVATE=True, TOKEN=True, LABEL="counted")
    seen = []
    for _ in range(3):
        begin(p11, session, "Encrypt", key)
        parameter = gcm_message(NONCE, generator=c.CKG_GENERATE_COUNTER)
        whole(p11, session, "Encrypt", parameter, AAD, TEXT)
        seen.append(nonce_of(parameter))
        p11.do("C_Logout", session)
        p11.login(session, c.CKU_USER, token.user_pin)
        (key,) = p11.find(session, {c.CKA_LABEL: "counted"})
        p11.set(session, key, {c.CKA_ID: os.urandom(4)})
    assert seen == [number.to_bytes(12, "big") for number in range(3)]


def test_a_message_in_parts_tells_its_nonce_at_once(p11: Client, session: int, key: int) -> None:
    begin(p11, session, "Encrypt", key)
    parameter = gcm_message(bytes(12), generator=c.CKG_GENERATE)
    sealed = b"".join(parts(p11, session, "Encrypt", parameter, AAD, TEXT[:9], TEXT[9:]))
    assert nonce_of(parameter) != bytes(12)
    assert (sealed, tag_of(parameter)) == seal(nonce_of(parameter))


def test_random_nonces_are_limited(p11: Client, session: int, key: int) -> None:
    """Of 64 bits, 2 to the 16th at the most."""
    begin(p11, session, "Encrypt", key)
    parameter = gcm_message(NONCE, generator=c.CKG_GENERATE_RANDOM, fixed_bits=32)
    out, length = ffi.new("CK_BYTE[1]"), ffi.new("CK_ULONG *", 1)
    arguments = (session, *given(parameter), NULL, 0, octets(b"x"), 1, out, length)
    call = p11.functions["C_EncryptMessage"]
    assert {call(*arguments) for _ in range(1 << 16)} == {c.CKR_OK}
    assert call(*arguments) == c.CKR_MECHANISM_PARAM_INVALID


def test_flags(p11: Client, session: int) -> None:
    slot = p11.session_info(session).slotID
    info = ffi.new("CK_MECHANISM_INFO *")
    p11.do("C_GetMechanismInfo", slot, c.CKM_AES_GCM, info)
    wanted = c.CKF_MESSAGE_ENCRYPT | c.CKF_MESSAGE_DECRYPT | c.CKF_MULTI_MESSAGE
    assert info.flags & wanted == wanted
    p11.do("C_GetMechanismInfo", slot, c.CKM_AES_CBC, info)
    assert not info.flags & wanted
