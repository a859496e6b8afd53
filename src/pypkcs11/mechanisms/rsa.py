"""The rows of every RSA mechanism (PKCS #11 v3.2, section 6.1)."""

from __future__ import annotations

from functools import partial

from pypkcs11.mechanisms import rsa_key_wrap, rsa_keys, rsa_x509
from pypkcs11.mechanisms import rsa_schemes as schemes
from pypkcs11.mechanisms.digests import HASHES, HashFunction
from pypkcs11.mechanisms.key_wrap import unwrap_by, wrap_by
from pypkcs11.mechanisms.parameters import RsaAesWrap, RsaOaep, RsaPss
from pypkcs11.mechanisms.registry import ALL_KEYS, Mechanism, Payload
from pypkcs11.mechanisms.rsa_encapsulation import decapsulate_by, encapsulate_by
from pypkcs11.standard.constants import (
    CKK_RSA,
    CKM_MD5,
    CKM_MD5_RSA_PKCS,
    CKM_RSA_AES_KEY_WRAP,
    CKM_RSA_PKCS,
    CKM_RSA_PKCS_KEY_PAIR_GEN,
    CKM_RSA_PKCS_OAEP,
    CKM_RSA_PKCS_PSS,
    CKM_SHA1_RSA_PKCS,
    CKM_SHA1_RSA_PKCS_PSS,
    CKM_SHA3_224,
    CKM_SHA3_224_RSA_PKCS,
    CKM_SHA3_224_RSA_PKCS_PSS,
    CKM_SHA3_256,
    CKM_SHA3_256_RSA_PKCS,
    CKM_SHA3_256_RSA_PKCS_PSS,
    CKM_SHA3_384,
    CKM_SHA3_384_RSA_PKCS,
    CKM_SHA3_384_RSA_PKCS_PSS,
    CKM_SHA3_512,
    CKM_SHA3_512_RSA_PKCS,
    CKM_SHA3_512_RSA_PKCS_PSS,
    CKM_SHA224,
    CKM_SHA224_RSA_PKCS,
    CKM_SHA224_RSA_PKCS_PSS,
    CKM_SHA256,
    CKM_SHA256_RSA_PKCS,
    CKM_SHA256_RSA_PKCS_PSS,
    CKM_SHA384,
    CKM_SHA384_RSA_PKCS,
    CKM_SHA384_RSA_PKCS_PSS,
    CKM_SHA512,
    CKM_SHA512_RSA_PKCS,
    CKM_SHA512_RSA_PKCS_PSS,
    CKM_SHA_1,
)

KEY_TYPES = rsa_keys.KEY_TYPES

_KEYS = (CKK_RSA,)
_SIZES = rsa_keys.SIZES

#: Digest, the mechanism with v1.5 padding, the one with PSS (MD5 has none).
_HASHED = (
    (CKM_MD5, CKM_MD5_RSA_PKCS, None),
    (CKM_SHA_1, CKM_SHA1_RSA_PKCS, CKM_SHA1_RSA_PKCS_PSS),
    (CKM_SHA224, CKM_SHA224_RSA_PKCS, CKM_SHA224_RSA_PKCS_PSS),
    (CKM_SHA256, CKM_SHA256_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS),
    (CKM_SHA384, CKM_SHA384_RSA_PKCS, CKM_SHA384_RSA_PKCS_PSS),
    (CKM_SHA512, CKM_SHA512_RSA_PKCS, CKM_SHA512_RSA_PKCS_PSS),
    (CKM_SHA3_224, CKM_SHA3_224_RSA_PKCS, CKM_SHA3_224_RSA_PKCS_PSS),
    (CKM_SHA3_256, CKM_SHA3_256_RSA_PKCS, CKM_SHA3_256_RSA_PKCS_PSS),
    (CKM_SHA3_384, CKM_SHA3_384_RSA_PKCS, CKM_SHA3_384_RSA_PKCS_PSS),
    (CKM_SHA3_512, CKM_SHA3_512_RSA_PKCS, CKM_SHA3_512_RSA_PKCS_PSS),
)


def _pkcs1(mechanism: int, function: HashFunction) -> Mechanism:
    return Mechanism(
        type=mechanism,
        key_types=_KEYS,
        sizes=_SIZES,
        sign=schemes.hashed_pkcs1_sign(function),
        verify=schemes.hashed_pkcs1_verify(function),
    )


def _pss(mechanism: int, function: HashFunction) -> Mechanism:
    return Mechanism(
        type=mechanism,
        key_types=_KEYS,
        sizes=_SIZES,
        parameter=RsaPss,
        sign=partial(schemes.hashed_pss_sign, function),
        verify=partial(schemes.hashed_pss_verify, function),
    )


MECHANISMS = (
    Mechanism(
        type=CKM_RSA_PKCS_KEY_PAIR_GEN,
        key_types=_KEYS,
        sizes=_SIZES,
        generate_pair=rsa_keys.generate,
        strong=2048,
    ),
    Mechanism(
        type=CKM_RSA_PKCS,
        key_types=_KEYS,
        sizes=_SIZES,
        sign=schemes.pkcs1_sign,
        verify=schemes.pkcs1_verify,
        encrypt=schemes.pkcs1_encrypt,
        decrypt=schemes.pkcs1_decrypt,
        wrap=partial(wrap_by, schemes.pkcs1_encrypt),
        unwrap=partial(unwrap_by, schemes.pkcs1_decrypt),
        encapsulate=partial(encapsulate_by, schemes.pkcs1_encrypt),
        decapsulate=partial(decapsulate_by, schemes.pkcs1_decrypt),
        sign_recover=schemes.pkcs1_sign,
        verify_recover=schemes.pkcs1_recover,
    ),
    rsa_x509.row(),
    Mechanism(
        type=CKM_RSA_PKCS_PSS,
        key_types=_KEYS,
        sizes=_SIZES,
        parameter=RsaPss,
        sign=schemes.pss_sign,
        verify=schemes.pss_verify,
    ),
    Mechanism(
        type=CKM_RSA_PKCS_OAEP,
        key_types=_KEYS,
        sizes=_SIZES,
        parameter=RsaOaep,
        encrypt=schemes.oaep_encrypt,
        decrypt=schemes.oaep_decrypt,
        wrap=partial(wrap_by, schemes.oaep_encrypt),
        unwrap=partial(unwrap_by, schemes.oaep_decrypt),
        payload=Payload(authentic=True),
        encapsulate=partial(encapsulate_by, schemes.oaep_encrypt),
        decapsulate=partial(decapsulate_by, schemes.oaep_decrypt),
    ),
    Mechanism(
        type=CKM_RSA_AES_KEY_WRAP,
        key_types=_KEYS,
        sizes=_SIZES,
        parameter=RsaAesWrap,
        wrap=rsa_key_wrap.wrap,
        unwrap=rsa_key_wrap.unwrap,
        payload=Payload(classes=ALL_KEYS, authentic=True),
    ),
    *(_pkcs1(pkcs1, HASHES[digest]) for digest, pkcs1, _ in _HASHED),
    *(_pss(pss, HASHES[digest]) for digest, _, pss in _HASHED if pss is not None),
)
