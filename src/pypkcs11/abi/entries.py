"""Every entry point of the library, by the standard's chapters. Importing this registers them."""

from pypkcs11.abi import (
    ciphers,
    digests,
    dual,
    general,
    keys,
    objects,
    parallel,
    rng,
    sessions,
    signatures,
    slots,
    unsupported,
)

CHAPTERS = (
    general,
    slots,
    sessions,
    objects,
    ciphers,
    digests,
    signatures,
    dual,
    keys,
    rng,
    parallel,
    unsupported,
)
