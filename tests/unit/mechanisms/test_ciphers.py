"""Ciphers other than AES: parts, lengths, in-place work, parameters and keys."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.mechanisms.keys import (
    decrypt,
    encrypt,
    fails,
    imported,
    in_parts,
    made,
    secret,
    sign,
    verify,
)

from pypkcs11.mechanisms.chacha20 import chacha20
from pypkcs11.mechanisms.des import with_parity
from pypkcs11.mechanisms.parameters import ChaCha, ChaChaPoly, MacGeneral
from pypkcs11.mechanisms.registry import Key
from pypkcs11.mechanisms.table import complete_key, key_types, mechanisms
from pypkcs11.standard import constants as c

MECHANISMS = mechanisms()

#: Octets of a block, and the family's name in the standard's.
CIPHERS = {
    "DES": (c.CKK_DES, 8, 8),
    "DES3": (c.CKK_DES3, 24, 8),
    "CAMELLIA": (c.CKK_CAMELLIA, 32, 16),
    "SEED": (c.CKK_SEED, 16, 16),
    "BLOWFISH": (c.CKK_BLOWFISH, 33, 8),
    "CAST128": (c.CKK_CAST128, 11, 8),
    "IDEA": (c.CKK_IDEA, 16, 8),
}


def a_key(key_type: int, length: int) -> Key:
    return secret(key_type, with_parity(bytes(range(1, length + 1))))


def _modes() -> list[Any]:
    found = []
    for name, (key_type, length, block) in CIPHERS.items():
        key, iv = a_key(key_type, length), bytes(range(block))
        for mode, parameter, multiple in (
            ("ECB", None, block),
            ("CBC", iv, block),
            ("CBC_PAD", iv, 1),
        ):
            mechanism = getattr(c, f"CKM_{name}_{mode}", None)
            if mechanism is not None:
                found.append(pytest.param(mechanism, key, parameter, multiple, id=f"{name}-{mode}"))
    for name in ("OFB64", "CFB64", "CFB8"):
        key = a_key(c.CKK_DES2, 16)
        mechanism = getattr(c, f"CKM_DES_{name}")
        found.append(pytest.param(mechanism, key, bytes(8), 1, id=name))
    found.append(pytest.param(c.CKM_RC4, secret(c.CKK_RC4, bytes(16)), None, 1, id="RC4"))
    key = secret(c.CKK_CHACHA20, bytes(range(32)))
    for name, lengths in {"original": (8, 8), "ietf": (4, 12), "extended": (8, 24)}.items():
        stream = ChaCha(*map(bytes, lengths))
        found.append(pytest.param(c.CKM_CHACHA20, key, stream, 1, id=f"chacha20-{name}"))
    for length in (12, 24):
        sealing = ChaChaPoly(bytes(length), b"header")
        found.append(
            pytest.param(c.CKM_CHACHA20_POLY1305, key, sealing, 1, id=f"chacha20-poly1305-{length}")
        )
    return found


MODES = _modes()
modes = pytest.mark.parametrize(("mechanism", "key", "parameter", "multiple"), MODES)


@modes
@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 64, 4104, 5000, 70000])
def test_one_part_there_and_back(
    mechanism: int, key: Key, parameter: Any, multiple: int, length: int
) -> None:
    data = os.urandom(length - length % multiple)
    sealed = encrypt(mechanism, key, data, parameter)
    assert decrypt(mechanism, key, sealed, parameter) == data
    assert sealed != data or not data


@modes
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_parts_equal_one_part(
    mechanism: int, key: Key, parameter: Any, multiple: int, data: st.DataObject
) -> None:
    parts = data.draw(st.lists(st.binary(max_size=70), max_size=6))
    surplus = len(b"".join(parts)) % multiple
    parts += [bytes(multiple - surplus)] * bool(surplus)
    message = b"".join(parts)
    in_place = data.draw(st.booleans())
    row = MECHANISMS[mechanism]
    sealed = encrypt(mechanism, key, message, parameter)
    assert in_parts(made(row, "encrypt", key, parameter), parts, in_place) == sealed
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sealed)), max_size=5)))
    pieces = [sealed[a:b] for a, b in zip([0, *cuts], [*cuts, len(sealed)], strict=True)]
    assert in_parts(made(row, "decrypt", key, parameter), pieces, in_place) == message


@modes
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("first", [0, 1, 65536])
def test_long_parts(
    mechanism: int, key: Key, parameter: Any, multiple: int, in_place: bool, first: int
) -> None:
    message = os.urandom(131_072)
    row = MECHANISMS[mechanism]
    sealed = encrypt(mechanism, key, message, parameter)
    for function, whole, result in (("encrypt", message, sealed), ("decrypt", sealed, message)):
        parts = [whole[:first], whole[first:100_001], whole[100_001:]]
        assert in_parts(made(row, function, key, parameter), parts, in_place) == result


@modes
def test_a_key_serves_many_messages(
    mechanism: int, key: Key, parameter: Any, multiple: int
) -> None:
    """Contexts are used again, and must not remember the message before."""
    for round_ in range(4):
        other = parameter
        if isinstance(parameter, bytes):
            other = os.urandom(len(parameter))
        message = os.urandom(16 * round_)
        sealed = encrypt(mechanism, key, message, other)
        anew = Key(key.type, key.bits, key.value)
        assert sealed == encrypt(mechanism, anew, message, other)
        assert decrypt(mechanism, key, sealed, other) == message


@pytest.mark.parametrize("name", CIPHERS)
def test_lengths_ivs_and_padding(name: str) -> None:
    key_type, length, block = CIPHERS[name]
    key, iv = a_key(key_type, length), bytes(block)
    cbc, padded = getattr(c, f"CKM_{name}_CBC"), getattr(c, f"CKM_{name}_CBC_PAD")
    fails(c.CKR_DATA_LEN_RANGE, encrypt, cbc, key, bytes(block + 1), iv)
    fails(c.CKR_ENCRYPTED_DATA_LEN_RANGE, decrypt, cbc, key, bytes(block - 1), iv)
    for wrong in (0, block - 1, block + 1, 2 * block):
        fails(c.CKR_ENCRYPTED_DATA_LEN_RANGE, decrypt, padded, key, bytes(wrong % (2 * block)), iv)
        for mechanism in (cbc, padded):
            row = MECHANISMS[mechanism]
            parameter = bytes(wrong)
            fails(c.CKR_MECHANISM_PARAM_INVALID, made, row, "encrypt", key, parameter)
            fails(c.CKR_MECHANISM_PARAM_INVALID, made, row, "decrypt", key, parameter)
    for last in (0, block + 1, 16 + 1, 255):
        sealed = encrypt(cbc, key, bytes([last]).rjust(block, b"\x55"), iv)
        fails(c.CKR_ENCRYPTED_DATA_INVALID, decrypt, padded, key, sealed, iv)


MACS = [name for name in CIPHERS if hasattr(c, f"CKM_{name}_MAC")]


@pytest.mark.parametrize("name", MACS)
@pytest.mark.parametrize("length", [1, 7, 8, 9, 16, 17, 100, 70000])
def test_macs_are_the_last_block_of_cbc(name: str, length: int) -> None:
    key_type, key_length, block = CIPHERS[name]
    key, message = a_key(key_type, key_length), os.urandom(length)
    filled = message + bytes(-length % block)
    last = encrypt(getattr(c, f"CKM_{name}_CBC"), key, filled, bytes(block))[-block:]
    mac, general = getattr(c, f"CKM_{name}_MAC"), getattr(c, f"CKM_{name}_MAC_GENERAL")
    assert sign(mac, key, message) == last[: block // 2]
    assert sign(general, key, message, MacGeneral(block)) == last
    verify(mac, key, message, last[: block // 2])
    fails(c.CKR_SIGNATURE_INVALID, verify, mac, key, message, bytes(block // 2))
    fails(c.CKR_SIGNATURE_LEN_RANGE, verify, mac, key, message, last)
    for wrong in (0, block + 1):
        fails(c.CKR_MECHANISM_PARAM_INVALID, sign, general, key, message, MacGeneral(wrong))


@pytest.mark.parametrize("mechanism", [c.CKM_DES3_MAC, c.CKM_DES3_CMAC, c.CKM_POLY1305])
@settings(max_examples=40, deadline=None)
@given(parts=st.lists(st.binary(max_size=30), max_size=6))
def test_macs_in_parts(mechanism: int, parts: list[bytes]) -> None:
    poly = mechanism == c.CKM_POLY1305
    key = secret(c.CKK_POLY1305, bytes(range(32))) if poly else a_key(c.CKK_DES3, 24)
    row = MECHANISMS[mechanism]
    assert row.sign
    assert row.verify
    signature, verification = row.sign(key, None), row.verify(key, None)
    for part in parts:
        signature.update(part)
        verification.update(part)
    mac = signature.finish()
    assert mac == sign(mechanism, key, b"".join(parts))
    verification.finish(mac)


def test_no_data_has_a_mac() -> None:
    key = a_key(c.CKK_DES3, 24)
    block = encrypt(c.CKM_DES3_ECB, key, bytes(8))
    assert sign(c.CKM_DES3_MAC, key, b"") == block[:4]


# -- ChaCha20 ----------------------------------------------------------------------------------

CHACHA = secret(c.CKK_CHACHA20, bytes(range(32)))


@pytest.mark.parametrize(
    ("counter", "nonce"), [(0, 12), (4, 0), (4, 8), (8, 12), (4, 24), (5, 12), (16, 12), (4, 16)]
)
def test_lengths_of_no_variant(counter: int, nonce: int) -> None:
    parameter = ChaCha(bytes(counter), bytes(nonce))
    fails(c.CKR_MECHANISM_PARAM_INVALID, chacha20, CHACHA, parameter)


@pytest.mark.parametrize("nonce", [0, 8, 11, 13, 16, 23])
def test_authenticated_nonces(nonce: int) -> None:
    row, parameter = MECHANISMS[c.CKM_CHACHA20_POLY1305], ChaChaPoly(bytes(nonce), b"")
    fails(c.CKR_MECHANISM_PARAM_INVALID, made, row, "encrypt", CHACHA, parameter)
    fails(c.CKR_MECHANISM_PARAM_INVALID, made, row, "decrypt", CHACHA, parameter)


@pytest.mark.parametrize(("width", "nonce"), [(4, 12), (8, 8), (8, 24)])
def test_counter_may_not_overflow(width: int, nonce: int) -> None:
    parameter = ChaCha(b"\xfe" + b"\xff" * (width - 1), bytes(nonce))
    data = bytes(128)
    sealed = encrypt(c.CKM_CHACHA20, CHACHA, data, parameter)
    assert decrypt(c.CKM_CHACHA20, CHACHA, sealed, parameter) == data
    fails(c.CKR_DATA_LEN_RANGE, encrypt, c.CKM_CHACHA20, CHACHA, data + b"x", parameter)
    operation = made(MECHANISMS[c.CKM_CHACHA20], "encrypt", CHACHA, parameter)
    fails(c.CKR_DATA_LEN_RANGE, in_parts, operation, [data, b"x"])


@pytest.mark.parametrize("first", [0, 1, 63, 64, 65, 128, 200])
def test_a_long_counter_goes_on_beyond_32_bits(first: int) -> None:
    """What comes behind is the stream of the next counter, written as 64 bits."""
    before = ChaCha((2**32 - 2).to_bytes(8, "little"), bytes(8))
    after = ChaCha((2**32).to_bytes(8, "little"), bytes(8))
    data = os.urandom(300)
    sealed = encrypt(c.CKM_CHACHA20, CHACHA, data, before)
    assert sealed[128:] == encrypt(c.CKM_CHACHA20, CHACHA, data[128:], after)
    operation = made(MECHANISMS[c.CKM_CHACHA20], "encrypt", CHACHA, before)
    assert in_parts(operation, [data[:first], data[first:]], in_place=True) == sealed


@pytest.mark.parametrize("nonce", [12, 24])
def test_wrong_tag_releases_nothing(nonce: int) -> None:
    parameter = ChaChaPoly(bytes(nonce), b"header")
    sealed = bytearray(encrypt(c.CKM_CHACHA20_POLY1305, CHACHA, b"plain text" * 100, parameter))
    sealed[-1] ^= 1
    row = MECHANISMS[c.CKM_CHACHA20_POLY1305]
    out = bytearray(len(sealed))
    operation = made(row, "decrypt", CHACHA, parameter)
    fails(c.CKR_ENCRYPTED_DATA_INVALID, operation.run_into, bytes(sealed), memoryview(out))
    before = bytes(sealed)
    operation = made(row, "decrypt", CHACHA, parameter)
    fails(c.CKR_ENCRYPTED_DATA_INVALID, operation.run_into, before, memoryview(sealed))
    assert sealed == before
    operation = made(row, "decrypt", CHACHA, parameter)
    assert operation.update_length(len(sealed)) == 0
    assert operation.update_into(sealed, memoryview(out)) == 0
    fails(c.CKR_ENCRYPTED_DATA_INVALID, operation.finish)
    assert not any(out)
    short = (c.CKM_CHACHA20_POLY1305, CHACHA, bytes(15), parameter)
    fails(c.CKR_ENCRYPTED_DATA_LEN_RANGE, decrypt, *short)
    other = ChaChaPoly(bytes(nonce), b"another header")
    good = encrypt(c.CKM_CHACHA20_POLY1305, CHACHA, b"", parameter)
    fails(c.CKR_ENCRYPTED_DATA_INVALID, decrypt, c.CKM_CHACHA20_POLY1305, CHACHA, good, other)


# -- keys --------------------------------------------------------------------------------------

#: Lengths in octets that keys have, those around them that they have not, and whether they say it.
KEYS = {
    c.CKK_DES: ((8,), (7, 9, 16), False),
    c.CKK_DES2: ((16,), (8, 15, 24), False),
    c.CKK_DES3: ((24,), (16, 23, 25), False),
    c.CKK_CHACHA20: ((32,), (16, 31, 33), True),
    c.CKK_POLY1305: ((32,), (16, 31, 33), True),
    c.CKK_CAMELLIA: ((16, 24, 32), (8, 17, 33), True),
    c.CKK_SEED: ((16,), (15, 17, 32), False),
    c.CKK_BLOWFISH: ((4, 5, 56), (3, 57), True),
    c.CKK_CAST128: ((5, 9, 16), (4, 17), True),
    c.CKK_IDEA: ((16,), (15, 17), False),
    c.CKK_RC4: ((5, 16, 32), (4, 6, 33), True),
}
GENERATORS = {
    row.key_types[0]: row
    for row in MECHANISMS.values()
    if row.generate and row.key_types and not row.chosen
}


@pytest.mark.parametrize("key_type", KEYS, ids=hex)
def test_keys(key_type: int) -> None:
    good, bad, tells = KEYS[key_type]
    generate = GENERATORS[key_type].generate
    assert generate
    for length in good:
        given_ = {c.CKA_VALUE_LEN: length} if tells else {}
        new = generate(None, given_)
        value = new[c.CKA_VALUE]
        assert isinstance(value, bytes)
        assert len(value) == length
        assert value != generate(None, given_)[c.CKA_VALUE]
        assert new.get(c.CKA_VALUE_LEN) == (length if tells else None)
        kind = {c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_KEY_TYPE: key_type}
        key = imported(kind | {c.CKA_VALUE: value, c.CKA_CHECK_VALUE: new[c.CKA_CHECK_VALUE]})
        assert key.bits == 8 * length
        assert length in key_types()[key_type].lengths
        wrong = kind | {c.CKA_VALUE: value, c.CKA_CHECK_VALUE: b"\0\0\0\0"}
        fails(c.CKR_ATTRIBUTE_VALUE_INVALID, complete_key, wrong)
    for length in bad:
        value = with_parity(bytes(length))
        fails(c.CKR_ATTRIBUTE_VALUE_INVALID, secret, key_type, value)
        if tells:
            fails(c.CKR_ATTRIBUTE_VALUE_INVALID, generate, None, {c.CKA_VALUE_LEN: length})
    if tells:
        fails(c.CKR_TEMPLATE_INCOMPLETE, generate, None, {})


@pytest.mark.parametrize(
    ("key_type", "length"), [(c.CKK_DES, 8), (c.CKK_DES2, 16), (c.CKK_DES3, 24)]
)
def test_parity(key_type: int, length: int) -> None:
    generate = GENERATORS[key_type].generate
    assert generate
    for _ in range(20):
        value = generate(None, {})[c.CKA_VALUE]
        assert isinstance(value, bytes)
        assert all(octet.bit_count() % 2 for octet in value)
    good = with_parity(os.urandom(length))
    for place in (0, length - 1):
        bad = bytearray(good)
        bad[place] ^= 1
        fails(c.CKR_ATTRIBUTE_VALUE_INVALID, secret, key_type, bytes(bad))
        restore = key_types()[key_type].restore[c.CKO_SECRET_KEY]
        fails(c.CKR_WRAPPED_KEY_INVALID, restore, bytes(bad))
