"""DSA, against the openssl command: signatures both ways, parts, lengths and keys."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest
from abi import groups
from abi.client import NULL, Client, Value, ffi, mechanism, octets, refused
from abi.key_helpers import secret
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.keywrap import (
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pypkcs11.standard import constants as c

DIGESTS = {
    c.CKM_DSA_SHA1: "sha1",
    c.CKM_DSA_SHA224: "sha224",
    c.CKM_DSA_SHA256: "sha256",
    c.CKM_DSA_SHA384: "sha384",
    c.CKM_DSA_SHA512: "sha512",
    c.CKM_DSA_SHA3_224: "sha3-224",
    c.CKM_DSA_SHA3_256: "sha3-256",
    c.CKM_DSA_SHA3_384: "sha3-384",
    c.CKM_DSA_SHA3_512: "sha3-512",
}
WIDTH = 32


def pair(p11: Client, session: int) -> tuple[int, int]:
    extractable: dict[int, Value] = {c.CKA_EXTRACTABLE: True, c.CKA_SENSITIVE: False}
    return p11.generate_pair(
        session, mechanism(c.CKM_DSA_KEY_PAIR_GEN), {**groups.DSA}, extractable
    )


def openssl(*arguments: str | Path, data: bytes = b"") -> bytes:
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def in_der(signature: bytes) -> bytes:
    r, s = signature[:WIDTH], signature[WIDTH:]
    return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))


def side_by_side(signature: bytes) -> bytes:
    return b"".join(number.to_bytes(WIDTH, "big") for number in decode_dss_signature(signature))


@pytest.mark.parametrize("kind", DIGESTS, ids=DIGESTS.get)
def test_signatures_both_ways(p11: Client, session: int, kind: int, tmp_path: Path) -> None:
    public, private = pair(p11, session)
    message = b"what is signed" * 50
    (tmp_path / "message").write_bytes(message)
    (tmp_path / "public").write_bytes(p11.get(session, public, c.CKA_PUBLIC_KEY_INFO))
    mech = mechanism(kind)
    for parts in ((message,), (message[:1], b"", message[1:])):
        signature = p11.sign(session, mech, private, *parts)
        assert len(signature) == 2 * WIDTH
        (tmp_path / "signature").write_bytes(in_der(signature))
        openssl(
            *("dgst", f"-{DIGESTS[kind]}", "-keyform", "DER", "-verify", tmp_path / "public"),
            *("-signature", tmp_path / "signature", tmp_path / "message"),
        )
        p11.verify(session, mech, public, signature, *parts)
    wrapping = bytes(range(32))
    wrapped = p11.wrap(
        session, mechanism(c.CKM_AES_KEY_WRAP_KWP), secret(p11, session, wrapping), private
    )
    (tmp_path / "private").write_bytes(aes_key_unwrap_with_padding(wrapping, wrapped))
    theirs = openssl(
        *("dgst", f"-{DIGESTS[kind]}", "-keyform", "DER", "-sign", tmp_path / "private"),
        tmp_path / "message",
    )
    p11.verify(session, mech, public, side_by_side(theirs), message)
    with refused(c.CKR_SIGNATURE_INVALID):
        p11.verify(session, mech, public, side_by_side(theirs), message + b".")


@given(cuts=st.lists(st.integers(0, 300), max_size=4))
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_however_the_message_is_cut(p11: Client, session: int, cuts: list[int]) -> None:
    public, private = pair(p11, session)
    message = bytes(range(256)) + b"and more"
    edges = [0, *sorted(min(cut, len(message)) for cut in cuts), len(message)]
    parts = [message[a:b] for a, b in itertools.pairwise(edges)]
    mech = mechanism(c.CKM_DSA_SHA256)
    p11.verify(session, mech, public, p11.sign(session, mech, private, *parts, b""), message)
    p11.verify(session, mech, public, p11.sign(session, mech, private, message), *parts, b"")


def test_what_is_a_digest_already(p11: Client, session: int, tmp_path: Path) -> None:
    public, private = pair(p11, session)
    (tmp_path / "public").write_bytes(p11.get(session, public, c.CKA_PUBLIC_KEY_INFO))
    mech = mechanism(c.CKM_DSA)
    for length in (20, 28, 32, 48, 64):
        digest = bytes(range(length))
        signature = p11.sign(session, mech, private, digest)
        p11.verify(session, mech, public, signature, digest)
        (tmp_path / "digest").write_bytes(digest)
        (tmp_path / "signature").write_bytes(in_der(signature))
        openssl(
            *("pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", tmp_path / "public"),
            *("-in", tmp_path / "digest", "-sigfile", tmp_path / "signature"),
        )
        if length > WIDTH:  # what the order has no bits for does not count (FIPS 186-4, 4.6)
            p11.verify(session, mech, public, signature, digest[:WIDTH] + bytes(length - WIDTH))
    for length in (0, 1, 19, 21, 33, 65, 1000):
        with refused(c.CKR_DATA_LEN_RANGE):
            p11.sign(session, mech, private, bytes(length))
        with refused(c.CKR_DATA_LEN_RANGE):
            p11.verify(session, mech, public, bytes(2 * WIDTH), bytes(length))
    p11.do("C_SignInit", session, mech, private)
    assert p11.C_SignUpdate(session, octets(b"part"), 4) == c.CKR_OPERATION_NOT_INITIALIZED


def test_signatures_of_wrong_lengths(p11: Client, session: int) -> None:
    public, private = pair(p11, session)
    for kind, data in ((c.CKM_DSA, bytes(32)), (c.CKM_DSA_SHA256, b"data")):
        mech = mechanism(kind)
        signature = p11.sign(session, mech, private, data)
        for wrong in (b"", signature[:-1], signature[:-2], signature + b"\0", signature * 2):
            with refused(c.CKR_SIGNATURE_LEN_RANGE):
                p11.verify(session, mech, public, wrong, data)
        for wrong in (bytes(64), signature[32:] + signature[:32], b"\xff" * 64):
            with refused(c.CKR_SIGNATURE_INVALID):
                p11.verify(session, mech, public, wrong, data)


def test_the_operation_outlives_a_short_buffer(p11: Client, session: int) -> None:
    public, private = pair(p11, session)
    mech = mechanism(c.CKM_DSA_SHA256)
    p11.do("C_SignInit", session, mech, private)
    length = ffi.new("CK_ULONG *", 10)
    assert p11.C_Sign(session, octets(b"abc"), 3, octets(bytes(10)), length) == (
        c.CKR_BUFFER_TOO_SMALL
    )
    assert length[0] == 64
    assert p11.C_Sign(session, octets(b"abc"), 3, NULL, length) == c.CKR_OK
    signature = octets(bytes(64))
    assert p11.C_Sign(session, octets(b"abc"), 3, signature, length) == c.CKR_OK
    p11.verify(session, mech, public, bytes(signature), b"abc")


def test_keys_of_openssl_come_in(p11: Client, session: int, tmp_path: Path) -> None:
    openssl(
        *("genpkey", "-genparam", "-algorithm", "DSA", "-pkeyopt", "dsa_paramgen_bits:1024"),
        *("-out", tmp_path / "parameters"),
    )
    openssl("genpkey", "-paramfile", tmp_path / "parameters", "-out", tmp_path / "key")
    plain = openssl("pkcs8", "-topk8", "-nocrypt", "-in", tmp_path / "key", "-outform", "DER")
    kek = bytes(range(32))
    template = {c.CKA_CLASS: c.CKO_PRIVATE_KEY, c.CKA_KEY_TYPE: c.CKK_DSA, c.CKA_SIGN: True}
    mech = mechanism(c.CKM_AES_KEY_WRAP_KWP)
    wrapped = aes_key_wrap_with_padding(kek, plain)
    key = p11.unwrap(session, mech, secret(p11, session, kek), wrapped, template)
    info = openssl("pkey", "-in", tmp_path / "key", "-pubout", "-outform", "DER")
    assert p11.get(session, key, c.CKA_PUBLIC_KEY_INFO) == info
    (tmp_path / "public").write_bytes(info)
    (tmp_path / "message").write_bytes(b"message")
    signature = p11.sign(session, mechanism(c.CKM_DSA_SHA1), key, b"message")
    half = len(signature) // 2
    assert half == 28  # openssl gives a prime of 1024 bits a subprime of 224
    r, s = signature[:half], signature[half:]
    (tmp_path / "signature").write_bytes(
        encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    )
    openssl(
        *("dgst", "-sha1", "-keyform", "DER", "-verify", tmp_path / "public"),
        *("-signature", tmp_path / "signature", tmp_path / "message"),
    )
    # Another type's key is none of DSA, nor is what is cut off.
    dsa, other = (bytes.fromhex(f"2a8648ce38040{number}") for number in (1, 2))
    for wrong in (plain[:-1], plain.replace(dsa, other)):
        with refused(c.CKR_WRAPPED_KEY_INVALID):
            p11.unwrap(
                session,
                mech,
                secret(p11, session, kek),
                aes_key_wrap_with_padding(kek, wrong),
                template,
            )


def test_private_values(p11: Client, session: int) -> None:
    order = int.from_bytes(groups.DSA_SUBPRIME, "big")
    template = {c.CKA_CLASS: c.CKO_PRIVATE_KEY, c.CKA_KEY_TYPE: c.CKK_DSA, **groups.DSA}
    for value in (0, order, order + 1, 2**300):
        with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
            p11.create(session, template | {c.CKA_VALUE: value.to_bytes(40, "big")})
    for value in (1, order - 1):
        p11.create(session, template | {c.CKA_VALUE: value.to_bytes(40, "big")})


def test_sizes_that_the_standard_does_not_have(p11: Client, session: int) -> None:
    template = {c.CKA_CLASS: c.CKO_DOMAIN_PARAMETERS, c.CKA_KEY_TYPE: c.CKK_DSA}
    given = template | {
        c.CKA_PRIME: groups.FFDHE2048,
        c.CKA_BASE: b"\4",
        c.CKA_SUBPRIME: groups.X942[c.CKA_SUBPRIME],
    }
    with refused(c.CKR_DOMAIN_PARAMS_INVALID):
        p11.create(session, given)
