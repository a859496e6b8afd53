"""Keys that are the digest of another, and public keys out of private ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from abi.client import CallError, Client, Value, encode, mechanism, number, refused
from abi.key_helpers import decapsulate, encapsulate, generated, named, rsa_pair, secret
from abi.samples import PAIRS
from cryptography.hazmat.primitives.serialization import load_der_public_key

from pypkcs11.standard import constants as c

VALUE = bytes(range(40))
READABLE = {"SENSITIVE": False, "EXTRACTABLE": True}
DIGESTS = {
    c.CKM_MD5_KEY_DERIVATION: "md5",
    c.CKM_SHA1_KEY_DERIVATION: "sha1",
    c.CKM_SHA224_KEY_DERIVATION: "sha224",
    c.CKM_SHA256_KEY_DERIVATION: "sha256",
    c.CKM_SHA384_KEY_DERIVATION: "sha384",
    c.CKM_SHA512_KEY_DERIVATION: "sha512",
    c.CKM_SHA512_224_KEY_DERIVATION: "sha512_224",
    c.CKM_SHA512_256_KEY_DERIVATION: "sha512_256",
    c.CKM_SHA3_224_KEY_DERIVATION: "sha3_224",
    c.CKM_SHA3_256_KEY_DERIVATION: "sha3_256",
    c.CKM_SHA3_384_KEY_DERIVATION: "sha3_384",
    c.CKM_SHA3_512_KEY_DERIVATION: "sha3_512",
    c.CKM_BLAKE2B_512_KEY_DERIVE: "blake2b",
}


def value_of(p11: Client, session: int, kind: int, base: int, **more: Value) -> bytes:
    key = p11.derive(session, mechanism(kind), base, named({**READABLE, **more}))
    return p11.get(session, key, c.CKA_VALUE)


# -- digests ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DIGESTS)
def test_keys_that_are_digests(p11: Client, session: int, kind: int) -> None:
    base = secret(p11, session, VALUE, c.CKK_GENERIC_SECRET)
    digest = hashlib.new(DIGESTS[kind], VALUE).digest()
    assert value_of(p11, session, kind, base) == digest
    assert value_of(p11, session, kind, base, VALUE_LEN=9) == digest[:9]
    aes = value_of(p11, session, kind, base, KEY_TYPE=c.CKK_AES, VALUE_LEN=16)
    assert aes == digest[:16]
    with refused(c.CKR_KEY_SIZE_RANGE):
        value_of(p11, session, kind, base, VALUE_LEN=len(digest) + 1)
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        value_of(p11, session, kind, base, KEY_TYPE=c.CKK_AES)
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        p11.derive(session, mechanism(kind, b"parameter"), base, {})


@pytest.mark.parametrize(
    ("kind", "function", "natural"),
    [
        (c.CKM_SHAKE_128_KEY_DERIVATION, hashlib.shake_128, 32),
        (c.CKM_SHAKE_256_KEY_DERIVATION, hashlib.shake_256, 64),
    ],
)
def test_keys_of_any_length(
    p11: Client,
    session: int,
    kind: int,
    function: Callable[[bytes], Any],
    natural: int,
) -> None:
    base = secret(p11, session, VALUE[:16])
    assert value_of(p11, session, kind, base) == function(VALUE[:16]).digest(natural)
    for length in (1, 200, 5000):
        expected = function(VALUE[:16]).digest(length)
        assert value_of(p11, session, kind, base, VALUE_LEN=length) == expected


def test_what_digests_inherit(p11: Client, session: int) -> None:
    """The template may say anything; what was always so stays so (section 6.31)."""
    mech = mechanism(c.CKM_SHA256_KEY_DERIVATION)
    hidden = generated(p11, session, DERIVE=True, SENSITIVE=True, EXTRACTABLE=False)
    secretive = named({"SENSITIVE": True, "EXTRACTABLE": False})
    for template, expected in ((secretive, (1, 0, 1, 1)), (named(READABLE), (0, 1, 0, 0))):
        key = p11.derive(session, mech, hidden, template)
        kinds = (c.CKA_SENSITIVE, c.CKA_EXTRACTABLE)
        always = (c.CKA_ALWAYS_SENSITIVE, c.CKA_NEVER_EXTRACTABLE)
        assert tuple(p11.get(session, key, a)[0] for a in kinds + always) == expected
    with refused(c.CKR_KEY_FUNCTION_NOT_PERMITTED):
        p11.derive(session, mech, generated(p11, session), {})


# -- public keys ------------------------------------------------------------------------------

PUBLISH = mechanism(c.CKM_PUB_KEY_FROM_PRIV_KEY)


def values(p11: Client, session: int, key: int, *kinds: int) -> list[bytes]:
    found = []
    for kind in kinds:
        try:
            found.append(p11.get(session, key, kind))
        except CallError as error:
            assert error.rv == c.CKR_ATTRIBUTE_TYPE_INVALID
    return found


@pytest.mark.filterwarnings("ignore:Diffie-Hellman")
@pytest.mark.parametrize("key_type", PAIRS)
def test_public_keys(p11: Client, session: int, key_type: int) -> None:
    kind, template = PAIRS[key_type]
    private_template = named({"ID": b"id", "SUBJECT": b"0\0", "LABEL": "private", "DERIVE": False})
    public, private = p11.generate_pair(session, mechanism(kind), template, private_template)
    made = p11.derive(session, PUBLISH, private, {})
    own = (
        c.CKA_PUBLIC_KEY_INFO,
        c.CKA_MODULUS,
        c.CKA_MODULUS_BITS,
        c.CKA_PUBLIC_EXPONENT,
        c.CKA_EC_PARAMS,
        c.CKA_EC_POINT,
        c.CKA_PARAMETER_SET,
        c.CKA_PRIME,
        c.CKA_SUBPRIME,
        c.CKA_BASE,
        c.CKA_VALUE,
        c.CKA_KEY_TYPE,
        c.CKA_CLASS,
        c.CKA_KEY_GEN_MECHANISM,
    )
    assert values(p11, session, made, *own) == values(p11, session, public, *own)
    load_der_public_key(p11.get(session, made, c.CKA_PUBLIC_KEY_INFO))
    for public_usage, private_usage in (
        ("ENCRYPT", "DECRYPT"),
        ("VERIFY", "SIGN"),
        ("WRAP", "UNWRAP"),
        ("DERIVE", "DERIVE"),
        ("ID", "ID"),
        ("SUBJECT", "SUBJECT"),
    ):
        found = p11.get(session, made, getattr(c, f"CKA_{public_usage}"))
        assert found == p11.get(session, private, getattr(c, f"CKA_{private_usage}"))
    for name, value in (
        ("TOKEN", False),
        ("PRIVATE", False),
        ("MODIFIABLE", True),
        ("LOCAL", False),
        ("COPYABLE", True),
        ("DESTROYABLE", True),
        ("TRUSTED", False),
        ("LABEL", ""),
    ):
        assert p11.get(session, made, getattr(c, f"CKA_{name}")) == encode(value)


def test_a_public_key_verifies(p11: Client, session: int) -> None:
    _, private = rsa_pair(p11, session, {}, {c.CKA_TOKEN: True, c.CKA_ALWAYS_AUTHENTICATE: False})
    public = p11.derive(session, PUBLISH, private, {c.CKA_TOKEN: True, c.CKA_LABEL: "made"})
    mech = mechanism(c.CKM_SHA256_RSA_PKCS)
    signature = p11.sign(session, mech, private, b"text")
    p11.verify(session, mech, public, signature, b"text")
    assert p11.find(session, {c.CKA_LABEL: "made"}) == [public]


@pytest.mark.parametrize(
    ("key_type", "kind", "more"),
    [
        (c.CKK_DSA, c.CKM_DSA_SHA256, {}),
        (c.CKK_ML_DSA, c.CKM_ML_DSA, {c.CKA_PARAMETER_SET: c.CKP_ML_DSA_44}),
        (c.CKK_ML_DSA, c.CKM_ML_DSA, {c.CKA_PARAMETER_SET: c.CKP_ML_DSA_87}),
    ],
)
def test_other_public_keys_verify(
    p11: Client, session: int, key_type: int, kind: int, more: dict[int, Value]
) -> None:
    """Of a private key that has come in alone, too."""
    made, template = PAIRS[key_type]
    readable = named(READABLE)
    _, private = p11.generate_pair(session, mechanism(made), template | more, readable)
    domain = (c.CKA_PRIME, c.CKA_SUBPRIME, c.CKA_BASE, c.CKA_VALUE)
    parts = domain if key_type == c.CKK_DSA else (c.CKA_SEED,)
    given = {part: p11.get(session, private, part) for part in parts}
    alone = p11.create(
        session,
        {c.CKA_CLASS: c.CKO_PRIVATE_KEY, c.CKA_KEY_TYPE: key_type, c.CKA_SIGN: True} | given | more,
    )
    public = p11.derive(session, PUBLISH, alone, {})
    signature = p11.sign(session, mechanism(kind), private, b"text")
    p11.verify(session, mechanism(kind), public, signature, b"text")
    with refused(c.CKR_SIGNATURE_INVALID):
        p11.verify(session, mechanism(kind), public, signature, b"Text")


@pytest.mark.parametrize("parameter_set", [c.CKP_ML_KEM_768, c.CKP_ML_KEM_1024])
def test_a_public_key_encapsulates(p11: Client, session: int, parameter_set: int) -> None:
    template = {c.CKA_PARAMETER_SET: parameter_set}
    _, private = p11.generate_pair(session, mechanism(c.CKM_ML_KEM_KEY_PAIR_GEN), template, {})
    public = p11.derive(session, PUBLISH, private, {})
    kem, wanted = mechanism(c.CKM_ML_KEM), named(READABLE)
    ciphertext, key = encapsulate(p11, session, kem, public, wanted)
    same = decapsulate(p11, session, kem, private, ciphertext, wanted)
    assert p11.get(session, same, c.CKA_VALUE) == p11.get(session, key, c.CKA_VALUE)


def test_every_private_key_has_a_public_one(p11: Client, session: int) -> None:
    """Whatever it may do, and however well it is guarded (section 6.43.9)."""
    kind, template = PAIRS[c.CKK_EC]
    guarded = named(
        {
            "PRIVATE": True,
            "ALWAYS_AUTHENTICATE": True,
            "SENSITIVE": True,
            "EXTRACTABLE": False,
            "SIGN": False,
            "DERIVE_TEMPLATE": ((c.CKA_KEY_TYPE, c.CKK_AES),),
        }
    )
    _, private = p11.generate_pair(session, mechanism(kind), template, guarded)
    public = p11.derive(session, PUBLISH, private, {})
    assert p11.get(session, public, c.CKA_VERIFY) == b"\0"
    only = named({"ALLOWED_MECHANISMS": (c.CKM_ECDSA,)})
    _, private = p11.generate_pair(session, mechanism(kind), template, only)
    with refused(c.CKR_MECHANISM_INVALID):
        p11.derive(session, PUBLISH, private, {})
    only = named({"ALLOWED_MECHANISMS": (c.CKM_ECDSA, c.CKM_PUB_KEY_FROM_PRIV_KEY)})
    _, private = p11.generate_pair(session, mechanism(kind), template, only)
    public = p11.derive(session, PUBLISH, private, {})
    found = p11.get(session, public, c.CKA_ALLOWED_MECHANISMS)
    assert found == encode((c.CKM_ECDSA, c.CKM_PUB_KEY_FROM_PRIV_KEY))


def test_public_keys_that_are_refused(p11: Client, session: int) -> None:
    kind, template = PAIRS[c.CKK_EC]
    public, private = p11.generate_pair(session, mechanism(kind), template, {})
    _, other = rsa_pair(p11, session, {}, {}, 2048)
    inconsistent = c.CKR_TEMPLATE_INCONSISTENT
    for base, asked, rv in (
        (public, {}, c.CKR_KEY_TYPE_INCONSISTENT),
        (generated(p11, session, DERIVE=True), {}, c.CKR_KEY_TYPE_INCONSISTENT),
        (99999, {}, c.CKR_KEY_HANDLE_INVALID),
        (private, {"CLASS": c.CKO_PRIVATE_KEY}, inconsistent),
        (private, {"KEY_TYPE": c.CKK_RSA}, inconsistent),
        (private, {"EC_PARAMS": bytes.fromhex("06052b81040022")}, inconsistent),
        (
            private,
            {"PUBLIC_KEY_INFO": p11.get(session, other, c.CKA_PUBLIC_KEY_INFO)},
            inconsistent,
        ),
        (private, {"VALUE_LEN": 4}, inconsistent),
        (private, {"TRUSTED": True}, c.CKR_ATTRIBUTE_READ_ONLY),
    ):
        with refused(rv):
            p11.derive(session, PUBLISH, base, named(asked))
    same = {"EC_PARAMS": template[c.CKA_EC_PARAMS], "KEY_TYPE": c.CKK_EC}
    made = p11.derive(session, PUBLISH, private, named(same))
    assert number(p11.get(session, made, c.CKA_CLASS)) == c.CKO_PUBLIC_KEY
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        p11.derive(session, mechanism(c.CKM_PUB_KEY_FROM_PRIV_KEY, b"x"), private, {})
