"""Private keys of ML-DSA and ML-KEM in expanded form (FIPS 204 and FIPS 203, sk and dk).

The standard's CKA_VALUE of such a key. What ``cryptography`` offers knows the seed only; the
libcrypto in it writes a PrivateKeyInfo with both, and is asked for that through the bindings that
pyOpenSSL uses for the same purpose. Nothing is computed here.
"""

from __future__ import annotations

from typing import Any

from pypkcs11.mechanisms import der, pkcs8
from pypkcs11.standard.constants import CKR_FUNCTION_FAILED
from pypkcs11.standard.errors import CryptokiError


def expanded(info: bytes) -> bytes:
    """The expanded form of a key.

    :param info: a PrivateKeyInfo with the key's seed.
    :raises CryptokiError: CKR_FUNCTION_FAILED if the library beneath cannot tell.
    """
    try:
        forms = pkcs8.sequence(pkcs8.decode(_rewritten(info))[2])
    except CryptokiError:
        raise _failed() from None
    if [tag for tag, _ in forms] != [der.OCTET_STRING, der.OCTET_STRING]:
        raise _failed()
    return forms[1][1]


def _rewritten(info: bytes) -> bytes:
    """A PrivateKeyInfo as libcrypto writes it."""
    # Here, because few processes make such a key, and the bindings take a while to load.
    from cryptography.hazmat.bindings.openssl.binding import Binding

    lib: Any = Binding.lib
    ffi: Any = Binding.ffi
    memory = ffi.from_buffer(info)  # which the source only points to
    source = ffi.gc(lib.BIO_new_mem_buf(memory, len(info)), lib.BIO_free)
    target = ffi.gc(lib.BIO_new(lib.BIO_s_mem()), lib.BIO_free)
    key = lib.d2i_PrivateKey_bio(source, ffi.NULL)
    try:
        if not key or lib.i2d_PrivateKey_bio(target, key) != 1:
            lib.ERR_clear_error()  # what is left there, the next caller would take for its own
            raise _failed()
        start = ffi.new("char **")
        length = lib.BIO_get_mem_data(target, start)
        return bytes(ffi.buffer(start[0], length))
    finally:
        lib.EVP_PKEY_free(key)


def _failed() -> CryptokiError:
    return CryptokiError(CKR_FUNCTION_FAILED, "the library beneath does not expand the key")
