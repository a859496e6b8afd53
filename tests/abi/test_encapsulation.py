"""C_EncapsulateKey and C_DecapsulateKey (sections 5.18.8 and 5.18.9), of every mechanism with them.

What the module encapsulates is decapsulated by the ``cryptography`` package, and the other way.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from abi import groups
from abi.client import (
    NULL,
    Client,
    Value,
    ffi,
    mechanism,
    number,
    refused,
    struct,
    template,
)
from abi.conftest import Token, restart
from abi.helping import configure
from abi.key_helpers import decapsulate, encapsulate, generated, oaep
from abi.samples import PAIRS
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dh, ec, mlkem, padding, rsa, x448, x25519
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from pypkcs11.standard import constants as c

pytestmark = pytest.mark.filterwarnings("ignore:Diffie-Hellman")

AES: dict[int, Value] = {c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_KEY_TYPE: c.CKK_AES}
READABLE: dict[int, Value] = {c.CKA_SENSITIVE: False, c.CKA_EXTRACTABLE: True}
KEM = mechanism(c.CKM_ML_KEM)
OID_P256 = bytes.fromhex("06082a8648ce3d030107")
P521 = bytes.fromhex("06052b81040023")


def ecdh(kdf: int = c.CKD_NULL, shared: bytes = b"", public: bytes = b"") -> Any:
    """CK_ECDH1_DERIVE_PARAMS."""
    return struct(
        "CK_ECDH1_DERIVE_PARAMS",
        kdf=kdf,
        pSharedData=shared or NULL,
        ulSharedDataLen=len(shared),
        pPublicData=public or NULL,
        ulPublicDataLen=len(public),
    )


def value(p11: Client, session: int, key: int) -> bytes:
    return p11.get(session, key, c.CKA_VALUE)


def kem_pair(
    p11: Client,
    session: int,
    public: dict[int, Value] | None = None,
    private: dict[int, Value] | None = None,
    parameter_set: int = c.CKP_ML_KEM_768,
) -> tuple[int, int]:
    on_public = {c.CKA_PARAMETER_SET: parameter_set} | (public or {})
    kind = mechanism(c.CKM_ML_KEM_KEY_PAIR_GEN)
    return p11.generate_pair(session, kind, on_public, private or {})


def x942(kdf: int = c.CKD_NULL, other: bytes = b"", public: bytes = b"") -> Any:
    """CK_X9_42_DH1_DERIVE_PARAMS."""
    return struct(
        "CK_X9_42_DH1_DERIVE_PARAMS",
        kdf=kdf,
        pOtherInfo=other or NULL,
        ulOtherInfoLen=len(other),
        pPublicData=public or NULL,
        ulPublicDataLen=len(public),
    )


# -- every mechanism ---------------------------------------------------------------------------


class Scheme(NamedTuple):
    """A mechanism, the pair it works with, and the same by the cryptography package."""

    mechanism: Callable[[], Any]
    generate: int
    public: dict[int, Value]
    length: int
    encapsulate: Callable[[Any, int], tuple[bytes, bytes]]


def by_kem(public: mlkem.MLKEM768PublicKey, length: int) -> tuple[bytes, bytes]:
    return public.encapsulate()


def by_ecdh(public: Any, length: int) -> tuple[bytes, bytes]:
    own = ec.generate_private_key(public.curve)
    point = own.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return own.exchange(ec.ECDH(), public)[-length:], point


def by_ecdh_and_kdf(public: Any, length: int) -> tuple[bytes, bytes]:
    own = ec.generate_private_key(public.curve)
    point = own.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    kdf = X963KDF(hashes.SHA256(), length, b"shared")
    return kdf.derive(own.exchange(ec.ECDH(), public)), point


def by_x25519(public: x25519.X25519PublicKey, length: int) -> tuple[bytes, bytes]:
    own = x25519.X25519PrivateKey.generate()
    return own.exchange(public)[-length:], own.public_key().public_bytes_raw()


def by_x448(public: x448.X448PublicKey, length: int) -> tuple[bytes, bytes]:
    own = x448.X448PrivateKey.generate()
    return own.exchange(public)[-length:], own.public_key().public_bytes_raw()


def by_dh(public: dh.DHPublicKey, length: int) -> tuple[bytes, bytes]:
    own = public.parameters().generate_private_key()
    y = own.public_key().public_numbers().y
    return own.exchange(public)[-length:], y.to_bytes((y.bit_length() + 7) // 8, "big")


def by_x942_and_kdf(public: dh.DHPublicKey, length: int) -> tuple[bytes, bytes]:
    own = public.parameters().generate_private_key()
    kdf = X963KDF(hashes.SHA256(), length, b"shared")
    y = own.public_key().public_numbers().y
    return kdf.derive(own.exchange(public)), y.to_bytes(256, "big")


def by_pkcs1(public: rsa.RSAPublicKey, length: int) -> tuple[bytes, bytes]:
    secret = os.urandom(length)
    return secret, public.encrypt(secret, padding.PKCS1v15())


def by_oaep(public: rsa.RSAPublicKey, length: int) -> tuple[bytes, bytes]:
    secret = os.urandom(length)
    mask = padding.MGF1(hashes.SHA256())
    return secret, public.encrypt(secret, padding.OAEP(mask, hashes.SHA256(), None))


RSA = PAIRS[c.CKK_RSA]
SCHEMES = {
    "ML-KEM-768": Scheme(
        lambda: KEM,
        c.CKM_ML_KEM_KEY_PAIR_GEN,
        {c.CKA_PARAMETER_SET: c.CKP_ML_KEM_768},
        1088,
        by_kem,
    ),
    "ML-KEM-1024": Scheme(
        lambda: KEM,
        c.CKM_ML_KEM_KEY_PAIR_GEN,
        {c.CKA_PARAMETER_SET: c.CKP_ML_KEM_1024},
        1568,
        by_kem,
    ),
    "ECDH-P256": Scheme(
        lambda: mechanism(c.CKM_ECDH1_DERIVE, ecdh()),
        c.CKM_EC_KEY_PAIR_GEN,
        {c.CKA_EC_PARAMS: OID_P256},
        65,
        by_ecdh,
    ),
    "ECDH-P521": Scheme(
        lambda: mechanism(c.CKM_ECDH1_COFACTOR_DERIVE, ecdh()),
        c.CKM_EC_KEY_PAIR_GEN,
        {c.CKA_EC_PARAMS: P521},
        133,
        by_ecdh,
    ),
    "ECDH-P256-KDF": Scheme(
        lambda: mechanism(c.CKM_ECDH1_DERIVE, ecdh(c.CKD_SHA256_KDF, b"shared")),
        c.CKM_EC_KEY_PAIR_GEN,
        {c.CKA_EC_PARAMS: OID_P256},
        65,
        by_ecdh_and_kdf,
    ),
    "X25519": Scheme(
        lambda: mechanism(c.CKM_ECDH1_DERIVE, ecdh()),
        c.CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
        {c.CKA_EC_PARAMS: bytes.fromhex("06032b656e")},
        32,
        by_x25519,
    ),
    "X448": Scheme(
        lambda: mechanism(c.CKM_ECDH1_DERIVE, ecdh()),
        c.CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
        {c.CKA_EC_PARAMS: bytes.fromhex("06032b656f")},
        56,
        by_x448,
    ),
    "DH": Scheme(
        lambda: mechanism(c.CKM_DH_PKCS_DERIVE),
        *PAIRS[c.CKK_DH],
        256,
        by_dh,
    ),
    "X9.42": Scheme(
        lambda: mechanism(c.CKM_X9_42_DH_DERIVE, x942()),
        *PAIRS[c.CKK_X9_42_DH],
        256,
        by_dh,
    ),
    "X9.42-KDF": Scheme(
        lambda: mechanism(c.CKM_X9_42_DH_DERIVE, x942(c.CKD_SHA256_KDF, b"shared")),
        *PAIRS[c.CKK_X9_42_DH],
        256,
        by_x942_and_kdf,
    ),
    "RSA-PKCS": Scheme(lambda: mechanism(c.CKM_RSA_PKCS), *RSA, 256, by_pkcs1),
    "RSA-OAEP": Scheme(
        lambda: mechanism(c.CKM_RSA_PKCS_OAEP, oaep()),
        *RSA,
        256,
        by_oaep,
    ),
}


@pytest.fixture(params=SCHEMES, ids=str)
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return SCHEMES[request.param]


def pair(p11: Client, session: int, scheme: Scheme) -> tuple[int, int]:
    return p11.generate_pair(session, mechanism(scheme.generate), scheme.public, READABLE)


#: How pairs are made whose ciphertexts are Big integers.
INTEGERS = (c.CKM_DH_PKCS_KEY_PAIR_GEN, c.CKM_X9_42_DH_KEY_PAIR_GEN)

WANTED: dict[int, Value] = {**AES, **READABLE, c.CKA_VALUE_LEN: 32}


def test_both_sides_have_one_secret(p11: Client, session: int, scheme: Scheme) -> None:
    public, private = pair(p11, session, scheme)
    mech = scheme.mechanism()
    ciphertext, key = encapsulate(p11, session, mech, public, WANTED)
    assert len(ciphertext) == scheme.length
    same = decapsulate(p11, session, mech, private, ciphertext, WANTED)
    assert same != key
    assert value(p11, session, same) == value(p11, session, key)
    assert len(value(p11, session, key)) == 32
    again, other = encapsulate(p11, session, mech, public, WANTED)
    assert again != ciphertext
    assert value(p11, session, other) != value(p11, session, key)


def test_what_others_encapsulate(p11: Client, session: int, scheme: Scheme) -> None:
    public, private = pair(p11, session, scheme)
    info = p11.get(session, public, c.CKA_PUBLIC_KEY_INFO)
    secret, ciphertext = scheme.encapsulate(load_der_public_key(info), 32)
    key = decapsulate(p11, session, scheme.mechanism(), private, ciphertext, WANTED)
    assert value(p11, session, key) == secret


def test_the_new_keys(p11: Client, token: Token, session: int, scheme: Scheme) -> None:
    public, private = pair(p11, session, scheme)
    mech = scheme.mechanism()
    given = {**AES, c.CKA_VALUE_LEN: 32, c.CKA_SENSITIVE: True, c.CKA_ENCRYPT: True}
    named = given | {c.CKA_TOKEN: True, c.CKA_LABEL: b"made", c.CKA_EXTRACTABLE: False}
    ciphertext, made = encapsulate(p11, session, mech, public, given)
    keys = [made, decapsulate(p11, session, mech, private, ciphertext, given)]
    for key in keys:
        assert p11.get(session, key, c.CKA_EXTRACTABLE) == b"\1"
    encapsulate(p11, session, mech, public, named)
    decapsulate(p11, session, mech, private, ciphertext, named)
    stored = p11.find(session, {c.CKA_LABEL: b"made"})
    assert len(stored) == 2
    for key in (*keys, *stored):
        for attribute in (c.CKA_ALWAYS_SENSITIVE, c.CKA_NEVER_EXTRACTABLE, c.CKA_LOCAL):
            assert p11.get(session, key, attribute) == b"\0"
        assert number(p11.get(session, key, c.CKA_VALUE_LEN)) == 32
        assert (
            number(p11.get(session, key, c.CKA_KEY_GEN_MECHANISM)) == c.CK_UNAVAILABLE_INFORMATION
        )
        assert len(p11.get(session, key, c.CKA_UNIQUE_ID)) == 32
    assert len({p11.get(session, key, c.CKA_CHECK_VALUE) for key in keys}) == 1
    session = restart(p11, token)
    assert len(p11.find(session, {c.CKA_LABEL: b"made", c.CKA_EXTRACTABLE: False})) == 2


def test_buffers(p11: Client, session: int, scheme: Scheme) -> None:
    """A buffer that is too small: the length is told, and no key is made."""
    public, _ = pair(p11, session, scheme)
    length, handle = ffi.new("CK_ULONG *", 0), ffi.new("CK_OBJECT_HANDLE *", 7)
    buffer = ffi.new("CK_BYTE[]", b"\xa5" * 2000)
    before = p11.find(session, {})
    call = p11.C_EncapsulateKey
    array, count = template(WANTED)
    given = (session, scheme.mechanism(), public, array, count)
    assert call(*given, NULL, length, handle) == c.CKR_OK
    assert length[0] == scheme.length
    for room in (0, 1, scheme.length - 1):
        length[0] = room
        assert call(*given, buffer, length, handle) == c.CKR_BUFFER_TOO_SMALL
        assert length[0] == scheme.length
    assert (handle[0], bytes(ffi.buffer(buffer))) == (7, b"\xa5" * 2000 + b"\0")
    assert call(*given, buffer, length, NULL) == c.CKR_ARGUMENTS_BAD
    assert call(*given, buffer, NULL, handle) == c.CKR_ARGUMENTS_BAD
    assert p11.find(session, {}) == before
    length[0] = 2000
    assert call(*given, buffer, length, handle) == c.CKR_OK
    assert p11.find(session, {}) == [*before, handle[0]]


def test_ciphertexts_of_other_lengths(p11: Client, session: int, scheme: Scheme) -> None:
    public, private = pair(p11, session, scheme)
    mech = scheme.mechanism()
    ciphertext, _ = encapsulate(p11, session, mech, public, WANTED)
    before = p11.find(session, {})
    # A Big integer may lack leading zeros.
    shorter = ciphertext[:-1] if scheme.generate not in INTEGERS else b""
    for wrong in (shorter, ciphertext + b"\0", b""):
        with refused(c.CKR_WRAPPED_KEY_LEN_RANGE):
            decapsulate(p11, session, mech, private, wrong, WANTED)
    assert p11.find(session, {}) == before


def test_keys_that_may_not(p11: Client, session: int, scheme: Scheme) -> None:
    mech = scheme.mechanism()
    public, private = p11.generate_pair(
        session,
        mechanism(scheme.generate),
        scheme.public | {c.CKA_ENCAPSULATE: False},
        {c.CKA_DECAPSULATE: False},
    )
    some = bytes(scheme.length)
    with refused(c.CKR_KEY_FUNCTION_NOT_PERMITTED):
        encapsulate(p11, session, mech, public, WANTED)
    with refused(c.CKR_KEY_FUNCTION_NOT_PERMITTED):
        decapsulate(p11, session, mech, private, some, WANTED)
    aes = generated(p11, session)
    for wrong in (private, aes):
        with refused(c.CKR_KEY_TYPE_INCONSISTENT):
            encapsulate(p11, session, mech, wrong, WANTED)
    for wrong in (public, aes):
        with refused(c.CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT):
            decapsulate(p11, session, mech, wrong, some, WANTED)


def test_templates_of_the_keys(p11: Client, session: int, scheme: Scheme) -> None:
    """One is held against the new key, the other added to it."""
    roles = ((c.CKA_ENCRYPT, True), (c.CKA_SIGN, False))
    public, private = p11.generate_pair(
        session,
        mechanism(scheme.generate),
        scheme.public | {c.CKA_ENCAPSULATE_TEMPLATE: roles},
        {c.CKA_DECAPSULATE_TEMPLATE: roles},
    )
    mech = scheme.mechanism()
    before = p11.find(session, {})
    for wrong in ({}, {c.CKA_SIGN: True}, {c.CKA_SIGN: False, c.CKA_ENCRYPT: False}):
        with refused(c.CKR_KEY_HANDLE_INVALID):
            encapsulate(p11, session, mech, public, WANTED | wrong)
    assert p11.find(session, {}) == before
    right = WANTED | {c.CKA_SIGN: False, c.CKA_ENCRYPT: True}
    ciphertext, _ = encapsulate(p11, session, mech, public, right)
    with refused(c.CKR_TEMPLATE_INCONSISTENT):
        decapsulate(p11, session, mech, private, ciphertext, WANTED | {c.CKA_SIGN: True})
    key = decapsulate(p11, session, mech, private, ciphertext, WANTED)
    assert p11.get(session, key, c.CKA_SIGN) == b"\0"
    assert p11.get(session, key, c.CKA_ENCRYPT) == b"\1"


def test_templates_of_the_callers(p11: Client, token: Token, session: int, scheme: Scheme) -> None:
    public, private = pair(p11, session, scheme)
    mech = scheme.mechanism()
    ciphertext, _ = encapsulate(p11, session, mech, public, WANTED)
    readers = p11.open(token.slot, read_write=False)
    for rv, asked, where in (
        (c.CKR_TEMPLATE_INCONSISTENT, WANTED | {c.CKA_CLASS: c.CKO_PUBLIC_KEY}, session),
        (c.CKR_TEMPLATE_INCONSISTENT, WANTED | {c.CKA_MODULUS: b"x"}, session),
        (c.CKR_ATTRIBUTE_READ_ONLY, WANTED | {c.CKA_VALUE: bytes(32)}, session),
        (c.CKR_ATTRIBUTE_READ_ONLY, WANTED | {c.CKA_LOCAL: True}, session),
        (c.CKR_ATTRIBUTE_VALUE_INVALID, WANTED | {c.CKA_VALUE_LEN: 17}, session),
        (c.CKR_ATTRIBUTE_VALUE_INVALID, WANTED | {c.CKA_KEY_TYPE: 0x7FFF}, session),
        (c.CKR_SESSION_READ_ONLY, WANTED | {c.CKA_TOKEN: True}, readers),
    ):
        with refused(rv):
            encapsulate(p11, where, mech, public, asked)
        with refused(rv):
            decapsulate(p11, where, mech, private, ciphertext, asked)


def test_mechanisms_that_do_not(p11: Client, session: int) -> None:
    public, private = p11.generate_pair(session, mechanism(RSA[0]), RSA[1], {})
    for kind in (c.CKM_SHA256_RSA_PKCS, c.CKM_RSA_PKCS_KEY_PAIR_GEN, c.CKM_SHA256):
        with refused(c.CKR_MECHANISM_INVALID):
            encapsulate(p11, session, mechanism(kind), public, WANTED)
        with refused(c.CKR_MECHANISM_INVALID):
            decapsulate(p11, session, mechanism(kind), private, bytes(256), WANTED)


# -- one of them -------------------------------------------------------------------------------


def test_ml_kem_secrets_have_32_octets(p11: Client, session: int) -> None:
    public, private = kem_pair(p11, session)
    for asked in (AES, {}, {c.CKA_KEY_TYPE: c.CKK_GENERIC_SECRET}, AES | {c.CKA_VALUE_LEN: 32}):
        ciphertext, key = encapsulate(p11, session, KEM, public, READABLE | asked)
        same = decapsulate(p11, session, KEM, private, ciphertext, READABLE | asked)
        assert len(value(p11, session, key)) == 32
        assert value(p11, session, key) == value(p11, session, same)
    for length in (16, 24):
        asked = AES | {c.CKA_VALUE_LEN: length}
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            encapsulate(p11, session, KEM, public, asked)
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            decapsulate(p11, session, KEM, private, ciphertext, asked)


def test_a_ciphertext_that_was_never_made(p11: Client, session: int) -> None:
    """It decapsulates, to a secret that nobody has (FIPS 203, implicit rejection)."""
    public, private = kem_pair(p11, session)
    ciphertext, key = encapsulate(p11, session, KEM, public, READABLE)
    wrong = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    other = decapsulate(p11, session, KEM, private, wrong, READABLE)
    assert value(p11, session, other) != value(p11, session, key)


def test_lengths_that_only_the_caller_knows(p11: Client, session: int) -> None:
    for scheme in (SCHEMES["RSA-PKCS"], SCHEMES["RSA-OAEP"], SCHEMES["ECDH-P256-KDF"]):
        public, _ = pair(p11, session, scheme)
        with refused(c.CKR_TEMPLATE_INCOMPLETE):
            encapsulate(p11, session, scheme.mechanism(), public, AES)
    scheme = SCHEMES["ECDH-P521"]  # 66 octets are no AES key
    public, private = pair(p11, session, scheme)
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        encapsulate(p11, session, scheme.mechanism(), public, AES)
    ciphertext, key = encapsulate(p11, session, scheme.mechanism(), public, READABLE)
    assert len(value(p11, session, key)) == 66
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        decapsulate(p11, session, scheme.mechanism(), private, ciphertext, AES)


def test_rsa_has_no_room_for_all(p11: Client, session: int) -> None:
    public, private = pair(p11, session, SCHEMES["RSA-PKCS"])
    mech = mechanism(c.CKM_RSA_PKCS)
    longest = {**READABLE, c.CKA_VALUE_LEN: 245}
    ciphertext, _ = encapsulate(p11, session, mech, public, longest)
    with refused(c.CKR_KEY_SIZE_RANGE):
        encapsulate(p11, session, mech, public, READABLE | {c.CKA_VALUE_LEN: 246})
    key = decapsulate(p11, session, mech, private, ciphertext, READABLE)
    assert len(value(p11, session, key)) == 245
    with refused(c.CKR_WRAPPED_KEY_LEN_RANGE):
        decapsulate(p11, session, mech, private, ciphertext, READABLE | {c.CKA_VALUE_LEN: 32})
    padded = mechanism(c.CKM_RSA_PKCS_OAEP, oaep())
    with refused(c.CKR_WRAPPED_KEY_INVALID):
        decapsulate(p11, session, padded, private, bytes(256), WANTED)


def test_parameters_of_ecdh(p11: Client, session: int) -> None:
    public, private = pair(p11, session, SCHEMES["ECDH-P256"])
    ciphertext, _ = encapsulate(p11, session, SCHEMES["ECDH-P256"].mechanism(), public, WANTED)
    for wrong in (
        ecdh(public=ciphertext),
        ecdh(kdf=0x7F),
        ecdh(shared=b"data for no function"),
        None,
        bytes(8),
    ):
        mech = mechanism(c.CKM_ECDH1_DERIVE, wrong)
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            encapsulate(p11, session, mech, public, WANTED)
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            decapsulate(p11, session, mech, private, ciphertext, WANTED)
    good = mechanism(c.CKM_ECDH1_DERIVE, ecdh())
    for nowhere in (b"\4" + bytes(64), b"\5" + ciphertext[1:]):
        with refused(c.CKR_WRAPPED_KEY_INVALID):
            decapsulate(p11, session, good, private, nowhere, WANTED)
    _, private = pair(p11, session, SCHEMES["X25519"])
    with refused(c.CKR_WRAPPED_KEY_INVALID):
        decapsulate(p11, session, good, private, bytes(32), WANTED)  # of small order


@pytest.mark.parametrize("name", ["DH", "X9.42"])
def test_public_values_of_diffie_hellman(p11: Client, session: int, name: str) -> None:
    scheme = SCHEMES[name]
    public, private = pair(p11, session, scheme)
    prime = int.from_bytes(scheme.public[c.CKA_PRIME], "big")
    base = int.from_bytes(scheme.public[c.CKA_BASE], "big")
    mech = scheme.mechanism()
    for hostile in (0, 1, prime - 1, prime, prime + 1):
        if hostile.bit_length() <= 2048:
            for length in (256, max(1, (hostile.bit_length() + 7) // 8)):
                with refused(c.CKR_WRAPPED_KEY_INVALID):
                    some = hostile.to_bytes(length, "big")
                    decapsulate(p11, session, mech, private, some, WANTED)
    # One that is shorter than the prime, as a Big integer and filled up.
    theirs = pow(base, 200, prime)
    ours = int.from_bytes(p11.get(session, public, c.CKA_VALUE), "big")
    secret = pow(ours, 200, prime).to_bytes(256, "big")
    for length in ((theirs.bit_length() + 7) // 8, 256):
        key = decapsulate(p11, session, mech, private, theirs.to_bytes(length, "big"), WANTED)
        assert value(p11, session, key) == secret[-32:]


def test_another_subgroup(p11: Client, session: int) -> None:
    """What would tell something of the private key (NIST SP 800-56A, section 5.6.2.3.1)."""
    group = groups.DSA
    prime, order = (int.from_bytes(group[a], "big") for a in (c.CKA_PRIME, c.CKA_SUBPRIME))
    kind = mechanism(c.CKM_X9_42_DH_KEY_PAIR_GEN)
    _, private = p11.generate_pair(session, kind, group, READABLE)
    outside = next(y for y in range(2, 100) if pow(y, order, prime) != 1)
    for wrong in (outside, prime - 2):
        with refused(c.CKR_WRAPPED_KEY_INVALID):
            mech = mechanism(c.CKM_X9_42_DH_DERIVE, x942())
            decapsulate(p11, session, mech, private, wrong.to_bytes(256, "big"), WANTED)


def test_parameters_of_diffie_hellman(p11: Client, session: int) -> None:
    for name, kind, wrong in (
        ("DH", c.CKM_DH_PKCS_DERIVE, (b"\2", bytes(256))),
        (
            "X9.42",
            c.CKM_X9_42_DH_DERIVE,
            (x942(public=b"\2"), x942(0x7F), x942(other=b"data for no function"), None, b"\2"),
        ),
    ):
        public, private = pair(p11, session, SCHEMES[name])
        ciphertext, _ = encapsulate(p11, session, SCHEMES[name].mechanism(), public, WANTED)
        for parameter in wrong:
            mech = mechanism(kind, parameter)
            with refused(c.CKR_MECHANISM_PARAM_INVALID):
                encapsulate(p11, session, mech, public, WANTED)
            with refused(c.CKR_MECHANISM_PARAM_INVALID):
                decapsulate(p11, session, mech, private, ciphertext, WANTED)
    _, private = p11.generate_pair(
        session,
        mechanism(c.CKM_DH_PKCS_KEY_PAIR_GEN),
        PAIRS[c.CKK_DH][1],
        {c.CKA_DERIVE: True},
    )
    with refused(c.CKR_MECHANISM_PARAM_INVALID):  # derivation goes on needing one
        p11.derive(session, mechanism(c.CKM_DH_PKCS_DERIVE), private, WANTED)


def test_a_key_that_asks_for_the_pin(p11: Client, session: int) -> None:
    public, private = kem_pair(p11, session, private={c.CKA_ALWAYS_AUTHENTICATE: True})
    ciphertext, _ = encapsulate(p11, session, KEM, public, AES)
    with refused(c.CKR_USER_NOT_LOGGED_IN):
        decapsulate(p11, session, KEM, private, ciphertext, AES)


def test_without_a_login(p11: Client, token: Token, session: int) -> None:
    public, _ = kem_pair(p11, session, {c.CKA_TOKEN: True, c.CKA_PRIVATE: False})
    p11.do("C_Logout", session)
    with refused(c.CKR_USER_NOT_LOGGED_IN):
        encapsulate(p11, session, KEM, public, AES | {c.CKA_PRIVATE: True})
    ciphertext, key = encapsulate(p11, session, KEM, public, AES | {c.CKA_PRIVATE: False})
    assert ciphertext
    assert key


# -- policy.strict -----------------------------------------------------------------------------


@pytest.fixture
def strict(p11: Client, tmp_path: Path) -> Client:
    configure(p11, "[policy]\nstrict = true\n")
    return p11


ROLE = ((c.CKA_ENCRYPT, True), (c.CKA_DECRYPT, True))
CIPHER: dict[int, Value] = {**AES, c.CKA_ENCRYPT: True, c.CKA_DECRYPT: True}


def strict_pair(p11: Client, session: int) -> tuple[int, int]:
    return kem_pair(
        p11,
        session,
        {c.CKA_ENCAPSULATE: True},
        {c.CKA_DECAPSULATE: True, c.CKA_DECAPSULATE_TEMPLATE: ROLE},
    )


def test_by_the_standard_a_key_comes_in_twice(p11: Client, session: int) -> None:
    public, private = kem_pair(p11, session)
    secret = CIPHER | {c.CKA_SENSITIVE: True}
    ciphertext, _ = encapsulate(p11, session, KEM, public, secret)
    decapsulate(p11, session, KEM, private, ciphertext, secret)
    derives = AES | READABLE | {c.CKA_DERIVE: True}
    key = decapsulate(p11, session, KEM, private, ciphertext, derives)
    assert p11.get(session, key, c.CKA_DERIVE) == b"\1"
    assert len(value(p11, session, key)) == 32


def test_a_strict_token_keeps_what_is_decapsulated(
    strict: Client, token: Token, session: int
) -> None:
    public, private = strict_pair(strict, session)
    ciphertext, key = encapsulate(strict, session, KEM, public, CIPHER)
    same = decapsulate(strict, session, KEM, private, ciphertext, CIPHER)
    for made in (key, same):
        assert strict.get(session, made, c.CKA_SENSITIVE) == b"\1"
    with refused(c.CKR_TEMPLATE_INCONSISTENT):
        decapsulate(strict, session, KEM, private, ciphertext, CIPHER | {c.CKA_SENSITIVE: False})


def test_a_strict_token_gives_one_role(strict: Client, token: Token, session: int) -> None:
    """What is decapsulated twice has one role: the one of CKA_DECAPSULATE_TEMPLATE."""
    public, private = strict_pair(strict, session)
    ciphertext, _ = encapsulate(strict, session, KEM, public, CIPHER)
    for role in (c.CKA_DERIVE, c.CKA_SIGN):
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            decapsulate(strict, session, KEM, private, ciphertext, AES | {role: True})
    for role in (c.CKA_WRAP, c.CKA_UNWRAP):
        for call in (
            lambda asked: encapsulate(strict, session, KEM, public, asked),
            lambda asked: decapsulate(strict, session, KEM, private, ciphertext, asked),
        ):
            with refused(c.CKR_TEMPLATE_INCONSISTENT):
                call(AES | {role: True})


def test_a_strict_token_wants_keys_for_it_alone(strict: Client, token: Token, session: int) -> None:
    kind, public = PAIRS[c.CKK_EC]
    both: dict[int, Value] = {c.CKA_DECAPSULATE: True, c.CKA_DERIVE: True}
    with refused(c.CKR_TEMPLATE_INCONSISTENT):
        strict.generate_pair(session, mechanism(kind), public, both)
    with refused(c.CKR_TEMPLATE_INCONSISTENT):
        strict.generate_pair(
            session, mechanism(kind), public | {c.CKA_ENCAPSULATE: True}, {c.CKA_DERIVE: True}
        )


def test_keys_made_before_strictness(p11: Client, token: Token, session: int) -> None:
    public, private = kem_pair(p11, session, {c.CKA_TOKEN: True}, {c.CKA_TOKEN: True})
    ciphertext, _ = encapsulate(p11, session, KEM, public, AES)
    configure(p11, "[policy]\nstrict = true\n")
    session = restart(p11, token)
    (public,) = p11.find(session, {c.CKA_CLASS: c.CKO_PUBLIC_KEY})
    (private,) = p11.find(session, {c.CKA_CLASS: c.CKO_PRIVATE_KEY})
    with refused(c.CKR_KEY_FUNCTION_NOT_PERMITTED):
        encapsulate(p11, session, KEM, public, AES)
    with refused(c.CKR_KEY_FUNCTION_NOT_PERMITTED):
        decapsulate(p11, session, KEM, private, ciphertext, AES)
