"""The functions that are not there yet. This is the one list of them.

Each answers CKR_FUNCTION_NOT_SUPPORTED, whatever it is given.
"""

from __future__ import annotations

from typing import Final

from _pypkcs11 import ffi

from pypkcs11.abi.errors import failed
from pypkcs11.standard.constants import CKR_FUNCTION_NOT_SUPPORTED

NOT_SUPPORTED: Final = (
    # asynchronous operations
    "C_AsyncComplete",
    "C_AsyncGetID",
    "C_AsyncJoin",
)


def _not_supported(*_arguments: object) -> int:
    return CKR_FUNCTION_NOT_SUPPORTED


for _name in NOT_SUPPORTED:
    ffi.def_extern(name=f"py_{_name}", error=CKR_FUNCTION_NOT_SUPPORTED, onerror=failed)(
        _not_supported
    )
