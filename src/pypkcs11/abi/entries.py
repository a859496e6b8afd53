"""Every entry point of the library, by the standard's chapters. Importing this registers them."""

from pypkcs11.abi import (
    ciphers,
    digests,
    dual,
    encapsulation,
    general,
    given_signatures,
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
    given_signatures,
    dual,
    keys,
    encapsulation,
    rng,
    parallel,
    unsupported,
)
