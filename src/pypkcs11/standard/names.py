"""The names of constants, for logs and messages: the tables are made when first asked."""

from __future__ import annotations

from functools import cache


def name_of(prefix: str, number: int) -> str:
    """Return the name of `number` among the constants of a prefix such as "CKR" or "CKM".

    A number of the vendors' range gets CKR_VENDOR_DEFINED and its offset; one without a name gets
    the prefix and the number in hexadecimal. Where a prefix has one number twice (CKF and CKP have
    several families each), the first in the standard's header is returned.
    """
    names = _names(prefix)
    name = names.get(number)
    if name is not None:
        return name
    vendor = _vendor(prefix)
    if vendor is not None and number >= vendor:
        return f"{prefix}_VENDOR_DEFINED+0x{number - vendor:x}"
    return f"{prefix}_0x{number:x}"


@cache
def _names(prefix: str) -> dict[int, str]:
    from pypkcs11.standard import constants

    names: dict[int, str] = {}
    for name, number in vars(constants).items():
        if name.startswith(f"{prefix}_") and name not in constants.ALIASES:
            names.setdefault(number, name)
    return names


def _vendor(prefix: str) -> int | None:
    from pypkcs11.standard import constants

    number: int | None = getattr(constants, f"{prefix}_VENDOR_DEFINED", None)
    return number
