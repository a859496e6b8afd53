"""How strong keys are said to be, and that the default policy refuses nothing.

What strictness does about each attack is tried in tests/abi/test_attacks.py.
"""

from __future__ import annotations

import pytest

from pypkcs11.core.config import Config
from pypkcs11.core.policy import Policy, Strict, _strength, policy_of
from pypkcs11.core.templates import Origin
from pypkcs11.mechanisms.parameters import RsaAesWrap, RsaOaep
from pypkcs11.mechanisms.registry import Key
from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.standard import constants as c
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Value

MECHANISMS = mechanisms()


@pytest.mark.parametrize(
    ("key_type", "bits", "strength"),
    [
        (c.CKK_AES, 128, 128),
        (c.CKK_AES, 256, 256),
        (c.CKK_GENERIC_SECRET, 8, 8),
        (c.CKK_GENERIC_SECRET, 4096, 256),
        (c.CKK_RSA, 1024, 80),
        (c.CKK_RSA, 2048, 112),
        (c.CKK_RSA, 3072, 128),
        (c.CKK_RSA, 4096, 128),
        (c.CKK_RSA, 16384, 256),
        (c.CKK_DES, 64, 56),
        (c.CKK_DES2, 128, 80),
        (c.CKK_DES3, 192, 112),
        (c.CKK_AES_XTS, 256, 128),
        (c.CKK_AES_XTS, 512, 256),
        (c.CKK_EC, 256, 128),
        (c.CKK_EC, 521, 256),
        (c.CKK_EC_EDWARDS, 255, 128),
        (c.CKK_EC_MONTGOMERY, 448, 224),
    ],
)
def test_strength(key_type: int, bits: int, strength: int) -> None:
    assert _strength(Key(key_type, bits, None)) == strength


def test_a_temporary_key_is_as_weak_as_its_size() -> None:
    parameter = RsaAesWrap(128, RsaOaep(c.CKM_SHA256, c.CKG_MGF1_SHA256, b""))
    strong, target = Key(c.CKK_RSA, 16384, None), Key(c.CKK_AES, 256, b"")
    Strict().check_strength(strong, parameter._replace(aes_bits=256), target)
    with pytest.raises(CryptokiError) as caught:
        Strict().check_strength(strong, parameter, target)
    assert caught.value.rv == c.CKR_WRAPPING_KEY_SIZE_RANGE


def test_the_default_permits_and_changes_nothing() -> None:
    policy = policy_of(Config(tokens_directory="/nowhere"))
    assert type(policy) is Policy
    attributes: dict[int, Value] = {
        c.CKA_CLASS: c.CKO_SECRET_KEY,
        c.CKA_WRAP: True,
        c.CKA_DECRYPT: True,
        c.CKA_EXTRACTABLE: True,
        c.CKA_SENSITIVE: False,
    }
    before = dict(attributes)
    for origin in Origin:
        policy.new(origin, set(), attributes)
    policy.pair(attributes, attributes)
    policy.change(attributes, [(c.CKA_SIGN, True)])
    row = MECHANISMS[c.CKM_AES_ECB]
    policy.wrap(row, attributes, attributes)
    policy.unwrap(row, attributes, [(c.CKA_SIGN, True)])
    policy.check_strength(Key(c.CKK_AES, 128, b""), None, Key(c.CKK_AES, 256, b""))
    assert attributes == before
    assert policy.derive(MECHANISMS[c.CKM_EXTRACT_KEY_FROM_KEY], None, [attributes]) is True
    assert policy.derive(MECHANISMS[c.CKM_ECDH1_DERIVE], None, [attributes]) is False


def test_it_is_configured() -> None:
    policy = policy_of(Config(tokens_directory="/nowhere", policy_strict=True))
    assert type(policy) is Strict
