"""C_WrapKeyAuthenticated and C_UnwrapKeyAuthenticated (sections 5.18.5 and 5.18.6).

The ``cryptography`` package opens what the module wraps, and the other way.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from abi.client import NULL, Client, Value, ffi, mechanism, octets, refused, struct, template
from abi.conftest import Token, restart
from abi.helping import configure
from abi.key_helpers import aes_template, generated, named, rsa_pair, secret
from abi.message_helpers import begin, gcm_message, nonce_of, tag_of, whole
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.serialization import load_der_private_key

from pypkcs11.standard import constants as c

KEK = bytes(range(32))
NONCE = bytes(range(12))
AAD = b"what the key is for"


@pytest.fixture
def kek(p11: Client, session: int) -> int:
    return secret(p11, session, KEK, WRAP=True, UNWRAP=True, ENCRYPT=True)


def wrap(p11: Client, session: int, parameter: Any, kek: int, key: int, aad: bytes = AAD) -> bytes:
    mech = mechanism(c.CKM_AES_GCM, parameter)
    arguments = (session, mech, kek, key, octets(aad), len(aad))
    return p11.output("C_WrapKeyAuthenticated", *arguments)


def unwrap(
    p11: Client,
    session: int,
    parameter: Any,
    kek: int,
    wrapped: bytes,
    attributes: dict[int, Value],
    aad: bytes = AAD,
) -> int:
    handle = ffi.new("CK_OBJECT_HANDLE *")
    mech = mechanism(c.CKM_AES_GCM, parameter)
    given = (octets(wrapped), len(wrapped), *template(attributes), octets(aad), len(aad))
    p11.do("C_UnwrapKeyAuthenticated", session, mech, kek, *given, handle)
    return int(handle[0])


def opened(parameter: Any, wrapped: bytes, aad: bytes = AAD) -> bytes:
    return AESGCM(KEK).decrypt(nonce_of(parameter), wrapped + tag_of(parameter), aad)


@pytest.mark.parametrize("length", [16, 32])
def test_secret_keys(p11: Client, session: int, kek: int, length: int) -> None:
    value = os.urandom(length)
    key = secret(p11, session, value)
    parameter = gcm_message(bytes(12), generator=c.CKG_GENERATE)
    wrapped = wrap(p11, session, parameter, kek, key)
    assert nonce_of(parameter) != bytes(12)
    assert len(wrapped) == length
    assert opened(parameter, wrapped) == value
    again = unwrap(p11, session, parameter, kek, wrapped, aes_template(SENSITIVE=False))
    assert p11.get(session, again, c.CKA_VALUE) == value
    assert p11.get(session, again, c.CKA_LOCAL) == b"\0"
    assert p11.get(session, again, c.CKA_EXTRACTABLE) == b"\1"

    sealed = AESGCM(KEK).encrypt(NONCE, value, AAD)
    theirs = gcm_message(NONCE, sealed[-16:], generator=99)  # which is not looked at
    again = unwrap(p11, session, theirs, kek, sealed[:-16], aes_template(SENSITIVE=False))
    assert p11.get(session, again, c.CKA_VALUE) == value


def test_private_keys(p11: Client, session: int, kek: int) -> None:
    _, private = rsa_pair(p11, session, {}, {c.CKA_EXTRACTABLE: True})
    parameter = gcm_message(NONCE)
    wrapped = wrap(p11, session, parameter, kek, private)
    assert nonce_of(parameter) == NONCE
    known = load_der_private_key(opened(parameter, wrapped), None)
    assert isinstance(known, rsa.RSAPrivateKey)
    kind = named({"CLASS": c.CKO_PRIVATE_KEY, "KEY_TYPE": c.CKK_RSA, "DECRYPT": True})
    again = unwrap(p11, session, parameter, kek, wrapped, kind)
    modulus = p11.get(session, again, c.CKA_MODULUS)
    assert int.from_bytes(modulus, "big") == known.public_key().public_numbers().n


@pytest.mark.parametrize("what", ["wrapped", "tag", "nonce", "aad"])
def test_forgeries(p11: Client, session: int, kek: int, what: str) -> None:
    parameter = gcm_message(NONCE)
    wrapped = wrap(p11, session, parameter, kek, secret(p11, session, bytes(32)))
    values = {"wrapped": wrapped, "tag": tag_of(parameter), "nonce": NONCE, "aad": AAD}
    values[what] = bytes([values[what][0] ^ 1]) + values[what][1:]
    before = p11.find(session, {})
    with refused(c.CKR_WRAPPED_KEY_INVALID):
        unwrap(
            p11,
            session,
            gcm_message(values["nonce"], values["tag"]),
            kek,
            values["wrapped"],
            aes_template(),
            values["aad"],
        )
    assert p11.find(session, {}) == before


def test_asking_for_the_length_uses_no_nonce(p11: Client, session: int, kek: int) -> None:
    key = secret(p11, session, bytes(32))
    parameter = gcm_message(bytes(12), b"\xa5" * 16, generator=c.CKG_GENERATE_COUNTER)
    mech = mechanism(c.CKM_AES_GCM, parameter)
    before = (session, mech, kek, key, NULL, 0)
    out, length = ffi.new("CK_BYTE[32]"), ffi.new("CK_ULONG *")
    assert p11.C_WrapKeyAuthenticated(*before, NULL, length) == c.CKR_OK
    assert length[0] == 32
    length[0] = 31
    assert p11.C_WrapKeyAuthenticated(*before, out, length) == c.CKR_BUFFER_TOO_SMALL
    assert length[0] == 32
    assert tag_of(parameter) == b"\xa5" * 16
    for number in range(3):
        assert p11.C_WrapKeyAuthenticated(*before, out, length) == c.CKR_OK
        assert nonce_of(parameter) == number.to_bytes(12, "big")
        assert opened(parameter, bytes(out), b"") == bytes(32)
    # Messages under the same key go on counting.
    begin(p11, session, "Encrypt", kek)
    whole(p11, session, "Encrypt", parameter, AAD, b"text")
    assert nonce_of(parameter) == (3).to_bytes(12, "big")


def test_what_is_refused(p11: Client, session: int, kek: int) -> None:
    key, parameter = secret(p11, session, bytes(32)), gcm_message(NONCE)
    other = secret(p11, session, KEK, WRAP=False, UNWRAP=False)
    generic = secret(p11, session, KEK, c.CKK_GENERIC_SECRET, WRAP=True, UNWRAP=True)
    hidden = secret(p11, session, bytes(32), EXTRACTABLE=False)
    for wrapping, wrapped, rv in (
        (0, key, c.CKR_WRAPPING_KEY_HANDLE_INVALID),
        (kek, 0, c.CKR_KEY_HANDLE_INVALID),
        (other, key, c.CKR_KEY_FUNCTION_NOT_PERMITTED),
        (generic, key, c.CKR_WRAPPING_KEY_TYPE_INCONSISTENT),
        (kek, hidden, c.CKR_KEY_UNEXTRACTABLE),
    ):
        with refused(rv):
            wrap(p11, session, parameter, wrapping, wrapped)
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        wrap(p11, session, None, kek, key)
    for wrong in (
        gcm_message(b""),
        gcm_message(NONCE, tag_bits=7),
        gcm_message(NONCE, generator=9),
    ):
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            wrap(p11, session, wrong, kek, key)
    arguments = (octets(AAD), len(AAD), NULL, ffi.new("CK_ULONG *"))
    rv = p11.C_WrapKeyAuthenticated(session, mechanism(c.CKM_AES_KEY_WRAP), kek, key, *arguments)
    assert rv == c.CKR_MECHANISM_INVALID

    sealed = wrap(p11, session, parameter, kek, key)
    for unwrapping, rv in (
        (0, c.CKR_UNWRAPPING_KEY_HANDLE_INVALID),
        (other, c.CKR_KEY_FUNCTION_NOT_PERMITTED),
        (generic, c.CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT),
    ):
        with refused(rv):
            unwrap(p11, session, parameter, unwrapping, sealed, aes_template())
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        unwrap(p11, session, parameter, kek, sealed, {c.CKA_CLASS: c.CKO_SECRET_KEY})
    parameter.pTag = NULL
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        unwrap(p11, session, parameter, kek, sealed, aes_template())


# -- C_WrapKey with a nonce that the token makes -----------------------------------------------


def gcm_wrap(nonce: bytes = bytes(12), generator: int = c.CKG_GENERATE, **more: Any) -> Any:
    """CK_GCM_WRAP_PARAMS."""
    fields = {
        "pIv": nonce,
        "ulIvLen": len(nonce),
        "ulIvFixedBits": 0,
        "ivGenerator": generator,
        "pAAD": AAD,
        "ulAADLen": len(AAD),
        "ulTagBits": 128,
    }
    return struct("CK_GCM_WRAP_PARAMS", **fields | more)


def ccm_wrap(nonce: bytes = bytes(12), generator: int = c.CKG_GENERATE, **more: Any) -> Any:
    """CK_CCM_WRAP_PARAMS, with a length of the data that shall be ignored."""
    fields = {
        "ulDataLen": 7777,
        "pNonce": nonce,
        "ulNonceLen": len(nonce),
        "ulNonceFixedBits": 0,
        "nonceGenerator": generator,
        "pAAD": AAD,
        "ulAADLen": len(AAD),
        "ulMACLen": 16,
    }
    return struct("CK_CCM_WRAP_PARAMS", **fields | more)


def iv_of(parameter: Any) -> bytes:
    return bytes(ffi.buffer(parameter.pIv, parameter.ulIvLen))


def ccm_nonce_of(parameter: Any) -> bytes:
    return bytes(ffi.buffer(parameter.pNonce, parameter.ulNonceLen))


WRAPS = [
    (c.CKM_AES_GCM, gcm_wrap, iv_of, AESGCM(KEK)),
    (c.CKM_AES_CCM, ccm_wrap, ccm_nonce_of, AESCCM(KEK)),
]


@pytest.mark.parametrize(("kind", "make", "made", "by"), WRAPS, ids=["GCM", "CCM"])
def test_the_token_makes_the_nonce(
    p11: Client, session: int, kek: int, kind: int, make: Any, made: Any, by: Any
) -> None:
    value = os.urandom(32)
    key = secret(p11, session, value)
    seen = set()
    for _ in range(3):
        parameter = make()
        wrapped = p11.wrap(session, mechanism(kind, parameter), kek, key)
        assert len(wrapped) == 48
        assert by.decrypt(made(parameter), wrapped, AAD) == value
        seen.add(made(parameter))
        again = p11.unwrap(
            session,
            mechanism(kind, make(made(parameter), 99)),  # the generator is not looked at
            kek,
            wrapped,
            aes_template(SENSITIVE=False),
        )
        assert p11.get(session, again, c.CKA_VALUE) == value
    assert len(seen - {bytes(12)}) == 3

    sealed = by.encrypt(NONCE, value, AAD)
    again = p11.unwrap(
        session, mechanism(kind, make(NONCE)), kek, sealed, aes_template(SENSITIVE=False)
    )
    assert p11.get(session, again, c.CKA_VALUE) == value
    parameter = make(NONCE, c.CKG_NO_GENERATE)
    assert p11.wrap(session, mechanism(kind, parameter), kek, key) == sealed
    assert made(parameter) == NONCE


@pytest.mark.parametrize(("kind", "make", "made", "by"), WRAPS, ids=["GCM", "CCM"])
def test_a_private_key_and_a_fixed_field(
    p11: Client, session: int, kek: int, kind: int, make: Any, made: Any, by: Any
) -> None:
    _, private = rsa_pair(p11, session, {}, {c.CKA_EXTRACTABLE: True})
    fixed = {"ulIvFixedBits": 32} if kind == c.CKM_AES_GCM else {"ulNonceFixedBits": 32}
    parameter = make(b"\xaa\xbb\xcc\xdd" + bytes(8), c.CKG_GENERATE_COUNTER, **fixed)
    mech = mechanism(kind, parameter)
    length = ffi.new("CK_ULONG *")
    for _ in range(3):  # which asks for the length first
        assert p11.C_WrapKey(session, mech, kek, private, NULL, length) == c.CKR_OK
    out = ffi.new("CK_BYTE[]", b"\xa5" * int(length[0]))
    length[0] -= 1
    assert p11.C_WrapKey(session, mech, kek, private, out, length) == c.CKR_BUFFER_TOO_SMALL
    assert bytes(out) == b"\xa5" * int(length[0]) + b"\0"
    for count in range(3):
        wrapped = p11.wrap(session, mech, kek, private, int(length[0]))
        assert made(parameter) == b"\xaa\xbb\xcc\xdd" + count.to_bytes(8, "big")
        assert load_der_private_key(by.decrypt(made(parameter), wrapped, AAD), None)
    kind_of_key = named({"CLASS": c.CKO_PRIVATE_KEY, "KEY_TYPE": c.CKK_RSA})
    again = p11.unwrap(session, mech, kek, wrapped, kind_of_key)
    assert p11.get(session, again, c.CKA_MODULUS) == p11.get(session, private, c.CKA_MODULUS)


@pytest.mark.parametrize(("kind", "make", "made", "by"), WRAPS, ids=["GCM", "CCM"])
def test_what_c_wrap_key_refuses(
    p11: Client, session: int, kek: int, kind: int, make: Any, made: Any, by: Any
) -> None:
    key = secret(p11, session, bytes(32))
    pointer, fixed, tag = (
        ("pIv", "ulIvFixedBits", {"ulTagBits": 7})
        if kind == c.CKM_AES_GCM
        else ("pNonce", "ulNonceFixedBits", {"ulMACLen": 5})
    )
    for wrong in (
        make(**{pointer: NULL}),
        make(b""),
        make(generator=9),
        make(**{fixed: 97}),
        make(**tag),
        make(pAAD=NULL),
        make(ulAADLen=1 << 40),
    ):
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            p11.wrap(session, mechanism(kind, wrong), kek, key, 4096)
    hidden = secret(p11, session, bytes(32), EXTRACTABLE=False)
    with refused(c.CKR_KEY_UNEXTRACTABLE):
        p11.wrap(session, mechanism(kind, make()), kek, hidden)
    parameter = make()
    wrapped = p11.wrap(session, mechanism(kind, parameter), kek, key)
    before = p11.find(session, {})
    for nonce, aad, octets_given, rv in (
        (NONCE, AAD, wrapped, c.CKR_WRAPPED_KEY_INVALID),
        (made(parameter), b"another", wrapped, c.CKR_WRAPPED_KEY_INVALID),
        (made(parameter), AAD, wrapped[:-1], c.CKR_WRAPPED_KEY_INVALID),
        (made(parameter), AAD, wrapped[1:], c.CKR_WRAPPED_KEY_INVALID),
        (made(parameter), AAD, wrapped[:15], c.CKR_WRAPPED_KEY_LEN_RANGE),
    ):
        mech = mechanism(kind, make(nonce, pAAD=aad, ulAADLen=len(aad)))
        with refused(rv):
            p11.unwrap(session, mech, kek, octets_given, aes_template())
    assert p11.find(session, {}) == before


def test_templates_of_the_wrapping_key(p11: Client, session: int) -> None:
    only = ((c.CKA_KEY_TYPE, c.CKK_AES),)
    kek = generated(p11, session, WRAP=True, UNWRAP=True, WRAP_TEMPLATE=only)
    parameter = gcm_message(NONCE)
    wrap(p11, session, parameter, kek, secret(p11, session, bytes(32)))
    with refused(c.CKR_KEY_HANDLE_INVALID):
        generic = secret(p11, session, bytes(32), c.CKK_GENERIC_SECRET)
        wrap(p11, session, parameter, kek, generic)


def test_strict_tokens(p11: Client, token: Token) -> None:
    """What holds for C_WrapKey holds here."""
    configure(p11, "[policy]\nstrict = true\n")
    session = restart(p11, token)
    roles = ((c.CKA_ENCRYPT, True), (c.CKA_DECRYPT, True))
    both: dict[str, Value] = {"WRAP_TEMPLATE": roles, "UNWRAP_TEMPLATE": roles}
    kek = generated(p11, session, WRAP=True, UNWRAP=True, EXTRACTABLE=False, **both)
    key = generated(p11, session, ENCRYPT=True, DECRYPT=True, EXTRACTABLE=True)
    parameter = gcm_message(bytes(12), generator=c.CKG_GENERATE)
    wrapped = wrap(p11, session, parameter, kek, key)
    unwrap(p11, session, parameter, kek, wrapped, aes_template())
    with refused(c.CKR_TEMPLATE_INCONSISTENT):
        unwrap(p11, session, parameter, kek, wrapped, aes_template(SENSITIVE=False))
    with refused(c.CKR_TEMPLATE_INCONSISTENT):
        unwrap(p11, session, parameter, kek, wrapped, aes_template(SIGN=True))
    signing = generated(p11, session, SIGN=True, EXTRACTABLE=True)
    with refused(c.CKR_KEY_HANDLE_INVALID):  # not what CKA_WRAP_TEMPLATE describes
        wrap(p11, session, parameter, kek, signing)
