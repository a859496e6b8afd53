"""RSA keys, signatures and encryption, held against the openssl command."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)
from unit.mechanisms.keys import (
    decrypt,
    encrypt,
    fails,
    generate_pair,
    imported,
    rsa_pair,
    sign,
    verify,
)

from pypkcs11.mechanisms.parameters import RsaOaep, RsaPss
from pypkcs11.mechanisms.table import complete_key, load_key, mechanisms
from pypkcs11.standard import constants as c

MECHANISMS = mechanisms()

PUBLIC, PRIVATE = rsa_pair()
VERIFIER, SIGNER = load_key(PUBLIC), load_key(PRIVATE)
MESSAGE = b"a message to be signed"
K = 256

#: OpenSSL's name, the digest, its mask generation function, the two mechanisms that hash.
HASHES = [
    ("sha1", c.CKM_SHA_1, c.CKG_MGF1_SHA1, c.CKM_SHA1_RSA_PKCS, c.CKM_SHA1_RSA_PKCS_PSS),
    *(
        (
            name,
            getattr(c, f"CKM_{ours}"),
            getattr(c, f"CKG_MGF1_{ours}"),
            getattr(c, f"CKM_{ours}_RSA_PKCS"),
            getattr(c, f"CKM_{ours}_RSA_PKCS_PSS"),
        )
        for name, ours in (
            ("sha224", "SHA224"),
            ("sha256", "SHA256"),
            ("sha384", "SHA384"),
            ("sha512", "SHA512"),
            ("sha3-224", "SHA3_224"),
            ("sha3-256", "SHA3_256"),
            ("sha3-384", "SHA3_384"),
            ("sha3-512", "SHA3_512"),
        )
    ),
]
hashes = pytest.mark.parametrize(
    ("name", "digest", "mgf", "pkcs1", "pss"), HASHES, ids=[row[0] for row in HASHES]
)


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The key pair as files for the openssl command: public, private."""
    directory = tmp_path_factory.mktemp("rsa")
    public, private = directory / "public.pem", directory / "private.pem"
    public.write_bytes(VERIFIER.value.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    private.write_bytes(
        SIGNER.value.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return public, private


def openssl(directory: Path, *arguments: str, stdin: bytes = MESSAGE, **files: bytes) -> bytes:
    for name, content in files.items():
        (directory / name).write_bytes(content)
    command = ["openssl", *arguments]
    ran = subprocess.run(command, input=stdin, capture_output=True, check=True, cwd=directory)
    return ran.stdout


@hashes
def test_pkcs1_signatures(
    pems: tuple[Path, Path], name: str, digest: int, mgf: int, pkcs1: int, pss: int
) -> None:
    ours = sign(pkcs1, SIGNER, MESSAGE)
    assert ours == openssl(pems[0].parent, "dgst", f"-{name}", "-sign", "private.pem")
    verify(pkcs1, VERIFIER, MESSAGE, ours)
    row = MECHANISMS[pkcs1]
    assert row.sign
    assert row.verify
    signing, verifying = row.sign(SIGNER, None), row.verify(VERIFIER, None)
    for part in (MESSAGE[:3], b"", MESSAGE[3:]):
        signing.update(memoryview(part))
        verifying.update(part)
    assert signing.finish() == ours
    verifying.finish(ours)
    fails(c.CKR_SIGNATURE_INVALID, verify, pkcs1, VERIFIER, MESSAGE + b"!", ours)
    fails(c.CKR_SIGNATURE_LEN_RANGE, verify, pkcs1, VERIFIER, MESSAGE, ours[1:])
    verifying = row.verify(VERIFIER, None)
    verifying.update(MESSAGE + b"!")
    fails(c.CKR_SIGNATURE_INVALID, verifying.finish, ours)


@hashes
@pytest.mark.parametrize("salt", [0, 20, 32])
def test_pss_signatures(
    pems: tuple[Path, Path], name: str, digest: int, mgf: int, pkcs1: int, pss: int, salt: int
) -> None:
    parameter = RsaPss(digest, mgf, salt)
    hashed = openssl(pems[0].parent, "dgst", f"-{name}", "-binary")
    row = MECHANISMS[pss]
    assert row.sign
    signing = row.sign(SIGNER, parameter)
    signing.update(MESSAGE)
    signatures = [
        sign(pss, SIGNER, MESSAGE, parameter),
        sign(c.CKM_RSA_PKCS_PSS, SIGNER, hashed, parameter),
        signing.finish(),
    ]
    options = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", f"rsa_pss_saltlen:{salt}")
    for signature in signatures:
        verify(pss, VERIFIER, MESSAGE, signature, parameter)
        verify(c.CKM_RSA_PKCS_PSS, VERIFIER, hashed, signature, parameter)
        arguments = ("dgst", f"-{name}", *options, "-verify", "public.pem", "-signature", "sig")
        assert b"OK" in openssl(pems[0].parent, *arguments, sig=signature)
        other = (pss, VERIFIER, MESSAGE, signature, RsaPss(digest, mgf, salt + 1))
        fails(c.CKR_SIGNATURE_INVALID, verify, *other)
    theirs = openssl(pems[0].parent, "dgst", f"-{name}", *options, "-sign", "private.pem")
    verify(pss, VERIFIER, MESSAGE, theirs, parameter)


def test_bare_pss_wants_a_digest() -> None:
    parameter = RsaPss(c.CKM_SHA256, c.CKG_MGF1_SHA256, 32)
    for length in (0, 31, 33):
        data = bytes(length)
        fails(c.CKR_DATA_LEN_RANGE, sign, c.CKM_RSA_PKCS_PSS, SIGNER, data, parameter)
        arguments = (c.CKM_RSA_PKCS_PSS, VERIFIER, data, bytes(K), parameter)
        fails(c.CKR_DATA_LEN_RANGE, verify, *arguments)


@pytest.mark.parametrize(
    "parameter",
    [
        RsaPss(c.CKM_SHA384, c.CKG_MGF1_SHA256, 32),
        RsaPss(c.CKM_SHA256, 99, 32),
        RsaPss(c.CKM_AES_CBC, c.CKG_MGF1_SHA256, 32),
        RsaPss(c.CKM_SHA256, c.CKG_MGF1_SHA256, K - 32 - 1),
        RsaPss(c.CKM_SHA256, c.CKG_MGF1_SHA256, 1 << 60),
    ],
)
def test_pss_parameters(parameter: RsaPss) -> None:
    arguments = (c.CKM_SHA256_RSA_PKCS_PSS, SIGNER, MESSAGE, parameter)
    fails(c.CKR_MECHANISM_PARAM_INVALID, sign, *arguments)


def test_longest_salt() -> None:
    parameter = RsaPss(c.CKM_SHA256, c.CKG_MGF1_SHA256, K - 32 - 2)
    signature = sign(c.CKM_SHA256_RSA_PKCS_PSS, SIGNER, MESSAGE, parameter)
    verify(c.CKM_SHA256_RSA_PKCS_PSS, VERIFIER, MESSAGE, signature, parameter)


@pytest.mark.parametrize("length", [0, 1, 51, K - 11])
def test_bare_signatures(length: int) -> None:
    """The block is that of RFC 8017, section 9.2, with the data as it is in the place of T."""
    data = b"data" * 64
    data = data[:length]
    ours = sign(c.CKM_RSA_PKCS, SIGNER, data)
    numbers = VERIFIER.value.public_numbers()
    block = pow(int.from_bytes(ours, "big"), numbers.e, numbers.n).to_bytes(K, "big")
    assert block == b"\0\1" + b"\xff" * (K - 3 - length) + b"\0" + data
    verify(c.CKM_RSA_PKCS, VERIFIER, data, ours)
    fails(c.CKR_SIGNATURE_INVALID, verify, c.CKM_RSA_PKCS, VERIFIER, data[:-1] + b"?", ours)
    fails(c.CKR_SIGNATURE_INVALID, verify, c.CKM_RSA_PKCS, VERIFIER, data, bytes(K))
    fails(c.CKR_SIGNATURE_INVALID, verify, c.CKM_RSA_PKCS, VERIFIER, data, b"\xff" * K)
    fails(c.CKR_SIGNATURE_LEN_RANGE, verify, c.CKM_RSA_PKCS, VERIFIER, data, ours + b"x")


def test_empty_data_is_not_any_data() -> None:
    signature = sign(c.CKM_RSA_PKCS, SIGNER, b"x")
    fails(c.CKR_SIGNATURE_INVALID, verify, c.CKM_RSA_PKCS, VERIFIER, b"", signature)


def test_too_long_data() -> None:
    data = bytes(K - 10)
    fails(c.CKR_DATA_LEN_RANGE, sign, c.CKM_RSA_PKCS, SIGNER, data)
    fails(c.CKR_DATA_LEN_RANGE, verify, c.CKM_RSA_PKCS, VERIFIER, data, bytes(K))
    fails(c.CKR_DATA_LEN_RANGE, encrypt, c.CKM_RSA_PKCS, VERIFIER, data)
    parameter = RsaOaep(c.CKM_SHA256, c.CKG_MGF1_SHA256, b"")
    too_long = bytes(K - 65)
    fails(c.CKR_DATA_LEN_RANGE, encrypt, c.CKM_RSA_PKCS_OAEP, VERIFIER, too_long, parameter)


@pytest.mark.parametrize("length", [0, 1, K - 11])
def test_pkcs1_encryption(pems: tuple[Path, Path], length: int) -> None:
    data = b"p" * length
    sealed = encrypt_once(c.CKM_RSA_PKCS, data)
    assert decrypt(c.CKM_RSA_PKCS, SIGNER, sealed) == data
    arguments = ("pkeyutl", "-decrypt", "-inkey", "private.pem")
    assert openssl(pems[0].parent, *arguments, stdin=sealed) == data


def encrypt_once(mechanism: int, data: bytes, parameter: Any = None) -> bytes:
    """Encryption is random here, so it is not compared with itself."""
    row = MECHANISMS[mechanism]
    assert row.encrypt
    operation = row.encrypt(VERIFIER, parameter)
    out = bytearray(operation.output_length(len(data)))
    assert operation.run_into(memoryview(data), memoryview(out)) == len(out)
    return bytes(out)


def test_bad_padding_is_not_told() -> None:
    """Implicit rejection: octets that are always the same, and no error."""
    sealed = (5).to_bytes(K, "big")
    assert decrypt(c.CKM_RSA_PKCS, SIGNER, sealed) == decrypt(c.CKM_RSA_PKCS, SIGNER, sealed)


def test_ciphertext_lengths() -> None:
    for length in (0, K - 1, K + 1):
        arguments = (c.CKM_RSA_PKCS, SIGNER, bytes(length))
        fails(c.CKR_ENCRYPTED_DATA_LEN_RANGE, decrypt, *arguments)
    fails(c.CKR_ENCRYPTED_DATA_INVALID, decrypt, c.CKM_RSA_PKCS, SIGNER, b"\xff" * K)


@pytest.mark.parametrize("label", [b"", b"label"])
@pytest.mark.parametrize("row", HASHES[:5], ids=[row[0] for row in HASHES[:5]])
def test_oaep(pems: tuple[Path, Path], row: tuple[str, int, int, int, int], label: bytes) -> None:
    name, digest, mgf, _, _ = row
    parameter = RsaOaep(digest, mgf, label)
    sealed = encrypt_once(c.CKM_RSA_PKCS_OAEP, b"secret", parameter)
    assert decrypt(c.CKM_RSA_PKCS_OAEP, SIGNER, sealed, parameter) == b"secret"
    options = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{name}", f"rsa_mgf1_md:{name}"]
    if label:
        options.append(f"rsa_oaep_label:{label.hex()}")
    arguments = [part for option in options for part in ("-pkeyopt", option)]
    command = ("pkeyutl", "-decrypt", "-inkey", "private.pem", *arguments)
    assert openssl(pems[0].parent, *command, stdin=sealed) == b"secret"
    other = RsaOaep(digest, mgf, label + b"x")
    fails(c.CKR_ENCRYPTED_DATA_INVALID, decrypt, c.CKM_RSA_PKCS_OAEP, SIGNER, sealed, other)


@pytest.mark.parametrize(
    "parameter",
    [
        RsaOaep(c.CKM_MD5, c.CKG_MGF1_SHA1, b""),
        RsaOaep(c.CKM_SHA256, 77, b""),
        RsaOaep(c.CKM_SHA3_256, c.CKG_MGF1_SHA3_256, b""),
    ],
)
def test_oaep_parameters(parameter: RsaOaep) -> None:
    arguments = (c.CKM_RSA_PKCS_OAEP, VERIFIER, b"", parameter)
    fails(c.CKR_MECHANISM_PARAM_INVALID, encrypt, *arguments)


def test_oaep_with_too_small_a_modulus() -> None:
    small = load_key(rsa_pair(1024)[0])
    parameter = RsaOaep(c.CKM_SHA512, c.CKG_MGF1_SHA512, b"")
    arguments = (c.CKM_RSA_PKCS_OAEP, small, b"", parameter)
    fails(c.CKR_MECHANISM_PARAM_INVALID, encrypt, *arguments)


@pytest.mark.parametrize("bits", [1024, 1025, 1031, 2048])
def test_generated_pairs(bits: int) -> None:
    public, private = rsa_pair(bits)
    assert public[c.CKA_MODULUS_BITS] == bits
    assert int.from_bytes(public[c.CKA_MODULUS], "big").bit_length() == bits
    assert public[c.CKA_PUBLIC_EXPONENT] == private[c.CKA_PUBLIC_EXPONENT] == b"\1\0\1"
    assert c.CKA_MODULUS_BITS not in private
    info = load_der_public_key(public[c.CKA_PUBLIC_KEY_INFO])
    assert isinstance(info, rsa.RSAPublicKey)
    assert info.public_numbers() == load_key(public).value.public_numbers()
    assert public[c.CKA_PUBLIC_KEY_INFO] == private[c.CKA_PUBLIC_KEY_INFO]
    signature = sign(c.CKM_SHA256_RSA_PKCS, load_key(private), MESSAGE)
    verify(c.CKM_SHA256_RSA_PKCS, load_key(public), MESSAGE, signature)
    verify(c.CKM_SHA256_RSA_PKCS, imported(public), MESSAGE, signature)
    assert sign(c.CKM_SHA256_RSA_PKCS, imported(private), MESSAGE) == signature


@pytest.mark.parametrize("exponent", ["03", "000011", "010001", "80000000000000ff"])
def test_public_exponents(exponent: str) -> None:
    public, private = generate_pair(
        c.CKM_RSA_PKCS_KEY_PAIR_GEN,
        c.CKK_RSA,
        CKA_MODULUS_BITS=1024,
        CKA_PUBLIC_EXPONENT=bytes.fromhex(exponent),
    )
    assert public[c.CKA_PUBLIC_EXPONENT] == bytes.fromhex(exponent).lstrip(b"\0")
    signature = sign(c.CKM_SHA256_RSA_PKCS, imported(private), MESSAGE)
    verify(c.CKM_SHA256_RSA_PKCS, imported(public), MESSAGE, signature)


@pytest.mark.parametrize(
    ("rv", "template"),
    [
        (c.CKR_TEMPLATE_INCOMPLETE, {}),
        (c.CKR_ATTRIBUTE_VALUE_INVALID, {c.CKA_MODULUS_BITS: 1023}),
        (c.CKR_ATTRIBUTE_VALUE_INVALID, {c.CKA_MODULUS_BITS: 16385}),
        *(
            (
                c.CKR_ATTRIBUTE_VALUE_INVALID,
                {c.CKA_MODULUS_BITS: 2048, c.CKA_PUBLIC_EXPONENT: exponent},
            )
            for exponent in (b"\0", b"\1", b"\2", b"\1\0\0", b"\1" + bytes(7) + b"\1")
        ),
    ],
)
def test_generation_templates(rv: int, template: dict[int, Any]) -> None:
    generate = MECHANISMS[c.CKM_RSA_PKCS_KEY_PAIR_GEN].generate_pair
    assert generate
    fails(rv, generate, None, template, {})


CRT = (
    c.CKA_PRIME_1,
    c.CKA_PRIME_2,
    c.CKA_EXPONENT_1,
    c.CKA_EXPONENT_2,
    c.CKA_COEFFICIENT,
)


@pytest.mark.parametrize(
    "missing",
    [CRT, CRT[2:], CRT[1:], (CRT[0],), (c.CKA_PUBLIC_EXPONENT,), (*CRT, c.CKA_PUBLIC_EXPONENT)],
)
def test_private_keys_of_fewer_numbers(missing: tuple[int, ...]) -> None:
    attributes = {k: v for k, v in PRIVATE.items() if k not in missing}
    del attributes[c.CKA_PUBLIC_KEY_INFO]
    completed = {**attributes, **complete_key(attributes)}
    for number in (*CRT, c.CKA_PUBLIC_EXPONENT):
        assert completed[number]
    assert completed[c.CKA_PUBLIC_KEY_INFO] == PUBLIC[c.CKA_PUBLIC_KEY_INFO]
    signature = sign(c.CKM_SHA256_RSA_PKCS, load_key(completed), MESSAGE)
    verify(c.CKM_SHA256_RSA_PKCS, VERIFIER, MESSAGE, signature)


def test_swapped_primes() -> None:
    """Keys whose first prime is the smaller one are as good."""
    numbers = SIGNER.value.private_numbers()
    small, large = sorted((numbers.p, numbers.q))
    attributes = {k: v for k, v in PRIVATE.items() if k not in CRT}
    for p, q in ((small, large), (large, small)):
        attributes[c.CKA_PRIME_1] = p.to_bytes(128, "big")
        attributes[c.CKA_PRIME_2] = q.to_bytes(128, "big")
        signature = sign(c.CKM_SHA256_RSA_PKCS, imported(attributes), MESSAGE)
        verify(c.CKM_SHA256_RSA_PKCS, VERIFIER, MESSAGE, signature)


def test_leading_zeros() -> None:
    padded = {k: b"\0\0" + v if k in (c.CKA_MODULUS, *CRT) else v for k, v in PRIVATE.items()}
    completed = complete_key(padded)
    for number in (c.CKA_MODULUS, *CRT):
        assert completed[number] == PRIVATE[number]


def changed(attribute: int) -> dict[int, Any]:
    value = PRIVATE[attribute]
    return {**PRIVATE, attribute: value[:-1] + bytes([value[-1] ^ 2])}


@pytest.mark.parametrize(
    "attribute",
    [*CRT, c.CKA_PRIVATE_EXPONENT, c.CKA_PUBLIC_EXPONENT, c.CKA_MODULUS, c.CKA_PUBLIC_KEY_INFO],
)
def test_numbers_that_do_not_fit(attribute: int) -> None:
    fails(c.CKR_TEMPLATE_INCONSISTENT, complete_key, changed(attribute))


def test_primes_that_are_none() -> None:
    attributes = {k: v for k, v in PRIVATE.items() if k not in CRT}
    attributes[c.CKA_PRIME_1] = b"\1"
    fails(c.CKR_TEMPLATE_INCONSISTENT, complete_key, attributes)
    attributes[c.CKA_PRIME_1] = PRIVATE[c.CKA_MODULUS]
    fails(c.CKR_TEMPLATE_INCONSISTENT, complete_key, attributes)


@pytest.mark.parametrize("missing", [c.CKA_MODULUS, c.CKA_PRIVATE_EXPONENT])
def test_missing_numbers(missing: int) -> None:
    attributes = {k: v for k, v in PRIVATE.items() if k != missing}
    fails(c.CKR_TEMPLATE_INCOMPLETE, complete_key, attributes)


@pytest.mark.parametrize(
    ("modulus", "exponent"),
    [
        (1 << 2047, 65537),
        ((1 << 511) + 1, 65537),
        ((1 << 16384) + 1, 65537),
        ((1 << 2047) + 1, 1),
        ((1 << 2047) + 1, 4),
        ((1 << 2047) + 1, (1 << 2047) + 3),
        ((1 << 4095) + 1, (1 << 64) + 1),
    ],
    ids=["even", "short", "long", "e=1", "e=4", "e>n", "long e"],
)
def test_public_numbers_that_are_wrong(modulus: int, exponent: int) -> None:
    attributes = {
        c.CKA_CLASS: c.CKO_PUBLIC_KEY,
        c.CKA_KEY_TYPE: c.CKK_RSA,
        c.CKA_MODULUS: modulus.to_bytes(2100, "big"),
        c.CKA_PUBLIC_EXPONENT: exponent.to_bytes(300, "big"),
    }
    fails(c.CKR_ATTRIBUTE_VALUE_INVALID, complete_key, attributes)


def test_hashlib_agrees_that_a_digest_info_is_all_there_is() -> None:
    """CKM_RSA_PKCS over a DigestInfo is what CKM_SHA256_RSA_PKCS does."""
    prefix = bytes.fromhex("3031300d060960864801650304020105000420")
    info = prefix + hashlib.sha256(MESSAGE).digest()
    assert sign(c.CKM_RSA_PKCS, SIGNER, info) == sign(c.CKM_SHA256_RSA_PKCS, SIGNER, MESSAGE)


@pytest.mark.parametrize("mechanism", [c.CKM_RSA_PKCS, c.CKM_RSA_PKCS_PSS])
def test_bare_mechanisms_take_parts_too(mechanism: int) -> None:
    parameter = RsaPss(c.CKM_SHA256, c.CKG_MGF1_SHA256, 32)
    row = MECHANISMS[mechanism]
    assert row.sign
    assert row.verify
    signing = row.sign(SIGNER, parameter)
    signing.update(b"d" * 20)
    signing.update(b"d" * 12)
    signature = signing.finish()
    row.verify(VERIFIER, parameter).verify(b"d" * 32, signature)
    verifying = row.verify(VERIFIER, parameter)
    verifying.update(b"d" * 32)
    verifying.finish(signature)
    fails(c.CKR_DATA_LEN_RANGE, row.sign(SIGNER, parameter).update, b"x" * 257)
