"""What RSA decryption with PKCS #1 v1.5 padding tells whoever makes up ciphertexts.

A block that is not well padded decrypts to octets that look like any others ("implicit rejection").
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from abi.client import NULL, Client, ffi, mechanism, octets, refused
from abi.key_helpers import aes_template, named, rsa_pair
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from pypkcs11.standard import constants as c

PKCS = mechanism(c.CKM_RSA_PKCS)
OCTETS = 256


def fill(count: int) -> bytes:
    """So many octets of padding: none of them is 0."""
    return bytes(1 + octet % 255 for octet in os.urandom(count))


#: Blocks, each wrong in one way that an attacker would like to tell from the others.
WRONG: dict[str, Callable[[], bytes]] = {
    "another first octet": lambda: b"\1\2" + fill(221) + b"\0" + os.urandom(32),
    "another block type": lambda: b"\0\1" + fill(221) + b"\0" + os.urandom(32),
    "seven octets of padding": lambda: b"\0\2" + fill(7) + b"\0" + fill(246),
    "no padding": lambda: b"\0\2\0" + fill(253),
    "no end of the padding": lambda: b"\0\2" + fill(254),
    "nothing right": lambda: b"\x77" + os.urandom(255),
}


@pytest.fixture
def keys(p11: Client, session: int) -> tuple[int, rsa.RSAPublicNumbers]:
    usage = named({"DECRYPT": True, "UNWRAP": True})
    public, private = rsa_pair(p11, session, {}, usage)
    known = load_der_public_key(p11.get(session, public, c.CKA_PUBLIC_KEY_INFO))
    assert isinstance(known, rsa.RSAPublicKey)
    return private, known.public_numbers()


def sealed(numbers: rsa.RSAPublicNumbers, block: bytes) -> bytes:
    """What decrypts to a block."""
    number = int.from_bytes(block, "big")
    assert number < numbers.n
    return pow(number, numbers.e, numbers.n).to_bytes(OCTETS, "big")


def block(numbers: rsa.RSAPublicNumbers, name: str) -> bytes:
    """A wrong block that is below the modulus."""
    while True:
        made = WRONG[name]()
        if int.from_bytes(made, "big") < numbers.n:
            return made


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_block_decrypts(
    p11: Client, session: int, keys: tuple[int, rsa.RSAPublicNumbers], name: str
) -> None:
    """To the same octets each time, which are not the block's, of a length that says nothing."""
    private, numbers = keys
    lengths = set()
    for _ in range(20):
        made = block(numbers, name)
        text = sealed(numbers, made)
        found = p11.decrypt(session, PKCS, private, text)
        assert p11.decrypt(session, PKCS, private, text) == found
        assert len(found) < 8 or found not in made
        assert len(found) <= OCTETS - 11
        lengths.add(len(found))
    assert len(lengths) > 5


def test_asking_for_the_length_tells_nothing(
    p11: Client, session: int, keys: tuple[int, rsa.RSAPublicNumbers]
) -> None:
    private, numbers = keys
    right = b"\0\2" + fill(221) + b"\0" + bytes(32)
    for made in (right, *(block(numbers, name) for name in WRONG)):
        p11.do("C_DecryptInit", session, PKCS, private)
        text, length = sealed(numbers, made), ffi.new("CK_ULONG *")
        p11.do("C_Decrypt", session, octets(text), OCTETS, NULL, length)
        assert length[0] == OCTETS - 11
        p11.do("C_SessionCancel", session, c.CKF_DECRYPT)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_block_unwraps_as_if_it_were_a_key(
    p11: Client, session: int, keys: tuple[int, rsa.RSAPublicNumbers], name: str
) -> None:
    """A generic secret is made whatever the block; an AES key by its length alone, as if right."""
    private, numbers = keys
    generic = named(
        {"CLASS": c.CKO_SECRET_KEY, "KEY_TYPE": c.CKK_GENERIC_SECRET, "SENSITIVE": False}
    )
    for _ in range(20):
        text = sealed(numbers, block(numbers, name))
        found = p11.decrypt(session, PKCS, private, text)
        if found:
            key = p11.unwrap(session, PKCS, private, text, generic)
            assert p11.get(session, key, c.CKA_VALUE) == found
        if len(found) not in (16, 24, 32):
            with refused(c.CKR_WRAPPED_KEY_LEN_RANGE):
                p11.unwrap(session, PKCS, private, text, aes_template())
    # A good block whose secret has another length than an AES key gets the very same answer.
    good = sealed(numbers, b"\0\2" + fill(221) + b"\0" + bytes(31) + b"\1")
    p11.unwrap(session, PKCS, private, good, aes_template())
    short = sealed(numbers, b"\0\2" + fill(222) + b"\0" + bytes(30) + b"\1")
    with refused(c.CKR_WRAPPED_KEY_LEN_RANGE):
        p11.unwrap(session, PKCS, private, short, aes_template())


def test_what_is_refused_can_be_seen_from_outside(
    p11: Client, session: int, keys: tuple[int, rsa.RSAPublicNumbers]
) -> None:
    """Only a ciphertext of another length, or one not below the modulus."""
    private, numbers = keys
    with refused(c.CKR_ENCRYPTED_DATA_LEN_RANGE):
        p11.decrypt(session, PKCS, private, bytes(OCTETS - 1))
    with refused(c.CKR_ENCRYPTED_DATA_INVALID):
        p11.decrypt(session, PKCS, private, numbers.n.to_bytes(OCTETS, "big"))
