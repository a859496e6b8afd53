"""RSA keys of up to 16384 bits, made of primes that everybody knows (RFC 3526 and RFC 7919)."""

from __future__ import annotations

import time
from math import lcm

import pytest
from abi.client import Client, Value, mechanism, refused
from abi.groups import FFDHE_8192, MODP_8192
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pypkcs11.standard import constants as c

E = 65537


def big(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def private(p: int, q: int) -> dict[int, Value]:
    d = pow(E, -1, lcm(p - 1, q - 1))
    return {
        c.CKA_CLASS: c.CKO_PRIVATE_KEY,
        c.CKA_KEY_TYPE: c.CKK_RSA,
        c.CKA_MODULUS: big(p * q),
        c.CKA_PUBLIC_EXPONENT: big(E),
        c.CKA_PRIVATE_EXPONENT: big(d),
        c.CKA_PRIME_1: big(p),
        c.CKA_PRIME_2: big(q),
        c.CKA_EXPONENT_1: big(d % (p - 1)),
        c.CKA_EXPONENT_2: big(d % (q - 1)),
        c.CKA_COEFFICIENT: big(pow(q, -1, p)),
    }


def test_a_key_of_16384_bits(p11: Client, session: int) -> None:
    """Brought in, signed with and verified with, within seconds."""
    start = time.monotonic()
    key = p11.create(session, private(FFDHE_8192, MODP_8192))
    signature = p11.sign(session, mechanism(c.CKM_SHA512_RSA_PKCS), key, b"data")
    public = p11.create(
        session,
        {
            c.CKA_CLASS: c.CKO_PUBLIC_KEY,
            c.CKA_KEY_TYPE: c.CKK_RSA,
            c.CKA_MODULUS: big(FFDHE_8192 * MODP_8192),
            c.CKA_PUBLIC_EXPONENT: big(E),
        },
    )
    p11.verify(session, mechanism(c.CKM_SHA512_RSA_PKCS), public, signature, b"data")
    assert time.monotonic() - start < 20
    known = rsa.RSAPublicNumbers(E, FFDHE_8192 * MODP_8192).public_key()
    known.verify(signature, b"data", padding.PKCS1v15(), hashes.SHA512())


@pytest.mark.parametrize(
    "attribute",
    [
        c.CKA_PRIME_1,
        c.CKA_PRIVATE_EXPONENT,
        c.CKA_EXPONENT_1,
        c.CKA_EXPONENT_2,
        c.CKA_COEFFICIENT,
    ],
)
def test_numbers_that_do_not_fit(p11: Client, session: int, attribute: int) -> None:
    good = private(FFDHE_8192, MODP_8192)
    value = good[attribute]
    assert isinstance(value, bytes)
    with refused(c.CKR_TEMPLATE_INCONSISTENT):
        p11.create(session, good | {attribute: big(int.from_bytes(value, "big") ^ 2)})


def test_primes_that_are_none(p11: Client, session: int) -> None:
    composite = (FFDHE_8192 >> 4096 | 1) * (MODP_8192 >> 4096 | 1)
    with refused(c.CKR_TEMPLATE_INCONSISTENT):
        p11.create(session, private(composite, MODP_8192))


def test_no_larger_one(p11: Client, session: int) -> None:
    for modulus in (1 << 16384 | 1, (1 << 60000) - 1):
        with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
            p11.create(
                session,
                {
                    c.CKA_CLASS: c.CKO_PUBLIC_KEY,
                    c.CKA_KEY_TYPE: c.CKK_RSA,
                    c.CKA_MODULUS: big(modulus),
                    c.CKA_PUBLIC_EXPONENT: big(E),
                },
            )
