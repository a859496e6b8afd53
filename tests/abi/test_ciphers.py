"""DES, ChaCha20, Poly1305 and the old ciphers, through the C boundary."""

from __future__ import annotations

import os
from typing import Any

import pytest
from abi.client import NULL, Client, ffi, gcm, mechanism, number, octets, refused, struct
from abi.conftest import Token, restart
from abi.helping import configure
from abi.key_helpers import P256, ecdh, named, secret, string_data
from abi.samples import ODD
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from pypkcs11.standard import constants as c

IV8 = bytes(range(8))
USES = {"ENCRYPT": True, "DECRYPT": True, "SIGN": True, "VERIFY": True}
WRAPS = {"WRAP": True, "UNWRAP": True}
#: Key types of DES, and octets of their keys.
DES = {c.CKK_DES: 8, c.CKK_DES2: 16, c.CKK_DES3: 24}
GENERATORS = {
    c.CKK_DES: c.CKM_DES_KEY_GEN,
    c.CKK_DES2: c.CKM_DES2_KEY_GEN,
    c.CKK_DES3: c.CKM_DES3_KEY_GEN,
}


def triple(value: bytes) -> TripleDES:
    return TripleDES((value * 3)[:24])


def template(key_type: int, **more: Any) -> dict[int, Any]:
    readable = {"SENSITIVE": False, "EXTRACTABLE": True}
    return named({"CLASS": c.CKO_SECRET_KEY, "KEY_TYPE": key_type, **readable, **more})


def chacha_key(p11: Client, session: int, value: bytes = bytes(range(32))) -> int:
    return secret(p11, session, value, c.CKK_CHACHA20, **USES, **WRAPS)


def chacha(counter: bytes, nonce: bytes) -> Any:
    """CK_CHACHA20_PARAMS."""
    return struct(
        "CK_CHACHA20_PARAMS",
        pBlockCounter=counter,
        blockCounterBits=8 * len(counter),
        pNonce=nonce,
        ulNonceBits=8 * len(nonce),
    )


def sealing(nonce: bytes, aad: bytes = b"", scale: int = 8) -> Any:
    """CK_SALSA20_CHACHA20_POLY1305_PARAMS; the nonce's length in bits, or in octets."""
    return struct(
        "CK_SALSA20_CHACHA20_POLY1305_PARAMS",
        pNonce=nonce,
        ulNonceLen=scale * len(nonce),
        pAAD=aad or NULL,
        ulAADLen=len(aad),
    )


# -- DES keys ----------------------------------------------------------------------------------


@pytest.mark.parametrize("key_type", DES, ids=["DES", "DES2", "DES3"])
def test_des_keys(p11: Client, session: int, key_type: int) -> None:
    length = DES[key_type]
    mech = mechanism(GENERATORS[key_type])
    key = p11.generate(session, mech, named({"SENSITIVE": False, "EXTRACTABLE": True, **USES}))
    value = p11.get(session, key, c.CKA_VALUE)
    assert len(value) == length
    assert all(octet.bit_count() % 2 for octet in value)
    zeros = Cipher(triple(value), modes.ECB()).encryptor().update(bytes(8))
    assert p11.get(session, key, c.CKA_CHECK_VALUE) == zeros[:3]
    assert number(p11.get(session, key, c.CKA_KEY_TYPE)) == key_type
    one = ffi.new("CK_ATTRIBUTE *", (c.CKA_VALUE_LEN, NULL, 0))
    assert p11.C_GetAttributeValue(session, key, one, 1) == c.CKR_ATTRIBUTE_TYPE_INVALID
    with refused(c.CKR_TEMPLATE_INCONSISTENT):
        p11.generate(session, mech, {c.CKA_VALUE_LEN: length})
    again = p11.create(session, template(key_type, VALUE=value, CHECK_VALUE=zeros[:3], **USES))
    kind = c.CKM_DES_CBC_PAD if key_type == c.CKK_DES else c.CKM_DES3_CBC_PAD
    sealed = p11.encrypt(session, mechanism(kind, IV8), key, b"a message")
    assert p11.decrypt(session, mechanism(kind, IV8), again, sealed) == b"a message"
    for wrong in (value[:-1], value + b"\1", bytes([value[0] ^ 1]) + value[1:]):
        with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
            p11.create(session, template(key_type, VALUE=wrong))


def test_des_keys_stay(p11: Client, token: Token, session: int) -> None:
    key = secret(p11, session, ODD[:24], c.CKK_DES3, TOKEN=True, LABEL=b"kept", **USES)
    mech = mechanism(c.CKM_DES3_CBC, IV8)
    sealed = p11.encrypt(session, mech, key, bytes(64))
    session = restart(p11, token)
    (key,) = p11.find(session, {c.CKA_LABEL: b"kept"})
    assert p11.decrypt(session, mech, key, sealed) == bytes(64)


def test_each_mechanism_has_its_keys(p11: Client, session: int) -> None:
    keys = {kind: secret(p11, session, ODD[:n], kind, **USES) for kind, n in DES.items()}
    single, triples = {c.CKK_DES}, {c.CKK_DES2, c.CKK_DES3}
    for name, parameter, allowed in (
        ("DES_CBC", IV8, single),
        ("DES_ECB", None, single),
        ("DES3_CBC", IV8, triples),
        ("DES3_ECB", None, triples),
        ("DES_OFB64", IV8, single | triples),
        ("DES_CFB64", IV8, single | triples),
        ("DES_CFB8", IV8, single | triples),
    ):
        mech = mechanism(getattr(c, f"CKM_{name}"), parameter)
        for kind, key in keys.items():
            if kind in allowed:
                assert len(p11.encrypt(session, mech, key, bytes(8), bytes(16))) == 24
            else:
                with refused(c.CKR_KEY_TYPE_INCONSISTENT):
                    p11.encrypt(session, mech, key, bytes(8))
    wrong = mechanism(c.CKM_DES3_CBC, bytes(16))
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        p11.encrypt(session, wrong, keys[c.CKK_DES3], bytes(8))


# -- wrapping and derivation -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["DES3_ECB", "DES3_CBC", "DES3_CBC_PAD"])
def test_wrapping_with_triple_des(p11: Client, session: int, name: str) -> None:
    iv = None if name == "DES3_ECB" else IV8
    mech = mechanism(getattr(c, f"CKM_{name}"), iv)
    kek = secret(p11, session, ODD[:24], c.CKK_DES3, **WRAPS)
    for key_type, value in (
        (c.CKK_DES2, ODD[7:23]),
        (c.CKK_DES3, ODD[1:25]),
        (c.CKK_AES, ODD[:24]),
    ):
        wrapped = p11.wrap(session, mech, kek, secret(p11, session, value, key_type))
        padded = value + bytes([8] * 8) if name == "DES3_CBC_PAD" else value
        mode = modes.ECB() if iv is None else modes.CBC(iv)
        assert wrapped == Cipher(triple(ODD[:24]), mode).encryptor().update(padded)
        key = p11.unwrap(session, mech, kek, wrapped, template(key_type))
        assert p11.get(session, key, c.CKA_VALUE) == value
    wrapped = p11.wrap(session, mech, kek, secret(p11, session, bytes(24)))
    with refused(c.CKR_WRAPPED_KEY_INVALID):  # its parity is even
        p11.unwrap(session, mech, kek, wrapped, template(c.CKK_DES3))
    with refused(c.CKR_WRAPPED_KEY_LEN_RANGE):
        p11.unwrap(session, mech, kek, wrapped, template(c.CKK_DES))


def test_des_keys_under_aes(p11: Client, session: int) -> None:
    kek = secret(p11, session, bytes(32), **WRAPS)
    for kind, parameter in (
        (c.CKM_AES_KEY_WRAP_KWP, None),
        (c.CKM_AES_CBC, bytes(16)),
        (c.CKM_AES_GCM, gcm(bytes(12))),
    ):
        mech = mechanism(kind, parameter)
        for key_type, length in DES.items():
            value = ODD[:length]
            wrapped = p11.wrap(session, mech, kek, secret(p11, session, value, key_type))
            key = p11.unwrap(session, mech, kek, wrapped, template(key_type))
            assert p11.get(session, key, c.CKA_VALUE) == value


def test_deriving_by_encryption(p11: Client, session: int) -> None:
    data = os.urandom(32)
    parameters = {
        "ECB": (string_data(data), modes.ECB()),
        "CBC": (
            struct("CK_DES_CBC_ENCRYPT_DATA_PARAMS", iv=list(IV8), pData=octets(data), length=32),
            modes.CBC(IV8),
        ),
    }
    for key_type, length in DES.items():
        base = secret(p11, session, ODD[:length], key_type)
        name = "DES" if key_type == c.CKK_DES else "DES3"
        for mode, (parameter, theirs) in parameters.items():
            mech = mechanism(getattr(c, f"CKM_{name}_{mode}_ENCRYPT_DATA"), parameter)
            expected = Cipher(triple(ODD[:length]), theirs).encryptor().update(data)
            made = p11.derive(session, mech, base, template(c.CKK_GENERIC_SECRET))
            assert p11.get(session, made, c.CKA_VALUE) == expected
            made = p11.derive(session, mech, base, template(c.CKK_AES, VALUE_LEN=16))
            assert p11.get(session, made, c.CKA_VALUE) == expected[:16]
            with refused(c.CKR_DATA_LEN_RANGE):
                p11.derive(session, mech, base, template(c.CKK_GENERIC_SECRET, VALUE_LEN=33))


@pytest.mark.parametrize("key_type", DES, ids=["DES", "DES2", "DES3"])
def test_derived_des_keys_have_their_parity(p11: Client, session: int, key_type: int) -> None:
    make = mechanism(c.CKM_EC_KEY_PAIR_GEN)
    derives = {c.CKA_DERIVE: True}
    public, private = p11.generate_pair(session, make, {c.CKA_EC_PARAMS: P256}, derives)
    agree = mechanism(c.CKM_ECDH1_DERIVE, ecdh(p11.get(session, public, c.CKA_EC_POINT)))
    raw = p11.derive(session, agree, private, template(c.CKK_GENERIC_SECRET))
    shared = p11.get(session, raw, c.CKA_VALUE)
    key = p11.derive(session, agree, private, template(key_type))
    value = p11.get(session, key, c.CKA_VALUE)
    assert len(value) == DES[key_type]
    assert all(octet.bit_count() % 2 for octet in value)
    bits = [(a >> 1, b >> 1) for a, b in zip(value, shared[-len(value) :], strict=True)]
    assert all(a == b for a, b in bits)


def test_deriving_other_keys(p11: Client, session: int) -> None:
    """Keys of one length need not be told how long they are."""
    base = secret(p11, session, bytes(range(64)), c.CKK_GENERIC_SECRET)
    mech = mechanism(c.CKM_CONCATENATE_BASE_AND_DATA, string_data(b"more"))
    for key_type, length in ((c.CKK_CHACHA20, 32), (c.CKK_POLY1305, 32), (c.CKK_SEED, 16)):
        key = p11.derive(session, mech, base, template(key_type))
        assert p11.get(session, key, c.CKA_VALUE) == bytes(range(length))
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        p11.derive(session, mech, base, template(c.CKK_CAMELLIA))
    from_des = secret(p11, session, ODD[:8], c.CKK_DES)
    key = p11.derive(session, mech, from_des, template(c.CKK_GENERIC_SECRET))
    assert p11.get(session, key, c.CKA_VALUE) == ODD[:8] + b"more"


# -- MACs --------------------------------------------------------------------------------------


def test_saved_macs(p11: Client, session: int) -> None:
    key = secret(p11, session, ODD[:24], c.CKK_DES3, **USES)
    for kind in (c.CKM_DES3_MAC, c.CKM_DES3_CMAC):
        mech = mechanism(kind)
        expected = p11.sign(session, mech, key, b"one two three")
        p11.do("C_SignInit", session, mech, key)
        p11.do("C_SignUpdate", session, octets(b"one t"), 5)
        state = p11.output("C_GetOperationState", session)
        p11.do("C_SignUpdate", session, octets(b"nothing"), 7)
        assert p11.output("C_SignFinal", session) != expected
        p11.do("C_SetOperationState", session, octets(state), len(state), 0, 0)
        p11.do("C_SignUpdate", session, octets(b"wo three"), 8)
        assert p11.output("C_SignFinal", session) == expected


def test_poly1305(p11: Client, session: int) -> None:
    mech = mechanism(c.CKM_POLY1305)
    template_ = {c.CKA_VALUE_LEN: 32, **named(USES)}
    key = p11.generate(session, mechanism(c.CKM_POLY1305_KEY_GEN), template_)
    mac = p11.sign(session, mech, key, b"a ", b"message")
    assert len(mac) == 16
    p11.verify(session, mech, key, mac, b"a message")
    with refused(c.CKR_SIGNATURE_INVALID):
        p11.verify(session, mech, key, bytes(16), b"a message")
    with refused(c.CKR_SIGNATURE_LEN_RANGE):
        p11.verify(session, mech, key, mac[:15], b"a message")
    with refused(c.CKR_MECHANISM_INVALID):
        p11.encrypt(session, mech, key, b"a message")
    p11.do("C_SignInit", session, mech, key)
    p11.do("C_SignUpdate", session, octets(b"a "), 2)
    length = ffi.new("CK_ULONG *")
    assert p11.C_GetOperationState(session, NULL, length) == c.CKR_STATE_UNSAVEABLE
    p11.do("C_SignUpdate", session, octets(b"message"), 7)
    assert p11.output("C_SignFinal", session) == mac


# -- ChaCha20 ----------------------------------------------------------------------------------


def test_chacha20_parameters(p11: Client, session: int) -> None:
    key = chacha_key(p11, session)
    good = mechanism(c.CKM_CHACHA20, chacha(b"\1\0\0\0", bytes(12)))
    sealed = p11.encrypt(session, good, key, b"a message")
    assert p11.decrypt(session, good, key, sealed[:3], sealed[3:]) == b"a message"
    bad: list[Any] = [chacha(bytes(4), bytes(8)), chacha(bytes(2), bytes(12)), None, bytes(7)]
    for field, value in (
        ("blockCounterBits", 31),
        ("ulNonceBits", 95),
        ("ulNonceBits", 1 << 60),
        ("pNonce", NULL),
        ("pBlockCounter", NULL),
    ):
        bad.append(chacha(bytes(4), bytes(12)))
        setattr(bad[-1], field, value)
    for parameter in bad:
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            p11.encrypt(session, mechanism(c.CKM_CHACHA20, parameter), key, b"a message")


def test_chacha20_wraps(p11: Client, session: int) -> None:
    kek = chacha_key(p11, session)
    mech = mechanism(c.CKM_CHACHA20, chacha(bytes(8), bytes(24)))
    value = bytes(range(17))
    target = secret(p11, session, value, c.CKK_GENERIC_SECRET)
    wrapped = p11.wrap(session, mech, kek, target)
    assert len(wrapped) == 17
    key = p11.unwrap(session, mech, kek, wrapped, template(c.CKK_GENERIC_SECRET))
    assert p11.get(session, key, c.CKA_VALUE) == value


@pytest.mark.parametrize("scale", [1, 8])
@pytest.mark.parametrize("size", [12, 24])
def test_chacha20_poly1305(p11: Client, session: int, size: int, scale: int) -> None:
    key = chacha_key(p11, session)
    mech = mechanism(c.CKM_CHACHA20_POLY1305, sealing(bytes(size), b"header", scale))
    plain = os.urandom(1000)
    sealed = p11.encrypt(session, mech, key, plain)
    assert p11.encrypt(session, mech, key, plain[:1], plain[1:64], plain[64:]) == sealed
    assert p11.decrypt(session, mech, key, sealed) == plain
    assert p11.decrypt(session, mech, key, sealed[:1], sealed[1:999], sealed[999:]) == plain
    other = mechanism(c.CKM_CHACHA20_POLY1305, sealing(bytes(size), b"heade", scale))
    with refused(c.CKR_ENCRYPTED_DATA_INVALID):
        p11.decrypt(session, other, key, sealed)


def test_nothing_unverified_is_released(p11: Client, session: int) -> None:
    key = chacha_key(p11, session)
    mech = mechanism(c.CKM_CHACHA20_POLY1305, sealing(bytes(12)))
    sealed = bytearray(p11.encrypt(session, mech, key, bytes(200)))
    sealed[0] ^= 1
    out, length = ffi.new("CK_BYTE[]", b"\xa5" * 300), ffi.new("CK_ULONG *", 300)
    p11.do("C_DecryptInit", session, mech, key)
    rv = p11.C_Decrypt(session, octets(bytes(sealed)), len(sealed), out, length)
    assert rv == c.CKR_ENCRYPTED_DATA_INVALID
    p11.do("C_DecryptInit", session, mech, key)
    length[0] = 300
    p11.do("C_DecryptUpdate", session, octets(bytes(sealed)), len(sealed), out, length)
    assert length[0] == 0
    length[0] = 300
    assert p11.C_DecryptFinal(session, out, length) == c.CKR_ENCRYPTED_DATA_INVALID
    assert bytes(ffi.buffer(out, 300)) == b"\xa5" * 300


@pytest.mark.parametrize("bits", [0, 8, 23, 64, 95, 128, 193, 1 << 50])
def test_chacha20_poly1305_nonces(p11: Client, session: int, bits: int) -> None:
    parameter = sealing(bytes(64))
    parameter.ulNonceLen = bits
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        mech = mechanism(c.CKM_CHACHA20_POLY1305, parameter)
        p11.encrypt(session, mech, chacha_key(p11, session), b"a message")


# -- old mechanisms ----------------------------------------------------------------------------

OLD = [
    # name, key type, octets of a key and of a block
    ("CAMELLIA", c.CKK_CAMELLIA, 24, 16),
    ("SEED", c.CKK_SEED, 16, 16),
    ("BLOWFISH", c.CKK_BLOWFISH, 20, 8),
    ("CAST128", c.CKK_CAST128, 16, 8),
    ("IDEA", c.CKK_IDEA, 16, 8),
]


def offered(p11: Client, slot: int) -> set[int]:
    count = ffi.new("CK_ULONG *")
    p11.do("C_GetMechanismList", slot, NULL, count)
    numbers = ffi.new("CK_MECHANISM_TYPE[]", int(count[0]))
    p11.do("C_GetMechanismList", slot, numbers, count)
    return {int(numbers[i]) for i in range(count[0])}


def of_old_ciphers() -> set[int]:
    prefixes = ("CKM_RC4", *(f"CKM_{name}_" for name, *_ in OLD))
    return {number for name, number in vars(c).items() if name.startswith(prefixes)}


def test_old_mechanisms_are_not_there_unasked(p11: Client, session: int, token: Token) -> None:
    assert not offered(p11, token.slot) & of_old_ciphers()
    assert {c.CKM_DES_CBC, c.CKM_DES3_CBC} <= offered(p11, token.slot)
    info = ffi.new("CK_MECHANISM_INFO *")
    assert p11.C_GetMechanismInfo(token.slot, c.CKM_RC4, info) == c.CKR_MECHANISM_INVALID
    key = secret(p11, session, bytes(16), c.CKK_RC4, **USES)
    with refused(c.CKR_MECHANISM_INVALID):
        p11.encrypt(session, mechanism(c.CKM_RC4), key, b"a message")
    with refused(c.CKR_MECHANISM_INVALID):
        p11.generate(session, mechanism(c.CKM_RC4_KEY_GEN), {c.CKA_VALUE_LEN: 16})
    found = p11.find(session, {c.CKA_CLASS: c.CKO_MECHANISM})
    types = {number(p11.get(session, each, c.CKA_MECHANISM_TYPE)) for each in found}
    assert types == offered(p11, token.slot)


@pytest.mark.parametrize(
    ("text", "there", "missing"),
    [
        ('enable = ["CKM_RC4"]', {c.CKM_RC4, c.CKM_AES_CBC}, {c.CKM_RC4_KEY_GEN, c.CKM_SEED_ECB}),
        ('enable = "all"', {c.CKM_RC4, c.CKM_SEED_ECB, c.CKM_AES_CBC}, set()),
        ('enable = "all"\ndeny = ["CKM_RC4"]', {c.CKM_SEED_ECB}, {c.CKM_RC4}),
        ('allow = ["CKM_RC4"]', {c.CKM_RC4}, {c.CKM_RC4_KEY_GEN, c.CKM_AES_CBC}),
        ("deny = []", {c.CKM_AES_CBC}, {c.CKM_RC4, c.CKM_SEED_ECB}),
    ],
)
def test_asking_for_them(
    p11: Client, token: Token, text: str, there: set[int], missing: set[int]
) -> None:
    configure(p11, f"[mechanisms]\n{text}\n")
    found = offered(p11, p11.slots()[0])
    assert there <= found
    assert not missing & found


@pytest.fixture
def with_old(p11: Client, token: Token) -> int:
    """A session of a library that has the old mechanisms."""
    configure(p11, '[mechanisms]\nenable = "all"\n')
    session = p11.open(p11.slots()[0])
    p11.login(session, c.CKU_USER, token.user_pin)
    return session


@pytest.mark.parametrize(("name", "key_type", "length", "block"), OLD)
def test_old_ciphers(
    p11: Client, with_old: int, name: str, key_type: int, length: int, block: int
) -> None:
    session = with_old
    tells = key_type not in (c.CKK_SEED, c.CKK_IDEA)
    made = {c.CKA_VALUE_LEN: length} if tells else {}
    generate = mechanism(getattr(c, f"CKM_{name}_KEY_GEN"))
    key = p11.generate(session, generate, made | named({**USES, **WRAPS, "SENSITIVE": False}))
    plain, iv = os.urandom(100), os.urandom(block)
    padded = mechanism(getattr(c, f"CKM_{name}_CBC_PAD"), iv)
    sealed = p11.encrypt(session, padded, key, plain[:7], plain[7:])
    assert len(sealed) == 100 - 100 % block + block
    assert p11.decrypt(session, padded, key, sealed) == plain
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        p11.encrypt(session, mechanism(padded.mechanism, iv + b"x"), key, plain)
    target = secret(p11, session, plain[:20], c.CKK_GENERIC_SECRET)
    for mech in (padded, mechanism(getattr(c, f"CKM_{name}_CBC"), iv)):
        wrapped = p11.wrap(session, mech, key, target)
        made = {} if mech is padded else {c.CKA_VALUE_LEN: 20}
        back = p11.unwrap(session, mech, key, wrapped, template(c.CKK_GENERIC_SECRET) | made)
        assert p11.get(session, back, c.CKA_VALUE) == plain[:20]
    if name != "BLOWFISH":
        mac = mechanism(getattr(c, f"CKM_{name}_MAC"))
        signature = p11.sign(session, mac, key, plain)
        assert len(signature) == block // 2
        p11.verify(session, mac, key, signature, plain[:30], plain[30:])


def test_old_derivation(p11: Client, with_old: int) -> None:
    data, iv = os.urandom(32), os.urandom(16)
    for name, key_type in (("CAMELLIA", c.CKK_CAMELLIA), ("SEED", c.CKK_SEED)):
        base = secret(p11, with_old, bytes(range(16)), key_type, **USES)
        parameter = struct(
            f"CK_{name}_CBC_ENCRYPT_DATA_PARAMS", iv=list(iv), pData=octets(data), length=32
        )
        for mode, given, vector in (("ECB", string_data(data), None), ("CBC", parameter, iv)):
            mech = mechanism(getattr(c, f"CKM_{name}_{mode}_ENCRYPT_DATA"), given)
            made = p11.derive(with_old, mech, base, template(c.CKK_GENERIC_SECRET))
            cipher = mechanism(getattr(c, f"CKM_{name}_{mode}"), vector)
            sealed = p11.encrypt(with_old, cipher, base, data)
            assert p11.get(with_old, made, c.CKA_VALUE) == sealed
