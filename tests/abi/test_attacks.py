"""The published attacks on the interface, each tried in both modes: docs/policy.md has the table.

By default the token does what the standard says, and the attack succeeds: the test ends with the
sensitive key in its hands. With ``policy.strict`` the step that the attack needs is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from abi.client import (
    NULL,
    CallError,
    Client,
    Value,
    encode,
    ffi,
    mechanism,
    refused,
    struct,
    template,
)
from abi.conftest import Token, restart
from abi.key_helpers import (
    IV,
    P256,
    aes_template,
    ecdh,
    generated,
    named,
    oaep,
    rsa_pair,
    secret,
    string_data,
)
from cryptography.hazmat.primitives import hashes, hmac, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pypkcs11.standard import constants as c

KNOWN = bytes(range(32))
BLOCK = b"sixteen octets.."
KW = mechanism(c.CKM_AES_KEY_WRAP_KWP)
ECB = mechanism(c.CKM_AES_ECB)
CONFIGURATION = "[store]\nkdf_memory = 64\nkdf_iterations = 1\nkdf_lanes = 1\n"

#: What makes an AES key a wrapping key, a data key, a wrapping key that strict tokens take.
WRAPS: dict[str, Value] = {"WRAP": True, "UNWRAP": True}
NOTHING: dict[str, Value] = dict.fromkeys(
    ("ENCRYPT", "DECRYPT", "SIGN", "VERIFY", "WRAP", "UNWRAP"), False
)
CIPHER: tuple[tuple[int, bool], ...] = ((c.CKA_ENCRYPT, True), (c.CKA_DECRYPT, True))
ONLY_CIPHERS: dict[str, Value] = {"WRAP_TEMPLATE": CIPHER, "UNWRAP_TEMPLATE": CIPHER}


@pytest.fixture(params=[False, True], ids=["standard", "strict"])
def strict(request: pytest.FixtureRequest) -> bool:
    assert isinstance(request.param, bool)
    return request.param


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Writes the configuration that the next C_Initialize reads."""
    path = tmp_path / "config.toml"
    monkeypatch.setenv("PYPKCS11_CONF", str(path))
    monkeypatch.setenv("PYPKCS11_TOKEN_DIR", str(tmp_path / "tokens"))

    def write(strict: bool) -> None:
        path.write_text(CONFIGURATION + f"[policy]\nstrict = {str(strict).lower()}\n")

    return write


@pytest.fixture
def environment(configure: Callable[[bool], None], strict: bool) -> None:
    configure(strict)


def target(p11: Client, session: int, **more: Value) -> int:
    """The key that the attacker is after: generated, sensitive, for encryption, extractable."""
    usage: dict[str, Value] = {"ENCRYPT": True, "DECRYPT": True}
    return generated(
        p11, session, **{**NOTHING, **usage, "SENSITIVE": True, "EXTRACTABLE": True, **more}
    )


def is_known(p11: Client, session: int, key: int, value: bytes) -> bool:
    """Whether a value is the key's."""
    theirs = Cipher(algorithms.AES(value), modes.ECB()).encryptor().update(BLOCK)
    return p11.encrypt(session, ECB, key, BLOCK) == theirs


# -- two roles for one key --------------------------------------------------------------------


def test_wrap_and_decrypt(p11: Client, session: int, strict: bool) -> None:
    usage: dict[str, Value] = {**NOTHING, "WRAP": True, "DECRYPT": True}
    if strict:
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            generated(p11, session, **usage)
        return
    key, victim = generated(p11, session, **usage), target(p11, session)
    value = p11.decrypt(session, ECB, key, p11.wrap(session, ECB, key, victim))
    assert is_known(p11, session, victim, value)


def test_wrap_and_decrypt_with_a_key_pair(p11: Client, session: int, strict: bool) -> None:
    public: dict[int, Value] = named({"WRAP": True})
    private: dict[int, Value] = named({"DECRYPT": True, "UNWRAP": False, "SIGN": False})
    if strict:
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            rsa_pair(p11, session, public, private)
        return
    wrapping, decrypting = rsa_pair(p11, session, public, private)
    victim, mech = target(p11, session), mechanism(c.CKM_RSA_PKCS)
    value = p11.decrypt(session, mech, decrypting, p11.wrap(session, mech, wrapping, victim))
    assert is_known(p11, session, victim, value)


def test_encrypt_and_unwrap(p11: Client, session: int, strict: bool) -> None:
    """A key that the attacker knows enters the token as if it were the token's own."""
    usage: dict[str, Value] = {**NOTHING, "ENCRYPT": True, "UNWRAP": True}
    if strict:
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            generated(p11, session, **usage)
        return
    key = generated(p11, session, **usage)
    wrapped = p11.encrypt(session, ECB, key, KNOWN)
    planted = p11.unwrap(session, ECB, key, wrapped, aes_template(SENSITIVE=True))
    value = keywrap.aes_key_unwrap_with_padding(
        KNOWN, p11.wrap(session, KW, planted, victim := target(p11, session))
    )
    assert is_known(p11, session, victim, value)


def test_roles_one_after_the_other(p11: Client, session: int, strict: bool) -> None:
    usage: dict[str, Value] = {**NOTHING, "DECRYPT": True}
    key, victim = generated(p11, session, **usage), target(p11, session)
    if strict:
        with refused(c.CKR_ATTRIBUTE_READ_ONLY):
            p11.set(session, key, named({"DECRYPT": False, "WRAP": True}))
        return
    p11.set(session, key, named({"DECRYPT": False, "WRAP": True}))
    wrapped = p11.wrap(session, ECB, key, victim)
    p11.set(session, key, named({"DECRYPT": True, "WRAP": False}))
    assert is_known(p11, session, victim, p11.decrypt(session, ECB, key, wrapped))


def test_another_role_for_a_copy(p11: Client, session: int, strict: bool) -> None:
    usage: dict[str, Value] = {**NOTHING, "DECRYPT": True}
    key, victim = generated(p11, session, **usage), target(p11, session)
    template = named({"DECRYPT": False, "WRAP": True})
    if strict:
        with refused(c.CKR_ATTRIBUTE_READ_ONLY):
            p11.copy(session, key, template)
        copy = p11.copy(session, key, {c.CKA_LABEL: "with the role it had"})
        p11.decrypt(session, ECB, copy, BLOCK)
        return
    wrapped = p11.wrap(session, ECB, p11.copy(session, key, template), victim)
    assert is_known(p11, session, victim, p11.decrypt(session, ECB, key, wrapped))


def test_derive_and_encrypt(p11: Client, session: int, strict: bool) -> None:
    """What is derived by encryption is what encryption gives."""
    usage: dict[str, Value] = {**NOTHING, "DERIVE": True, "ENCRYPT": True}
    if strict:
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            generated(p11, session, **usage)
        return
    key = generated(p11, session, **usage)
    mech = mechanism(c.CKM_AES_ECB_ENCRYPT_DATA, string_data(BLOCK * 2))
    template = named({"KEY_TYPE": c.CKK_AES, "VALUE_LEN": 32, "SENSITIVE": True})
    derived = p11.derive(session, mech, key, template)
    assert is_known(p11, session, derived, p11.encrypt(session, ECB, key, BLOCK * 2))


# -- wrapping keys that the attacker knows ----------------------------------------------------


def test_a_wrapping_key_of_the_attackers_own(p11: Client, session: int, strict: bool) -> None:
    if strict:
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            secret(p11, session, KNOWN, DERIVE=False, **WRAPS)
        return
    wrapping, victim = secret(p11, session, KNOWN, **WRAPS), target(p11, session)
    value = keywrap.aes_key_unwrap_with_padding(KNOWN, p11.wrap(session, KW, wrapping, victim))
    assert is_known(p11, session, victim, value)


def public_template(key: rsa.RSAPublicKey, **more: Value) -> dict[int, Value]:
    numbers = key.public_numbers()
    return {
        c.CKA_CLASS: c.CKO_PUBLIC_KEY,
        c.CKA_KEY_TYPE: c.CKK_RSA,
        c.CKA_MODULUS: numbers.n.to_bytes(key.key_size // 8, "big"),
        c.CKA_PUBLIC_EXPONENT: b"\1\0\1",
        **named(more),
    }


def test_a_public_key_of_the_attackers_own(p11: Client, session: int, strict: bool) -> None:
    own = rsa.generate_private_key(65537, 2048)
    template = public_template(own.public_key(), WRAP=True)
    if strict:
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            p11.create(session, template)
        return
    wrapping, victim = p11.create(session, template), target(p11, session)
    wrapped = p11.wrap(session, mechanism(c.CKM_RSA_PKCS_OAEP, oaep()), wrapping, victim)
    scheme = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    assert is_known(p11, session, victim, own.decrypt(wrapped, scheme))


def test_a_wrapping_key_that_can_be_read(p11: Client, session: int, strict: bool) -> None:
    usage: dict[str, Value] = {**NOTHING, **WRAPS, "SENSITIVE": False, "EXTRACTABLE": True}
    if strict:
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            generated(p11, session, **usage)
        return
    wrapping, victim = generated(p11, session, **usage), target(p11, session)
    known = p11.get(session, wrapping, c.CKA_VALUE)
    value = keywrap.aes_key_unwrap_with_padding(known, p11.wrap(session, KW, wrapping, victim))
    assert is_known(p11, session, victim, value)


def test_a_key_pair_whose_private_key_can_be_read(p11: Client, session: int, strict: bool) -> None:
    public: dict[int, Value] = named({"WRAP": True, "ENCRYPT": False, "VERIFY": False})
    readable: dict[int, Value] = named({"SENSITIVE": False, "EXTRACTABLE": True})
    if strict:
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            rsa_pair(p11, session, public, readable)
        return
    wrapping, private = rsa_pair(p11, session, public, readable)
    assert p11.get(session, private, c.CKA_PRIVATE_EXPONENT)
    p11.wrap(session, mechanism(c.CKM_RSA_PKCS), wrapping, target(p11, session))


def test_the_so_says_which_foreign_keys_may_wrap(
    p11: Client, token: Token, session: int, strict: bool
) -> None:
    """What strictness leaves: CKA_TRUSTED, and with it CKA_WRAP_WITH_TRUSTED (both modes)."""
    own = rsa.generate_private_key(65537, 3072)
    template = public_template(
        own.public_key(), WRAP=True, TRUSTED=True, TOKEN=True, ENCRYPT=False, VERIFY=False
    )
    with refused(c.CKR_ATTRIBUTE_READ_ONLY):
        p11.create(session, template)
    p11.do("C_Logout", session)
    p11.login(session, c.CKU_SO, token.so_pin)
    wrapping = p11.create(session, template)
    p11.do("C_Logout", session)
    p11.login(session, c.CKU_USER, token.user_pin)
    guarded = target(p11, session, VALUE_LEN=16, WRAP_WITH_TRUSTED=True)
    mech = mechanism(c.CKM_RSA_PKCS_OAEP, oaep())
    assert len(p11.wrap(session, mech, wrapping, guarded)) == 384
    with refused(c.CKR_KEY_NOT_WRAPPABLE):
        p11.wrap(session, KW, keeper(p11, session), guarded)


# -- out under one description, in under another ----------------------------------------------


def keeper(p11: Client, session: int, **more: Value) -> int:
    """A wrapping key that both modes take."""
    return generated(p11, session, **{**NOTHING, **WRAPS, **ONLY_CIPHERS, **more})


def test_back_in_as_a_key_that_can_be_read(p11: Client, session: int, strict: bool) -> None:
    kek, victim = keeper(p11, session), target(p11, session)
    wrapped = p11.wrap(session, KW, kek, victim)
    template = aes_template(SENSITIVE=False, EXTRACTABLE=True)
    if strict:
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            p11.unwrap(session, KW, kek, wrapped, template)
        back = p11.unwrap(session, KW, kek, wrapped, aes_template())
        assert p11.get(session, back, c.CKA_SENSITIVE) == b"\1"
        with refused(c.CKR_ATTRIBUTE_SENSITIVE):
            p11.get(session, back, c.CKA_VALUE)
        assert p11.encrypt(session, ECB, back, BLOCK) == p11.encrypt(session, ECB, victim, BLOCK)
        return
    copy = p11.unwrap(session, KW, kek, wrapped, template)
    assert is_known(p11, session, victim, p11.get(session, copy, c.CKA_VALUE))


def test_back_in_with_another_role(p11: Client, session: int, strict: bool) -> None:
    kek, victim = keeper(p11, session), target(p11, session)
    if strict:
        # A wrapping key does not leave, and what leaves does not come back as something else.
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            generated(p11, session, **{**NOTHING, **WRAPS, "EXTRACTABLE": True})
        wrapped = p11.wrap(session, KW, kek, victim)
        for role in ("WRAP", "SIGN", "DERIVE"):
            with refused(c.CKR_TEMPLATE_INCONSISTENT):
                p11.unwrap(session, KW, kek, wrapped, aes_template(**{role: True}))
        sign = ((c.CKA_SIGN, True),)
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            keeper(p11, session, UNWRAP_TEMPLATE=sign)
        signer = keeper(p11, session, WRAP_TEMPLATE=sign, UNWRAP_TEMPLATE=sign)
        with refused(c.CKR_KEY_HANDLE_INVALID):
            p11.wrap(session, KW, signer, victim)
        with refused(c.CKR_KEY_NOT_WRAPPABLE):
            bare = generated(p11, session, **NOTHING | WRAPS)
            p11.wrap(session, KW, bare, victim)
        return
    usage: dict[str, Value] = {**NOTHING, **WRAPS}
    kek, other = (
        generated(p11, session, **usage),
        generated(p11, session, **usage, EXTRACTABLE=True),
    )
    wrapped = p11.wrap(session, KW, kek, other)
    twin = p11.unwrap(session, KW, kek, wrapped, aes_template(DECRYPT=True))
    value = p11.decrypt(session, ECB, twin, p11.wrap(session, ECB, other, victim))
    assert is_known(p11, session, victim, value)


def test_key_conjuring(p11: Client, session: int, strict: bool) -> None:
    """Any octets unwrap to some key, in whose name the attacker then sees what the token does."""
    kek = keeper(p11, session)
    for mech, length in ((ECB, 32), (mechanism(c.CKM_AES_CBC, IV), 32)):
        if strict:
            with refused(c.CKR_MECHANISM_INVALID):
                p11.unwrap(session, mech, kek, bytes(length), aes_template())
        else:
            p11.unwrap(session, mech, kek, bytes(length), aes_template())
    with refused(c.CKR_WRAPPED_KEY_INVALID):
        p11.unwrap(session, KW, kek, bytes(40), aes_template())


def test_padding_oracle(p11: Client, session: int, strict: bool) -> None:
    """That padding is wrong, of octets of the attacker's choice, tells what they decrypt to.

    The key is unwrapped octet by octet, here the last (Bardou and others, 2012).
    """
    kek, victim = keeper(p11, session), target(p11, session, VALUE_LEN=16)
    mech = mechanism(c.CKM_AES_CBC_PAD, IV)
    generic = aes_template(KEY_TYPE=c.CKK_GENERIC_SECRET)
    if strict:
        with refused(c.CKR_MECHANISM_INVALID):
            p11.wrap(session, mech, kek, victim)
        with refused(c.CKR_MECHANISM_INVALID):
            p11.unwrap(session, mech, kek, bytes(32), generic)
        return
    first = p11.wrap(session, mech, kek, victim)[:16]
    good = []
    for guess in range(256):
        iv = bytes(15) + bytes([IV[15] ^ guess])
        chosen = mechanism(c.CKM_AES_CBC_PAD, iv)
        with suppress(CallError):
            p11.unwrap(session, chosen, kek, first, generic)
            good.append(guess)
    # Among the few that were taken is the one that makes a padding of one octet.
    known = {guess ^ 1 for guess in good}
    value = last_octet(p11, session, kek, victim)
    assert value in known


def last_octet(p11: Client, session: int, kek: int, victim: int) -> int:
    """The truth, for the test to compare with."""
    mech = mechanism(c.CKM_AES_CBC_PAD, IV)
    copy = p11.unwrap(
        session,
        mech,
        kek,
        p11.wrap(session, mech, kek, victim),
        aes_template(SENSITIVE=False, EXTRACTABLE=True),
    )
    return p11.get(session, copy, c.CKA_VALUE)[15]


def test_rsa_padding_gives_no_oracle_but_lets_anything_in(
    p11: Client, session: int, strict: bool
) -> None:
    public, private = rsa_pair(
        p11,
        session,
        named({"WRAP": True, "ENCRYPT": False, "VERIFY": False, "WRAP_TEMPLATE": CIPHER}),
        named({"UNWRAP": True, "DECRYPT": False, "SIGN": False, "UNWRAP_TEMPLATE": CIPHER}),
    )
    mech = mechanism(c.CKM_RSA_PKCS)
    info = p11.get(session, public, c.CKA_PUBLIC_KEY_INFO)
    key = serialization.load_der_public_key(info)
    assert isinstance(key, rsa.RSAPublicKey)
    anything = key.encrypt(KNOWN[:16], padding.PKCS1v15())
    if strict:
        with refused(c.CKR_MECHANISM_INVALID):
            p11.unwrap(session, mech, private, anything, aes_template())
        return
    planted = p11.unwrap(session, mech, private, anything, aes_template(SENSITIVE=True))
    assert is_known(p11, session, planted, KNOWN[:16])


def test_a_weaker_key_wraps_a_stronger_one(p11: Client, session: int, strict: bool) -> None:
    weak, victim = keeper(p11, session, VALUE_LEN=16), target(p11, session)
    if strict:
        with refused(c.CKR_WRAPPING_KEY_SIZE_RANGE):
            p11.wrap(session, KW, weak, victim)
        strong = keeper(p11, session)
        assert len(p11.wrap(session, KW, strong, victim)) == 40
        return
    assert len(p11.wrap(session, KW, weak, victim)) == 40


def test_a_piece_of_an_unwrapped_key(p11: Client, session: int, strict: bool) -> None:
    """Unwrapped as a shorter key, one of 32 octets could be searched for in two halves.

    No mechanism lets this happen, strict or not.
    """
    kek, victim = keeper(p11, session), target(p11, session)
    for mech in (KW,) if strict else (KW, ECB):
        wrapped = p11.wrap(session, mech, kek, victim)
        for length in (16, 24):
            with refused(c.CKR_WRAPPED_KEY_LEN_RANGE):
                p11.unwrap(session, mech, kek, wrapped, aes_template(VALUE_LEN=length))


def test_a_piece_of_a_key_under_raw_rsa(p11: Client, session: int, strict: bool) -> None:
    """The standard has the key taken from the block's end: its pieces are searched for in turn."""
    wraps: dict[int, Value] = {c.CKA_WRAP: True, c.CKA_ENCRYPT: False, c.CKA_VERIFY: False}
    unwraps: dict[int, Value] = {c.CKA_UNWRAP: True, c.CKA_DECRYPT: False, c.CKA_SIGN: False}
    public, private = rsa_pair(p11, session, wraps, unwraps)
    raw, victim = mechanism(c.CKM_RSA_X_509), target(p11, session, VALUE_LEN=16)
    if strict:
        with refused(c.CKR_MECHANISM_INVALID):
            p11.wrap(session, raw, public, victim)
        return
    wrapped, found = p11.wrap(session, raw, public, victim), b""
    for length in range(1, 17):
        kind = {"KEY_TYPE": c.CKK_GENERIC_SECRET, "SENSITIVE": True, "VALUE_LEN": length}
        piece = p11.unwrap(session, raw, private, wrapped, aes_template(**kind, SIGN=True))
        mac = p11.sign(session, mechanism(c.CKM_SHA256_HMAC), piece, BLOCK)
        tried = (bytes([octet]) + found for octet in range(256))
        found = next(key for key in tried if hmac_of(key) == mac)
    assert is_known(p11, session, victim, found)


# -- derivation -------------------------------------------------------------------------------


def test_a_key_is_searched_octet_by_octet(p11: Client, session: int, strict: bool) -> None:
    """One octet of a key makes a key, which a few signatures give away (Clulow 2003)."""
    usage: dict[str, Value] = {**NOTHING, "DERIVE": True}
    base = generated(p11, session, 16, SENSITIVE=True, **usage)
    found = b""
    for n in range(16):
        mech = mechanism(c.CKM_EXTRACT_KEY_FROM_KEY, encode(8 * n))
        template = named({"VALUE_LEN": 1, "SIGN": True})
        if strict:
            with refused(c.CKR_MECHANISM_INVALID):
                p11.derive(session, mech, base, template)
            return
        piece = p11.derive(session, mech, base, template)
        assert p11.get(session, piece, c.CKA_SENSITIVE) == b"\1"
        mac = p11.sign(session, mechanism(c.CKM_SHA256_HMAC), piece, BLOCK)
        found += next(bytes([octet]) for octet in range(256) if hmac_of(bytes([octet])) == mac)
    check = Cipher(algorithms.AES(found), modes.ECB()).encryptor().update(bytes(16))
    assert p11.get(session, base, c.CKA_CHECK_VALUE) == check[:3]


def hmac_of(key: bytes) -> bytes:
    context = hmac.HMAC(key, hashes.SHA256())
    context.update(BLOCK)
    return context.finalize()


def test_derivation_to_a_key_that_can_be_read(p11: Client, session: int, strict: bool) -> None:
    base = generated(p11, session, **{**NOTHING, "DERIVE": True, "SENSITIVE": True})
    mech = mechanism(c.CKM_AES_ECB_ENCRYPT_DATA, string_data(BLOCK))
    readable = named({"SENSITIVE": False, "EXTRACTABLE": True})
    params: dict[int, Value] = {c.CKA_EC_PARAMS: P256}
    derives = named({"DERIVE": True, "SIGN": False, "SENSITIVE": True})
    kind = mechanism(c.CKM_EC_KEY_PAIR_GEN)
    _, private = p11.generate_pair(session, kind, params, derives)
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = other.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    agreement = mechanism(c.CKM_ECDH1_DERIVE, ecdh(point))
    digest = mechanism(c.CKM_SHA256_KEY_DERIVATION)
    for mechanism_, key in ((mech, base), (digest, base), (agreement, private)):
        if strict:
            with refused(c.CKR_TEMPLATE_INCONSISTENT):
                p11.derive(session, mechanism_, key, readable)
            derived = p11.derive(session, mechanism_, key, {})
            with refused(c.CKR_ATTRIBUTE_SENSITIVE):
                p11.get(session, derived, c.CKA_VALUE)
        else:
            derived = p11.derive(session, mechanism_, key, readable)
            assert p11.get(session, derived, c.CKA_VALUE)


def test_a_derived_key_is_searched_octet_by_octet(p11: Client, session: int, strict: bool) -> None:
    """Keys of one octet, two and so on that begin alike give away the long one."""
    base = generated(p11, session, **{**NOTHING, "DERIVE": True, "SENSITIVE": True})
    mech = mechanism(c.CKM_SHA256_KEY_DERIVATION)
    found = b""
    for length in range(1, 5):
        template = named({"VALUE_LEN": length, "SIGN": True, "SENSITIVE": True})
        if strict:
            with refused(c.CKR_KEY_SIZE_RANGE):
                p11.derive(session, mech, base, template)
            p11.derive(session, mech, base, {**template, c.CKA_VALUE_LEN: 14})
            return
        piece = p11.derive(session, mech, base, template)
        mac = p11.sign(session, mechanism(c.CKM_SHA256_HMAC), piece, BLOCK)
        found += next(
            bytes([octet]) for octet in range(256) if hmac_of(found + bytes([octet])) == mac
        )
    whole = p11.derive(session, mech, base, named({"SENSITIVE": False, "EXTRACTABLE": True}))
    assert p11.get(session, whole, c.CKA_VALUE)[:4] == found


def test_a_digest_tells_a_derived_key(p11: Client, session: int, strict: bool) -> None:
    """What C_DigestKey gives openly is what derivation makes a key of."""
    base = generated(p11, session, **{**NOTHING, "DERIVE": True, "SENSITIVE": True})
    sensitive = named({"SENSITIVE": True, "KEY_TYPE": c.CKK_AES, "VALUE_LEN": 32})
    usage = named({"ENCRYPT": True})
    mech = mechanism(c.CKM_SHA256_KEY_DERIVATION)
    victim = p11.derive(session, mech, base, sensitive | usage)
    p11.do("C_DigestInit", session, mechanism(c.CKM_SHA256))
    if strict:
        assert p11.C_DigestKey(session, base) == c.CKR_KEY_INDIGESTIBLE
        copy = p11.copy(session, base, named({"DERIVE": False}))
        assert p11.C_DigestKey(session, copy) == c.CKR_KEY_INDIGESTIBLE
        return
    p11.do("C_DigestKey", session, base)
    assert is_known(p11, session, victim, p11.output("C_DigestFinal", session))


def test_keys_of_tls_are_asked_for_as_ivs(p11: Client, session: int, strict: bool) -> None:
    """The standard warns of it: octets that were keys a moment ago become IVs (6.40.6)."""
    base = p11.generate(
        session,
        mechanism(c.CKM_GENERIC_SECRET_KEY_GEN),
        named({"VALUE_LEN": 48, **NOTHING, "DERIVE": True, "SENSITIVE": True}),
    )
    usage = named({"KEY_TYPE": c.CKK_AES, "ENCRYPT": True})
    if strict:
        usage[c.CKA_DERIVE] = False
    ivs = [ffi.new("CK_BYTE[32]"), ffi.new("CK_BYTE[32]")]
    out = ffi.new("CK_SSL3_KEY_MAT_OUT *", [0, 0, 0, 0, *ivs])
    parameter = struct(
        "CK_TLS12_KEY_MAT_PARAMS",
        ulKeySizeInBits=256,
        pReturnedKeyMaterial=out,
        prfHashMechanism=c.CKM_SHA256,
    )
    mech = mechanism(c.CKM_TLS12_KEY_AND_MAC_DERIVE, parameter)
    p11.do("C_DeriveKey", session, mech, base, *template(usage), NULL)
    victim = out.hClientKey
    parameter.ulKeySizeInBits, parameter.ulIVSizeInBits = 0, 256
    rv = p11.C_DeriveKey(session, mech, base, *template(usage), NULL)
    if strict:
        assert rv == c.CKR_MECHANISM_INVALID
        assert bytes(ffi.buffer(ivs[0])) == bytes(32)
        return
    assert rv == c.CKR_OK
    assert is_known(p11, session, victim, bytes(ffi.buffer(ivs[0])))


def test_output_of_the_tls_prf_is_a_key(p11: Client, session: int, strict: bool) -> None:
    base = p11.generate(
        session,
        mechanism(c.CKM_GENERIC_SECRET_KEY_GEN),
        named({"VALUE_LEN": 48, **NOTHING, "DERIVE": True, "SENSITIVE": True}),
    )
    kdf = struct("CK_TLS_KDF_PARAMS", prfMechanism=c.CKM_TLS_PRF, pLabel=b"label", ulLabelLength=5)
    usage = named({"KEY_TYPE": c.CKK_AES, "VALUE_LEN": 32, "ENCRYPT": True})
    victim = p11.derive(session, mechanism(c.CKM_TLS_KDF, kdf), base, usage)
    assert p11.get(session, victim, c.CKA_SENSITIVE) == b"\1"
    value, length = ffi.new("CK_BYTE[32]"), ffi.new("CK_ULONG *", 32)
    prf = struct(
        "CK_TLS_PRF_PARAMS", pLabel=b"label", ulLabelLen=5, pOutput=value, pulOutputLen=length
    )
    mech = mechanism(c.CKM_TLS_PRF, prf)
    rv = p11.C_DeriveKey(session, mech, base, NULL, 0, NULL)
    if strict:
        assert rv == c.CKR_MECHANISM_INVALID
        return
    assert rv == c.CKR_OK
    assert is_known(p11, session, victim, bytes(ffi.buffer(value)))


def password_key(p11: Client, session: int, **more: Value) -> int:
    parameter = struct(
        "CK_PKCS5_PBKD2_PARAMS2",
        saltSource=c.CKZ_SALT_SPECIFIED,
        iterations=1,
        prf=c.CKP_PKCS5_PBKD2_HMAC_SHA256,
        pPassword=b"password",
        ulPasswordLen=8,
    )
    usage = {"KEY_TYPE": c.CKK_AES, "VALUE_LEN": 32, **NOTHING, **WRAPS, **more}
    return p11.generate(session, mechanism(c.CKM_PKCS5_PBKD2, parameter), named(usage))


def test_another_wrapping_key_out_of_a_password(p11: Client, session: int, strict: bool) -> None:
    """The same by the password of a PKCS #12 file."""
    parameter = struct(
        "CK_PBE_PARAMS",
        pInitVector=bytes(8),
        pPassword=b"password",
        ulPasswordLen=8,
        pSalt=b"salt",
        ulSaltLen=4,
        ulIteration=1,
    )
    mech = mechanism(c.CKM_PBE_SHA1_DES3_EDE_CBC, parameter)
    secretive = named({"SENSITIVE": True, "EXTRACTABLE": False, **NOTHING, **WRAPS})
    if strict:
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            p11.generate(session, mech, secretive)
    else:
        p11.generate(session, mech, secretive)


def test_a_wrapping_key_out_of_a_password(p11: Client, session: int, strict: bool) -> None:
    """Whoever knows the password has what it wraps, though the key was generated in the token."""
    secretive: dict[str, Value] = {"SENSITIVE": True, "EXTRACTABLE": False}
    if strict:
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            password_key(p11, session, **secretive)
        return
    key, victim = password_key(p11, session, **secretive), target(p11, session)
    known = hashlib.pbkdf2_hmac("sha256", b"password", b"", 1, 32)
    wrapped = p11.wrap(session, KW, key, victim)
    value = keywrap.aes_key_unwrap_with_padding(known, wrapped)
    assert is_known(p11, session, victim, value)


# -- what was there before, and what is left --------------------------------------------------


@pytest.mark.parametrize("strict", [False], indirect=True)
def test_keys_made_before_the_policy_was_strict(
    p11: Client, token: Token, session: int, configure: Callable[[bool], None]
) -> None:
    generated(p11, session, TOKEN=True, LABEL="old")  # with every usage, as the defaults are
    password_key(p11, session, TOKEN=True, LABEL="known", SENSITIVE=True, EXTRACTABLE=False)
    target(p11, session, TOKEN=True, LABEL="victim")
    configure(True)
    session = restart(p11, token)
    (old,) = p11.find(session, {c.CKA_LABEL: "old"})
    (known,) = p11.find(session, {c.CKA_LABEL: "known"})
    (victim,) = p11.find(session, {c.CKA_LABEL: "victim"})
    for key in (old, known):
        with refused(c.CKR_KEY_FUNCTION_NOT_PERMITTED):
            p11.wrap(session, KW, key, victim)
    with refused(c.CKR_KEY_FUNCTION_NOT_PERMITTED):
        p11.unwrap(session, KW, old, bytes(40), aes_template())
    assert len(p11.encrypt(session, ECB, old, BLOCK)) == 16


@pytest.mark.parametrize("strict", [True], indirect=True)
def test_a_strict_token_gives_a_key_no_role_that_was_not_asked_for(
    p11: Client, session: int
) -> None:
    key = generated(p11, session)
    for usage in ("ENCRYPT", "DECRYPT", "SIGN", "VERIFY", "WRAP", "UNWRAP", "DERIVE"):
        assert p11.get(session, key, getattr(c, f"CKA_{usage}")) == b"\0"
    rv = p11.C_EncryptInit(session, ECB, key)
    assert rv == c.CKR_KEY_FUNCTION_NOT_PERMITTED
    with refused(c.CKR_TEMPLATE_INCONSISTENT):
        generated(p11, session, SIGN=True, ENCRYPT=True)
    p11.set(session, generated(p11, session, SIGN=True, VERIFY=True), {c.CKA_VERIFY: False})
    data = p11.create(session, {c.CKA_CLASS: c.CKO_DATA, c.CKA_VALUE: b"text"})
    assert p11.get(session, data, c.CKA_VALUE) == b"text"
