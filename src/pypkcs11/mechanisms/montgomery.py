"""Keys for X25519 and X448 (PKCS #11 v3.2, section 6.3.7, 6.3.8 and 6.3.11; RFC 7748).

What is done with these keys is in ``ecdh``.
"""

from __future__ import annotations

from typing import Any

from pypkcs11.mechanisms.curves import Curve
from pypkcs11.mechanisms.octet_keys import FLAGS, SIZES, Kind, OctetKeys
from pypkcs11.mechanisms.registry import Key, Mechanism
from pypkcs11.standard.constants import CKK_EC_MONTGOMERY, CKM_EC_MONTGOMERY_KEY_PAIR_GEN

#: A PrintableString of one octet more than there are: pkcs11-tool of OpenSC 0.23 writes this.
_OPENSC_CURVE25519 = b"\x13\x0bcurve25519"

_KEYS = OctetKeys(
    CKK_EC_MONTGOMERY,
    (
        Curve(
            "1.3.101.110",
            255,
            Kind("X25519", 32),
            ("curve25519", "X25519"),
            (_OPENSC_CURVE25519,),
        ),
        Curve("1.3.101.111", 448, Kind("X448", 56), ("curve448", "X448")),
    ),
)
KEY_TYPES = _KEYS.rows()


def exchange(key: Key, public: bytes) -> bytes:
    """The secret that a private key shares with a public one.

    :raises CryptokiError: for octets of another length.
    :raises ValueError: for a public key of small order, with which every secret is zero.
    """
    other = _KEYS.public_key(_KEYS.by_bits[key.bits], public)
    secret: bytes = key.value.exchange(other)
    return secret


def generate(key: Key) -> Any:
    """A new private key on the curve of another."""
    return _KEYS.by_bits[key.bits].kind.private().generate()


MECHANISMS = (
    Mechanism(
        type=CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
        key_types=(CKK_EC_MONTGOMERY,),
        sizes=SIZES,
        extra_flags=FLAGS,
        generate_pair=_KEYS.generate,
    ),
)
