"""The pseudo-random functions of TLS (RFC 2246 and RFC 5246, both in section 5)."""

from __future__ import annotations

from cryptography.hazmat.primitives.hmac import HMAC

from pypkcs11.mechanisms.digests import HASHES, HashFunction
from pypkcs11.standard.constants import CKM_MD5, CKM_SHA_1, CKM_TLS_PRF, CKR_MECHANISM_PARAM_INVALID
from pypkcs11.standard.errors import CryptokiError


def prf(mechanism: int, secret: bytes, label: bytes, seed: bytes, length: int) -> bytes:
    """As many octets of a PRF as asked for.

    :param mechanism: the CKM_ of a digest for the PRF of TLS 1.2 with it, or CKM_TLS_PRF for that
        of TLS 1.0 and 1.1.
    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for another.
    """
    seed = label + seed
    if mechanism == CKM_TLS_PRF:
        half = (len(secret) + 1) // 2
        md5 = _expand(HASHES[CKM_MD5], secret[:half], seed, length)
        sha1 = _expand(HASHES[CKM_SHA_1], secret[len(secret) - half :], seed, length)
        return bytes(a ^ b for a, b in zip(md5, sha1, strict=True))
    function = HASHES.get(mechanism)
    if function is None:
        raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, "no such digest for the PRF")
    return _expand(function, secret, seed, length)


def _expand(function: HashFunction, secret: bytes, seed: bytes, length: int) -> bytes:
    """P_hash: HMACs of A(1), A(2) and so on, each with the seed, where A(i) = HMAC(A(i-1))."""
    keyed = HMAC(secret, function.algorithm)

    def mac(data: bytes) -> bytes:
        context = keyed.copy()
        context.update(data)
        return context.finalize()

    result, chain = b"", seed
    while len(result) < length:
        chain = mac(chain)
        result += mac(chain + seed)
    return result[:length]
