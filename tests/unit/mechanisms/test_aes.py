"""AES ciphers and CMAC: parts, lengths, in-place work, parameters and keys."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.mechanisms.keys import decrypt, encrypt, fails, in_parts, made, secret, sign, verify

from pypkcs11.mechanisms.parameters import AesCtr, Gcm, MacGeneral
from pypkcs11.mechanisms.table import complete_key, mechanisms
from pypkcs11.standard import constants as c

MECHANISMS = mechanisms()

VALUE = bytes(range(32))
KEY = secret(c.CKK_AES, VALUE)
IV = bytes(range(100, 116))

#: Mechanism, parameter, and of which octets the data must be a multiple.
MODES: list[tuple[int, Any, int]] = [
    (c.CKM_AES_ECB, None, 16),
    (c.CKM_AES_CBC, IV, 16),
    (c.CKM_AES_CBC_PAD, IV, 1),
    (c.CKM_AES_CTR, AesCtr(128, IV), 1),
    (c.CKM_AES_OFB, IV, 1),
    (c.CKM_AES_CFB8, IV, 1),
    (c.CKM_AES_CFB128, IV, 1),
    (c.CKM_AES_GCM, Gcm(IV[:12], b"header", 128), 1),
    (c.CKM_AES_GCM, Gcm(IV, b"", 96), 1),
]
NAMES = ["ecb", "cbc", "cbc-pad", "ctr", "ofb", "cfb8", "cfb128", "gcm", "gcm-short-tag"]
modes = pytest.mark.parametrize(("mechanism", "parameter", "multiple"), MODES, ids=NAMES)


@modes
@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 64, 4096, 4112, 5000, 70000, 200_000])
def test_one_part_there_and_back(
    mechanism: int, parameter: Any, multiple: int, length: int
) -> None:
    data = os.urandom(length - length % multiple)
    sealed = encrypt(mechanism, KEY, data, parameter)
    assert decrypt(mechanism, KEY, sealed, parameter) == data


@modes
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_parts_equal_one_part(
    mechanism: int, parameter: Any, multiple: int, data: st.DataObject
) -> None:
    parts = data.draw(st.lists(st.binary(max_size=70), max_size=6))
    message = b"".join(parts)
    surplus = len(message) % multiple
    if surplus:
        parts.append(bytes(multiple - surplus))
        message = b"".join(parts)
    in_place = data.draw(st.booleans())
    row = MECHANISMS[mechanism]
    sealed = encrypt(mechanism, KEY, message, parameter)
    assert in_parts(made(row, "encrypt", KEY, parameter), parts, in_place) == sealed
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sealed)), max_size=5)))
    pieces = [sealed[a:b] for a, b in zip([0, *cuts], [*cuts, len(sealed)], strict=True)]
    assert in_parts(made(row, "decrypt", KEY, parameter), pieces, in_place) == message


@modes
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("first", [0, 1, 16, 65536])
def test_long_parts(
    mechanism: int, parameter: Any, multiple: int, in_place: bool, first: int
) -> None:
    message = os.urandom(262_144)
    row = MECHANISMS[mechanism]
    sealed = encrypt(mechanism, KEY, message, parameter)
    parts = [message[:first], message[first:200_001], message[200_001:]]
    assert in_parts(made(row, "encrypt", KEY, parameter), parts, in_place) == sealed
    parts = [sealed[:first], sealed[first:200_001], sealed[200_001:]]
    assert in_parts(made(row, "decrypt", KEY, parameter), parts, in_place) == message


@pytest.mark.parametrize(
    ("mechanism", "parameter", "option"),
    [
        (c.CKM_AES_CBC_PAD, IV, "-aes-256-cbc"),
        (c.CKM_AES_CTR, AesCtr(64, IV), "-aes-256-ctr"),
    ],
)
def test_openssl_agrees(mechanism: int, parameter: Any, option: str) -> None:
    message = os.urandom(1000)
    command = ["openssl", "enc", option, "-K", VALUE.hex(), "-iv", IV.hex()]
    theirs = subprocess.run(command, input=message, capture_output=True, check=True).stdout
    assert encrypt(mechanism, KEY, message, parameter) == theirs
    assert decrypt(mechanism, KEY, theirs, parameter) == message


@modes
def test_a_key_serves_many_messages_with_other_ivs(
    mechanism: int, parameter: Any, multiple: int
) -> None:
    """Contexts are used again, and must not remember the message before."""
    key = secret(c.CKK_AES, VALUE)
    for round_ in range(5):
        iv = os.urandom(16)
        other = {bytes: iv, AesCtr: AesCtr(32, iv[:12] + bytes(4))}.get(type(parameter), parameter)
        message = os.urandom(16 * round_)
        sealed = encrypt(mechanism, key, message, other)
        assert sealed == encrypt(mechanism, secret(c.CKK_AES, VALUE), message, other)
        assert decrypt(mechanism, key, sealed, other) == message


@modes
def test_one_key_in_many_threads(mechanism: int, parameter: Any, multiple: int) -> None:
    message = os.urandom(8192)
    sealed = encrypt(mechanism, KEY, message, parameter)
    row = MECHANISMS[mechanism]

    def many(_: int) -> bool:
        return all(
            made(row, "encrypt", KEY, parameter).run(message) == sealed
            and made(row, "decrypt", KEY, parameter).run(sealed) == message
            for _ in range(50)
        )

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(many, range(8)))


@pytest.mark.parametrize("mechanism", [c.CKM_AES_ECB, c.CKM_AES_CBC])
def test_part_of_a_block(mechanism: int) -> None:
    parameter = None if mechanism == c.CKM_AES_ECB else IV
    fails(c.CKR_DATA_LEN_RANGE, encrypt, mechanism, KEY, bytes(17), parameter)
    fails(c.CKR_ENCRYPTED_DATA_LEN_RANGE, decrypt, mechanism, KEY, bytes(17), parameter)
    for function, rv in (
        ("encrypt", c.CKR_DATA_LEN_RANGE),
        ("decrypt", c.CKR_ENCRYPTED_DATA_LEN_RANGE),
    ):
        operation = made(MECHANISMS[mechanism], function, KEY, parameter)
        fails(rv, in_parts, operation, [bytes(20)])


@pytest.mark.parametrize("length", [0, 15, 17])
def test_padded_data_is_whole_blocks(length: int) -> None:
    arguments = (c.CKM_AES_CBC_PAD, KEY, bytes(length), IV)
    fails(c.CKR_ENCRYPTED_DATA_LEN_RANGE, decrypt, *arguments)
    operation = made(MECHANISMS[c.CKM_AES_CBC_PAD], "decrypt", KEY, IV)
    fails(c.CKR_ENCRYPTED_DATA_LEN_RANGE, in_parts, operation, [bytes(length)])


@pytest.mark.parametrize("last", ["00", "11", "0102", "030303020303", "ff"])
@pytest.mark.parametrize("before", [0, 16, 8192])
def test_bad_padding(last: str, before: int) -> None:
    block = bytes(before) + bytes.fromhex(last).rjust(16, b"\x55")
    sealed = encrypt(c.CKM_AES_CBC, KEY, block, IV)
    fails(c.CKR_ENCRYPTED_DATA_INVALID, decrypt, c.CKM_AES_CBC_PAD, KEY, sealed, IV)
    operation = made(MECHANISMS[c.CKM_AES_CBC_PAD], "decrypt", KEY, IV)
    fails(c.CKR_ENCRYPTED_DATA_INVALID, in_parts, operation, [sealed])
    operation = made(MECHANISMS[c.CKM_AES_CBC_PAD], "decrypt", KEY, IV)
    out = memoryview(bytearray(len(sealed)))
    fails(c.CKR_ENCRYPTED_DATA_INVALID, operation.run_into, sealed, out)


@pytest.mark.parametrize(
    ("mechanism", "parameter"),
    [
        (c.CKM_AES_CBC, IV[:15]),
        (c.CKM_AES_CBC_PAD, IV + b"x"),
        (c.CKM_AES_CTR, AesCtr(0, IV)),
        (c.CKM_AES_CTR, AesCtr(129, IV)),
        (c.CKM_AES_GCM, Gcm(b"", b"", 128)),
        (c.CKM_AES_GCM, Gcm(bytes(7), b"", 128)),
        (c.CKM_AES_GCM, Gcm(bytes(129), b"", 128)),
        (c.CKM_AES_GCM, Gcm(bytes(12), b"", 0)),
        (c.CKM_AES_GCM, Gcm(bytes(12), b"", 16)),
        (c.CKM_AES_GCM, Gcm(bytes(12), b"", 127)),
        (c.CKM_AES_GCM, Gcm(bytes(12), b"", 136)),
    ],
)
def test_bad_parameters(mechanism: int, parameter: Any) -> None:
    row = MECHANISMS[mechanism]
    fails(c.CKR_MECHANISM_PARAM_INVALID, made, row, "encrypt", KEY, parameter)
    fails(c.CKR_MECHANISM_PARAM_INVALID, made, row, "decrypt", KEY, parameter)


@pytest.mark.parametrize(
    ("bits", "start", "blocks"), [(1, 0, 2), (1, 1, 1), (2, 1, 3), (8, 255, 1), (8, 0, 256)]
)
def test_counter_may_not_overflow(bits: int, start: int, blocks: int) -> None:
    """PKCS #11's own example: two bits that start at 1 are good for three blocks."""
    parameter = AesCtr(bits, b"\xff" * 15 + bytes([0xFF << bits & 0xFF | start]))
    data = bytes(16 * blocks)
    sealed = encrypt(c.CKM_AES_CTR, KEY, data, parameter)
    assert decrypt(c.CKM_AES_CTR, KEY, sealed, parameter) == data
    fails(c.CKR_DATA_LEN_RANGE, encrypt, c.CKM_AES_CTR, KEY, data + b"x", parameter)
    operation = made(MECHANISMS[c.CKM_AES_CTR], "encrypt", KEY, parameter)
    fails(c.CKR_DATA_LEN_RANGE, in_parts, operation, [data, b"x"])


def test_full_counter_wraps_nowhere() -> None:
    parameter = AesCtr(128, b"\xff" * 16)
    assert len(encrypt(c.CKM_AES_CTR, KEY, bytes(16), parameter)) == 16
    fails(c.CKR_DATA_LEN_RANGE, encrypt, c.CKM_AES_CTR, KEY, bytes(17), parameter)


@pytest.mark.parametrize("tag_bits", [32, 64, 96, 104, 112, 120, 128])
def test_wrong_tag_releases_nothing(tag_bits: int) -> None:
    parameter = Gcm(bytes(12), b"header", tag_bits)
    sealed = bytearray(encrypt(c.CKM_AES_GCM, KEY, b"plain text" * 1000, parameter))
    sealed[-1] ^= 1
    row = MECHANISMS[c.CKM_AES_GCM]
    out = bytearray(len(sealed))
    operation = made(row, "decrypt", KEY, parameter)
    fails(c.CKR_ENCRYPTED_DATA_INVALID, operation.run_into, bytes(sealed), memoryview(out))
    assert not any(out)
    before = bytes(sealed)
    operation = made(row, "decrypt", KEY, parameter)
    fails(c.CKR_ENCRYPTED_DATA_INVALID, operation.run_into, before, memoryview(sealed))
    assert sealed == before
    operation = made(row, "decrypt", KEY, parameter)
    assert operation.update_length(len(sealed)) == 0
    assert operation.update_into(sealed, memoryview(out)) == 0
    fails(c.CKR_ENCRYPTED_DATA_INVALID, operation.finish)
    assert not any(out)


def test_other_additional_data() -> None:
    sealed = encrypt(c.CKM_AES_GCM, KEY, b"x", Gcm(bytes(12), b"a", 128))
    other = Gcm(bytes(12), b"b", 128)
    fails(c.CKR_ENCRYPTED_DATA_INVALID, decrypt, c.CKM_AES_GCM, KEY, sealed, other)


def test_ciphertext_shorter_than_the_tag() -> None:
    parameter = Gcm(bytes(12), b"", 128)
    rv = c.CKR_ENCRYPTED_DATA_LEN_RANGE
    fails(rv, decrypt, c.CKM_AES_GCM, KEY, bytes(15), parameter)
    fails(rv, in_parts, made(MECHANISMS[c.CKM_AES_GCM], "decrypt", KEY, parameter), [bytes(15)])


def test_cmac_lengths() -> None:
    full = sign(c.CKM_AES_CMAC, KEY, b"message")
    for length in (1, 8, 16):
        cut = sign(c.CKM_AES_CMAC_GENERAL, KEY, b"message", MacGeneral(length))
        assert cut == full[:length]
        verify(c.CKM_AES_CMAC_GENERAL, KEY, b"message", cut, MacGeneral(length))
    for length in (0, 17):
        wrong = (c.CKM_AES_CMAC_GENERAL, KEY, b"", MacGeneral(length))
        fails(c.CKR_MECHANISM_PARAM_INVALID, sign, *wrong)
    fails(c.CKR_SIGNATURE_LEN_RANGE, verify, c.CKM_AES_CMAC, KEY, b"message", full[:-1])
    fails(c.CKR_SIGNATURE_INVALID, verify, c.CKM_AES_CMAC, KEY, b"messagf", full)


@pytest.mark.parametrize("length", [16, 24, 32])
def test_generated_key(length: int) -> None:
    row = MECHANISMS[c.CKM_AES_KEY_GEN]
    assert row.generate
    made_ = row.generate(None, {c.CKA_VALUE_LEN: length})
    value = made_[c.CKA_VALUE]
    assert isinstance(value, bytes)
    assert len(value) == made_[c.CKA_VALUE_LEN] == length
    assert value != row.generate(None, {c.CKA_VALUE_LEN: length})[c.CKA_VALUE]
    zeros = encrypt(c.CKM_AES_ECB, secret(c.CKK_AES, value), bytes(16))
    assert made_[c.CKA_CHECK_VALUE] == zeros[:3]


def test_generating_without_or_with_a_wrong_length() -> None:
    generate = MECHANISMS[c.CKM_AES_KEY_GEN].generate
    assert generate
    fails(c.CKR_TEMPLATE_INCOMPLETE, generate, None, {})
    for length in (0, 1, 15, 17, 33, 64):
        fails(c.CKR_ATTRIBUTE_VALUE_INVALID, generate, None, {c.CKA_VALUE_LEN: length})


def test_check_value() -> None:
    attributes = {
        c.CKA_CLASS: c.CKO_SECRET_KEY,
        c.CKA_KEY_TYPE: c.CKK_AES,
        c.CKA_VALUE: bytes(16),
    }
    # AES-128 of a zero block under a zero key: FIPS-197's well known 66e94bd4...
    assert complete_key(attributes)[c.CKA_CHECK_VALUE] == bytes.fromhex("66e94b")
    good = {**attributes, c.CKA_CHECK_VALUE: bytes.fromhex("66e94b")}
    assert complete_key(good)[c.CKA_VALUE_LEN] == 16
    wrong = {**attributes, c.CKA_CHECK_VALUE: bytes.fromhex("66e94c")}
    fails(c.CKR_ATTRIBUTE_VALUE_INVALID, complete_key, wrong)
    none = {**attributes, c.CKA_CHECK_VALUE: b""}
    assert c.CKA_CHECK_VALUE not in complete_key(none)
    fails(c.CKR_ATTRIBUTE_VALUE_INVALID, complete_key, {**attributes, c.CKA_VALUE: bytes(17)})
    fails(c.CKR_TEMPLATE_INCONSISTENT, complete_key, {**attributes, c.CKA_VALUE_LEN: 32})


def test_repr_shows_no_secret() -> None:
    key = secret(c.CKK_AES, b"sixteen octets !")
    assert "sixteen" not in repr(key)
