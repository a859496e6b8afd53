"""ML-DSA and ML-KEM keys, and ML-DSA signatures, through the C boundary (sections 6.67 and 6.68).

The known answers are in tests/vectors/test_post_quantum.py. Here, what the module makes is given to
the ``cryptography`` package, and what that makes to the module.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any

import pytest
from abi.client import (
    NULL,
    Client,
    Value,
    ffi,
    mechanism,
    number,
    octets,
    refused,
    struct,
)
from abi.conftest import Token, restart
from abi.key_helpers import generated, secret
from abi.samples import PAIRS
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.asymmetric import mldsa, mlkem
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_der_public_key,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pypkcs11.standard import constants as c

#: By parameter set: the class of private keys, octets of the public key and of a signature.
ML_DSA: dict[int, tuple[Any, int, int]] = {
    c.CKP_ML_DSA_44: (mldsa.MLDSA44PrivateKey, 1312, 2420),
    c.CKP_ML_DSA_65: (mldsa.MLDSA65PrivateKey, 1952, 3309),
    c.CKP_ML_DSA_87: (mldsa.MLDSA87PrivateKey, 2592, 4627),
}
READABLE: dict[int, Value] = {c.CKA_SENSITIVE: False, c.CKA_EXTRACTABLE: True}
KW = mechanism(c.CKM_AES_KEY_WRAP_KWP)
SEED = bytes(range(32))
BOTH = [c.CKK_ML_DSA, c.CKK_ML_KEM]


def context(data: bytes = b"", hedge: int = c.CKH_HEDGE_PREFERRED) -> Any:
    """CK_SIGN_ADDITIONAL_CONTEXT."""
    return struct(
        "CK_SIGN_ADDITIONAL_CONTEXT",
        hedgeVariant=hedge,
        pContext=data or NULL,
        ulContextLen=len(data),
    )


def hash_context(hash: int, data: bytes = b"", hedge: int = c.CKH_HEDGE_PREFERRED) -> Any:
    """CK_HASH_SIGN_ADDITIONAL_CONTEXT."""
    return struct(
        "CK_HASH_SIGN_ADDITIONAL_CONTEXT",
        hedgeVariant=hedge,
        pContext=data or NULL,
        ulContextLen=len(data),
        hash=hash,
    )


def pair(
    p11: Client, session: int, parameter_set: int = c.CKP_ML_DSA_44, **private: Value
) -> tuple[int, int]:
    public: dict[int, Value] = {c.CKA_PARAMETER_SET: parameter_set}
    kind = mechanism(c.CKM_ML_DSA_KEY_PAIR_GEN)
    named = {getattr(c, f"CKA_{name}"): value for name, value in private.items()}
    return p11.generate_pair(session, kind, public, named)


def created(p11: Client, session: int, parameter_set: int, seed: bytes, **more: Value) -> int:
    attributes: dict[int, Value] = {
        c.CKA_CLASS: c.CKO_PRIVATE_KEY,
        c.CKA_KEY_TYPE: c.CKK_ML_DSA,
        c.CKA_PARAMETER_SET: parameter_set,
        c.CKA_SEED: seed,
        c.CKA_EXTRACTABLE: True,
    }
    return p11.create(session, attributes | {getattr(c, f"CKA_{n}"): v for n, v in more.items()})


def public_of(p11: Client, session: int, key: int) -> Any:
    """A key of the cryptography package out of CKA_PUBLIC_KEY_INFO."""
    return load_der_public_key(p11.get(session, key, c.CKA_PUBLIC_KEY_INFO))


# -- keys --------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameter_set", ML_DSA)
def test_a_generated_pair(p11: Client, token: Token, session: int, parameter_set: int) -> None:
    kind, size, length = ML_DSA[parameter_set]
    on_token: dict[int, Value] = {c.CKA_TOKEN: True}
    made = p11.generate_pair(
        session,
        mechanism(c.CKM_ML_DSA_KEY_PAIR_GEN),
        on_token | {c.CKA_PARAMETER_SET: parameter_set},
        on_token | READABLE,
    )
    for key in made:
        assert number(p11.get(session, key, c.CKA_PARAMETER_SET)) == parameter_set
        assert p11.get(session, key, c.CKA_LOCAL) == b"\1"
        assert number(p11.get(session, key, c.CKA_KEY_GEN_MECHANISM)) == c.CKM_ML_DSA_KEY_PAIR_GEN
    session = restart(p11, token)
    (public,) = p11.find(session, {c.CKA_CLASS: c.CKO_PUBLIC_KEY})
    (private,) = p11.find(session, {c.CKA_CLASS: c.CKO_PRIVATE_KEY})
    expected = kind.from_seed_bytes(p11.get(session, private, c.CKA_SEED)).public_key()
    assert p11.get(session, public, c.CKA_VALUE) == expected.public_bytes_raw()
    assert len(expected.public_bytes_raw()) == size
    assert public_of(p11, session, public) == public_of(p11, session, private) == expected
    signature = p11.sign(session, mechanism(c.CKM_ML_DSA), private, b"message")
    assert len(signature) == length
    expected.verify(signature, b"message")


@pytest.mark.parametrize("key_type", BOTH)
def test_hidden_values(p11: Client, session: int, key_type: int) -> None:
    kind, public = PAIRS[key_type]
    _, private = p11.generate_pair(
        session, mechanism(kind), public, {c.CKA_EXTRACTABLE: True, c.CKA_SENSITIVE: True}
    )
    for attribute in (c.CKA_SEED, c.CKA_VALUE):
        with refused(c.CKR_ATTRIBUTE_SENSITIVE):
            p11.get(session, private, attribute)


@pytest.mark.parametrize("key_type", BOTH)
def test_a_key_is_created_from_its_seed(p11: Client, session: int, key_type: int) -> None:
    kind, public = PAIRS[key_type]
    _, private = p11.generate_pair(session, mechanism(kind), public, READABLE)
    seed, value = (p11.get(session, private, a) for a in (c.CKA_SEED, c.CKA_VALUE))
    given: dict[int, Value] = {
        c.CKA_CLASS: c.CKO_PRIVATE_KEY,
        c.CKA_KEY_TYPE: key_type,
        **public,
        **READABLE,
    }
    for more in ({c.CKA_SEED: seed}, {c.CKA_SEED: seed, c.CKA_VALUE: value}):
        key = p11.create(session, {**given, **more})
        assert p11.get(session, key, c.CKA_VALUE) == value
        assert p11.get(session, key, c.CKA_LOCAL) == b"\0"
        assert public_of(p11, session, key) == public_of(p11, session, private)
    other = value[:-1] + bytes([value[-1] ^ 1])
    for rv, wrong in (
        (c.CKR_TEMPLATE_INCOMPLETE, {}),
        (c.CKR_TEMPLATE_INCOMPLETE, {c.CKA_VALUE: value}),  # the library beneath wants seeds
        (c.CKR_ATTRIBUTE_VALUE_INVALID, {c.CKA_SEED: seed[:-1]}),
        (c.CKR_TEMPLATE_INCONSISTENT, {c.CKA_SEED: seed, c.CKA_VALUE: other}),
        (c.CKR_PARAMETER_SET_NOT_SUPPORTED, {c.CKA_SEED: seed, c.CKA_PARAMETER_SET: 99}),
    ):
        with refused(rv):
            p11.create(session, {**given, **wrong})


@pytest.mark.parametrize("key_type", BOTH)
def test_public_keys_that_are_none(p11: Client, session: int, key_type: int) -> None:
    kind, parameters = PAIRS[key_type]
    public, _ = p11.generate_pair(session, mechanism(kind), parameters, {})
    value = p11.get(session, public, c.CKA_VALUE)
    given: dict[int, Value] = {
        c.CKA_CLASS: c.CKO_PUBLIC_KEY,
        c.CKA_KEY_TYPE: key_type,
        **parameters,
    }
    assert p11.create(session, given | {c.CKA_VALUE: value})
    with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
        p11.create(session, given | {c.CKA_VALUE: value[:-1]})
    with refused(c.CKR_PARAMETER_SET_NOT_SUPPORTED):
        p11.create(session, given | {c.CKA_VALUE: value, c.CKA_PARAMETER_SET: 99})


@pytest.mark.parametrize(
    ("kind", "number"),
    [(c.CKM_ML_DSA_KEY_PAIR_GEN, 0), (c.CKM_ML_DSA_KEY_PAIR_GEN, 4)]
    + [(c.CKM_ML_KEM_KEY_PAIR_GEN, n) for n in (0, c.CKP_ML_KEM_512, 4)],
)
def test_other_parameter_sets(p11: Client, session: int, kind: int, number: int) -> None:
    with refused(c.CKR_PARAMETER_SET_NOT_SUPPORTED):
        p11.generate_pair(session, mechanism(kind), {c.CKA_PARAMETER_SET: number}, {})
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        p11.generate_pair(session, mechanism(kind), {}, {})


# -- wrapping ----------------------------------------------------------------------------------


def der(tag: int, content: bytes) -> bytes:
    length = len(content)
    head = bytes([length]) if length < 128 else b"\x82" + length.to_bytes(2, "big")
    return bytes([tag]) + head + content


def info(oid: str, key: bytes) -> bytes:
    """A PrivateKeyInfo."""
    algorithm = der(0x30, bytes.fromhex(oid))
    return der(0x30, b"\2\1\0" + algorithm + der(4, key))


OIDS = {c.CKK_ML_DSA: "0609608648016503040311", c.CKK_ML_KEM: "0609608648016503040402"}
KEM_512 = "0609608648016503040401"


@pytest.mark.parametrize("key_type", BOTH)
def test_private_keys_are_wrapped_and_unwrapped(p11: Client, session: int, key_type: int) -> None:
    by = secret(p11, session, SEED)
    kind, public = PAIRS[key_type]
    _, private = p11.generate_pair(session, mechanism(kind), public, READABLE)
    seed, value = (p11.get(session, private, a) for a in (c.CKA_SEED, c.CKA_VALUE))
    wrapped = p11.wrap(session, KW, by, private)
    clear = keywrap.aes_key_unwrap_with_padding(SEED, wrapped)
    assert load_der_private_key(clear, None).private_bytes_raw() == seed  # type: ignore[union-attr]
    given: dict[int, Value] = {c.CKA_CLASS: c.CKO_PRIVATE_KEY, c.CKA_KEY_TYPE: key_type, **READABLE}
    alone, both = der(0x80, seed), der(0x30, der(4, seed) + der(4, value))
    for form in (alone, both):
        wrapped = keywrap.aes_key_wrap_with_padding(SEED, info(OIDS[key_type], form))
        key = p11.unwrap(session, KW, by, wrapped, given)
        assert p11.get(session, key, c.CKA_VALUE) == value
        assert p11.get(session, key, c.CKA_PARAMETER_SET) == p11.get(
            session, private, c.CKA_PARAMETER_SET
        )
    other = seed[:-1] + bytes([seed[-1] ^ 1])
    for rv, plain in (
        (c.CKR_WRAPPED_KEY_INVALID, info(OIDS[key_type], der(4, value))),
        (c.CKR_WRAPPED_KEY_INVALID, info(OIDS[key_type], der(0x30, der(4, other) + der(4, value)))),
        (c.CKR_WRAPPED_KEY_INVALID, info(OIDS[key_type], der(0x80, seed[1:]))),
        (c.CKR_WRAPPED_KEY_INVALID, info(OIDS[key_type], der(0x80, b""))),
        (c.CKR_WRAPPED_KEY_INVALID, info("06032b6570", der(4, seed))),
    ):
        with refused(rv):
            p11.unwrap(session, KW, by, keywrap.aes_key_wrap_with_padding(SEED, plain), given)


def test_ml_kem_512_is_not_unwrapped(p11: Client, session: int) -> None:
    by = secret(p11, session, SEED)
    wrapped = keywrap.aes_key_wrap_with_padding(SEED, info(KEM_512, der(0x80, bytes(64))))
    given: dict[int, Value] = {c.CKA_CLASS: c.CKO_PRIVATE_KEY, c.CKA_KEY_TYPE: c.CKK_ML_KEM}
    with refused(c.CKR_PARAMETER_SET_NOT_SUPPORTED):
        p11.unwrap(session, KW, by, wrapped, given)


def test_keys_of_the_cryptography_package(p11: Client, session: int) -> None:
    """What that writes as a private key comes in."""
    by = secret(p11, session, SEED)
    for key_type, key in (
        (c.CKK_ML_DSA, mldsa.MLDSA87PrivateKey.generate()),
        (c.CKK_ML_KEM, mlkem.MLKEM1024PrivateKey.generate()),
    ):
        plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        given: dict[int, Value] = {c.CKA_CLASS: c.CKO_PRIVATE_KEY, c.CKA_KEY_TYPE: key_type}
        made = p11.unwrap(session, KW, by, keywrap.aes_key_wrap_with_padding(SEED, plain), given)
        assert public_of(p11, session, made) == key.public_key()


# -- signatures --------------------------------------------------------------------------------


@pytest.mark.parametrize("parameter_set", ML_DSA)
@pytest.mark.parametrize("ctx", [None, b"", b"c", bytes(255)])
def test_contexts(p11: Client, session: int, parameter_set: int, ctx: bytes | None) -> None:
    key = created(p11, session, parameter_set, SEED)
    private = ML_DSA[parameter_set][0].from_seed_bytes(SEED)
    checker = p11.create(session, public_template(parameter_set, private.public_key()))
    mech = mechanism(c.CKM_ML_DSA, None if ctx is None else context(ctx))
    for parts in ((b"message",), (b"mess", b"age"), (b"", b"message", b"")):
        signature = p11.sign(session, mech, key, *parts)
        private.public_key().verify(signature, b"message", ctx)
        p11.verify(session, mech, checker, signature, *parts)
        p11.verify(session, mech, checker, private.sign(b"message", ctx), *parts)
        with pytest.raises(InvalidSignature):
            private.public_key().verify(signature, b"message", b"another")
    with refused(c.CKR_SIGNATURE_INVALID):
        p11.verify(session, mech, checker, signature, b"Message")
    with refused(c.CKR_SIGNATURE_INVALID):
        p11.verify(session, mechanism(c.CKM_ML_DSA, context(b"x")), checker, signature, b"message")
    for wrong in (signature[:-1], signature + b"\0", b""):
        for parts in ((b"message",), (b"mess", b"age")):
            with refused(c.CKR_SIGNATURE_LEN_RANGE):
                p11.verify(session, mech, checker, wrong, *parts)


def public_template(parameter_set: int, key: Any) -> dict[int, Value]:
    return {
        c.CKA_CLASS: c.CKO_PUBLIC_KEY,
        c.CKA_KEY_TYPE: c.CKK_ML_DSA,
        c.CKA_PARAMETER_SET: parameter_set,
        c.CKA_VALUE: key.public_bytes_raw(),
    }


def test_an_empty_message(p11: Client, session: int) -> None:
    public, private = pair(p11, session)
    for mech in map(mechanism, (c.CKM_ML_DSA, c.CKM_HASH_ML_DSA_SHA256)):
        for parts in ((b"",), (), (b"", b"")):
            signature = p11.sign(session, mech, private, *parts)
            for others in ((b"",), (), (b"", b"")):
                p11.verify(session, mech, public, signature, *others)


SIGNING = (c.CKM_ML_DSA, c.CKM_HASH_ML_DSA_SHA512, c.CKM_HASH_ML_DSA_SHAKE256)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(message=st.binary(max_size=600), cuts=st.lists(st.integers(0, 600), max_size=4))
def test_parts_are_the_message(p11: Client, session: int, message: bytes, cuts: list[int]) -> None:
    ends = sorted({0, len(message), *(cut for cut in cuts if cut < len(message))})
    parts = [message[start:end] for start, end in pairwise(ends)]
    public, private = pair(p11, session)
    for kind in SIGNING:
        mech = mechanism(kind, context(b"of the parts"))
        p11.verify(session, mech, public, p11.sign(session, mech, private, *parts), message)
        p11.verify(session, mech, public, p11.sign(session, mech, private, message), *parts)


@pytest.mark.parametrize("kind", [*SIGNING, c.CKM_HASH_ML_DSA])
def test_hedges(p11: Client, session: int, kind: int) -> None:
    """Signatures are hedged: none can be had that is not. Verification does not ask."""
    public, private = pair(p11, session)
    data = hashlib.sha256(b"message").digest()

    def made(hedge: int, ctx: bytes = b"") -> Any:
        if kind == c.CKM_HASH_ML_DSA:
            return mechanism(kind, hash_context(c.CKM_SHA256, ctx, hedge))
        return mechanism(kind, context(ctx, hedge))

    signatures = {
        p11.sign(session, made(hedge), private, data)
        for hedge in (c.CKH_HEDGE_PREFERRED, c.CKH_HEDGE_REQUIRED)
        for _ in range(2)
    }
    assert len(signatures) == 4
    for hedge in (c.CKH_DETERMINISTIC_REQUIRED, 3):
        for signature in signatures:
            p11.verify(session, made(hedge), public, signature, data)
        assert p11.C_SignInit(session, made(hedge), private) == c.CKR_MECHANISM_PARAM_INVALID
    long = made(c.CKH_HEDGE_PREFERRED, bytes(256))
    assert p11.C_SignInit(session, long, private) == c.CKR_MECHANISM_PARAM_INVALID
    assert p11.C_VerifyInit(session, long, public) == c.CKR_MECHANISM_PARAM_INVALID
    short = mechanism(kind, bytes(23))
    assert p11.C_SignInit(session, short, private) == c.CKR_MECHANISM_PARAM_INVALID


def test_digests_of_the_caller(p11: Client, session: int) -> None:
    public, private = pair(p11, session)
    for digest, name, hashing in (
        (c.CKM_SHA256, "sha256", c.CKM_HASH_ML_DSA_SHA256),
        (c.CKM_SHA3_512, "sha3_512", c.CKM_HASH_ML_DSA_SHA3_512),
        (c.CKM_SHA512_256, "sha512_256", None),
    ):
        mech = mechanism(c.CKM_HASH_ML_DSA, hash_context(digest, b"ctx"))
        ready = hashlib.new(name, b"message").digest()
        signature = p11.sign(session, mech, private, ready)
        p11.verify(session, mech, public, signature, ready)
        if hashing is not None:
            itself = mechanism(hashing, context(b"ctx"))
            p11.verify(session, itself, public, signature, b"message")
            p11.verify(
                session, mech, public, p11.sign(session, itself, private, b"mes", b"sage"), ready
            )
        with refused(c.CKR_SIGNATURE_INVALID):
            p11.verify(session, mechanism(c.CKM_ML_DSA, context(b"ctx")), public, signature, ready)
        for wrong in (ready[:-1], ready + b"\0", b""):
            with refused(c.CKR_DATA_LEN_RANGE):
                p11.sign(session, mech, private, wrong)
            with refused(c.CKR_DATA_LEN_RANGE):
                p11.verify(session, mech, public, signature, wrong)
        # One part only.
        with refused(c.CKR_OPERATION_NOT_INITIALIZED):
            p11.sign(session, mech, private, ready[:5], ready[5:])
    for wrong_hash in (c.CKM_SHA_1, c.CKM_MD5, c.CKM_SHA256_HMAC, 0):
        mech = mechanism(c.CKM_HASH_ML_DSA, hash_context(wrong_hash))
        assert p11.C_SignInit(session, mech, private) == c.CKR_MECHANISM_PARAM_INVALID
    none = mechanism(c.CKM_HASH_ML_DSA)
    assert p11.C_SignInit(session, none, private) == c.CKR_MECHANISM_PARAM_INVALID


@pytest.mark.parametrize("kind", SIGNING)
def test_saved_states(p11: Client, token: Token, session: int, kind: int) -> None:
    public, private = pair(p11, session)
    mech = mechanism(kind)
    signature = p11.sign(session, mech, private, b"first, second")
    p11.do("C_VerifyInit", session, mech, public)
    p11.do("C_VerifyUpdate", session, octets(b"first, "), 7)
    state = p11.output("C_GetOperationState", session)
    p11.do("C_VerifyUpdate", session, octets(b"something else"), 14)
    for _ in range(2):
        p11.do("C_SetOperationState", session, octets(state), len(state), 0, 0)
        p11.do("C_VerifyUpdate", session, octets(b"second"), 6)
        p11.do("C_VerifyFinal", session, octets(signature), len(signature))
    p11.do("C_SignInit", session, mech, private)
    p11.do("C_SignUpdate", session, octets(b"first, "), 7)
    state = p11.output("C_GetOperationState", session)
    for _ in range(2):
        p11.do("C_SetOperationState", session, octets(state), len(state), 0, 0)
        p11.do("C_SignUpdate", session, octets(b"second"), 6)
        made = p11.output("C_SignFinal", session)
        p11.verify(session, mech, public, made, b"first, second")


def test_keys_of_other_kinds(p11: Client, session: int) -> None:
    public, private = pair(p11, session, SIGN=False)
    mech = mechanism(c.CKM_ML_DSA)
    assert p11.C_SignInit(session, mech, private) == c.CKR_KEY_FUNCTION_NOT_PERMITTED
    assert p11.C_SignInit(session, mech, public) == c.CKR_KEY_TYPE_INCONSISTENT
    aes = generated(p11, session)
    assert p11.C_SignInit(session, mech, aes) == c.CKR_KEY_TYPE_INCONSISTENT
    assert p11.C_EncryptInit(session, mech, aes) == c.CKR_MECHANISM_INVALID


def test_what_the_mechanisms_say_of_themselves(p11: Client, token: Token) -> None:
    def told(kind: int) -> tuple[int, int, int]:
        found = ffi.new("CK_MECHANISM_INFO *")
        p11.do("C_GetMechanismInfo", token.slot, kind, found)
        return int(found.ulMinKeySize), int(found.ulMaxKeySize), int(found.flags)

    signs = c.CKF_SIGN | c.CKF_VERIFY
    signs |= c.CKF_MESSAGE_SIGN | c.CKF_MESSAGE_VERIFY | c.CKF_MULTI_MESSAGE
    assert told(c.CKM_ML_DSA_KEY_PAIR_GEN) == (1312, 2592, c.CKF_GENERATE_KEY_PAIR)
    assert told(c.CKM_ML_KEM_KEY_PAIR_GEN) == (1184, 1568, c.CKF_GENERATE_KEY_PAIR)
    assert told(c.CKM_ML_KEM) == (1184, 1568, c.CKF_ENCAPSULATE | c.CKF_DECAPSULATE)
    for kind in (c.CKM_HASH_ML_DSA, *SIGNING):
        assert told(kind) == (1312, 2592, signs)
