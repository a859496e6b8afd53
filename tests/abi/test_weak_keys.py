"""Keys of fewer than 2048 bits: used always, generated only where the configuration says so."""

from __future__ import annotations

import pytest
from abi import groups
from abi.client import Client, Value, ffi, mechanism, number, refused
from abi.conftest import Token
from abi.helping import configure
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, padding, rsa

from pypkcs11.standard import constants as c

#: RFC 2409, section 6.2: the second group, of 1024 bits.
GROUP_2 = bytes.fromhex(
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a0879"
    "8e3404ddef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b"
    "0bff5cb6f406b7edee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff"
)
PARAMETERS = dsa.generate_parameters(1024).parameter_numbers()
DSA_1024: dict[int, Value] = {
    c.CKA_PRIME: PARAMETERS.p.to_bytes(128, "big"),
    c.CKA_SUBPRIME: PARAMETERS.q.to_bytes(20, "big"),
    c.CKA_BASE: PARAMETERS.g.to_bytes(128, "big"),
}
WEAK: dict[str, tuple[int, dict[int, Value], int]] = {
    "RSA 1024": (
        c.CKM_RSA_PKCS_KEY_PAIR_GEN,
        {c.CKA_MODULUS_BITS: 1024},
        c.CKR_ATTRIBUTE_VALUE_INVALID,
    ),
    "RSA 2047": (
        c.CKM_RSA_PKCS_KEY_PAIR_GEN,
        {c.CKA_MODULUS_BITS: 2047},
        c.CKR_ATTRIBUTE_VALUE_INVALID,
    ),
    "DSA": (c.CKM_DSA_KEY_PAIR_GEN, DSA_1024, c.CKR_DOMAIN_PARAMS_INVALID),
    "X9.42": (c.CKM_X9_42_DH_KEY_PAIR_GEN, DSA_1024, c.CKR_DOMAIN_PARAMS_INVALID),
    "DH": (
        c.CKM_DH_PKCS_KEY_PAIR_GEN,
        {c.CKA_PRIME: GROUP_2, c.CKA_BASE: b"\2"},
        c.CKR_DOMAIN_PARAMS_INVALID,
    ),
}


def sizes(p11: Client, slot: int, kind: int) -> tuple[int, int]:
    info = ffi.new("CK_MECHANISM_INFO *")
    p11.do("C_GetMechanismInfo", slot, kind, info)
    return info.ulMinKeySize, info.ulMaxKeySize


@pytest.mark.parametrize("weak", WEAK)
def test_generated_where_the_configuration_says_so(
    p11: Client, token: Token, session: int, weak: str
) -> None:
    kind, public, rv = WEAK[weak]
    with refused(rv):
        p11.generate_pair(session, mechanism(kind), public, {})
    smallest, largest = sizes(p11, token.slot, kind)
    assert smallest == 2048
    configure(p11, "[policy]\nweak_keys = true\n")
    session = p11.open(token.slot)
    p11.login(session, c.CKU_USER, token.user_pin)
    p11.generate_pair(session, mechanism(kind), public, {})
    assert sizes(p11, token.slot, kind) == (1024, largest)


def test_the_smallest_of_all(p11: Client, token: Token) -> None:
    configure(p11, "[policy]\nweak_keys = true\n")
    session = p11.open(token.slot)
    p11.login(session, c.CKU_USER, token.user_pin)
    mech = mechanism(c.CKM_RSA_PKCS_KEY_PAIR_GEN)
    for bits in (0, 1, 512, 1023):
        with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
            p11.generate_pair(session, mech, {c.CKA_MODULUS_BITS: bits}, {})


def test_imported_keys_sign_and_verify(p11: Client, session: int) -> None:
    key = rsa.generate_private_key(65537, 1024)
    numbers = key.private_numbers()
    public: dict[int, Value] = {
        c.CKA_KEY_TYPE: c.CKK_RSA,
        c.CKA_MODULUS: numbers.public_numbers.n.to_bytes(128, "big"),
        c.CKA_PUBLIC_EXPONENT: b"\1\0\1",
    }
    private = public | {
        c.CKA_CLASS: c.CKO_PRIVATE_KEY,
        c.CKA_PRIVATE_EXPONENT: numbers.d.to_bytes(128, "big"),
    }
    mech = mechanism(c.CKM_SHA256_RSA_PKCS)
    signature = p11.sign(session, mech, p11.create(session, private), b"data")
    key.public_key().verify(signature, b"data", padding.PKCS1v15(), hashes.SHA256())
    verifying = p11.create(session, public | {c.CKA_CLASS: c.CKO_PUBLIC_KEY})
    p11.verify(session, mech, verifying, signature, b"data")


@pytest.mark.parametrize("exponent", [3, 5, 17, 257, 35, 65539, 2**64 - 59])
def test_public_exponents(p11: Client, session: int, exponent: int) -> None:
    """Any that is odd, from 3 to 64 bits."""
    mech = mechanism(c.CKM_RSA_PKCS_KEY_PAIR_GEN)
    given = exponent.to_bytes((exponent.bit_length() + 7) // 8, "big")
    public, private = p11.generate_pair(
        session, mech, {c.CKA_MODULUS_BITS: 2048, c.CKA_PUBLIC_EXPONENT: given}, {}
    )
    assert p11.get(session, public, c.CKA_PUBLIC_EXPONENT) == given
    modulus = int.from_bytes(p11.get(session, public, c.CKA_MODULUS), "big")
    assert modulus.bit_length() == number(p11.get(session, public, c.CKA_MODULUS_BITS)) == 2048
    sign = mechanism(c.CKM_SHA256_RSA_PKCS)
    signature = p11.sign(session, sign, private, b"data")
    known = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    known.verify(signature, b"data", padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("exponent", [0, 1, 2, 4, 65536, 2**64 + 13])
def test_public_exponents_that_are_none(p11: Client, session: int, exponent: int) -> None:
    given = exponent.to_bytes(9, "big")
    with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
        p11.generate_pair(
            session,
            mechanism(c.CKM_RSA_PKCS_KEY_PAIR_GEN),
            {c.CKA_MODULUS_BITS: 2048, c.CKA_PUBLIC_EXPONENT: given},
            {},
        )


def test_pairs_that_are_strong(p11: Client, session: int) -> None:
    for kind, public in (
        (c.CKM_DSA_KEY_PAIR_GEN, groups.DSA),
        (c.CKM_DH_PKCS_KEY_PAIR_GEN, groups.DH),
        (c.CKM_X9_42_DH_KEY_PAIR_GEN, groups.X942),
    ):
        p11.generate_pair(session, mechanism(kind), public, {})


@pytest.mark.parametrize(
    "params", ["06082a8648ce3d030101", "06082a8648ce3d030107", "06052b81040023"]
)
def test_elliptic_curve_keys_by_extra_random_bits(p11: Client, session: int, params: str) -> None:
    points = set()
    for _ in range(3):
        public, private = p11.generate_pair(
            session,
            mechanism(c.CKM_EC_KEY_PAIR_GEN_W_EXTRA_BITS),
            {c.CKA_EC_PARAMS: bytes.fromhex(params)},
            {},
        )
        points.add(p11.get(session, public, c.CKA_EC_POINT))
        kind = c.CKM_EC_KEY_PAIR_GEN_W_EXTRA_BITS
        assert number(p11.get(session, private, c.CKA_KEY_GEN_MECHANISM)) == kind
        mech = mechanism(c.CKM_ECDSA_SHA256)
        p11.verify(session, mech, public, p11.sign(session, mech, private, b"data"), b"data")
    assert len(points) == 3
