"""The public key of a private one (PKCS #11 v3.2, section 6.43.9)."""

from __future__ import annotations

from collections.abc import Sequence

from pypkcs11.mechanisms.families import known_key_types
from pypkcs11.mechanisms.registry import BITS, Derived, Key, Material, Mechanism
from pypkcs11.standard.constants import CKM_PUB_KEY_FROM_PRIV_KEY, CKO_PUBLIC_KEY

_PUBLIC = {row.type: row.public for row in known_key_types() if row.public is not None}

#: Bits of any key.
_SIZES = (1, 1 << 20)


def derive(
    key: Key, parameter: None, lengths: Sequence[int | None], others: Sequence[Key]
) -> Material:
    """The attributes with which the public key would be created."""
    return Material((_PUBLIC[key.type](key),))


MECHANISMS = (
    Mechanism(
        type=CKM_PUB_KEY_FROM_PRIV_KEY,
        key_types=tuple(_PUBLIC),
        sizes=_SIZES,
        unit=BITS,
        derive_many=derive,
        derived=Derived(object_class=CKO_PUBLIC_KEY),
    ),
)
