"""The functions that are not there yet. This is the one list of them.

Each answers CKR_FUNCTION_NOT_SUPPORTED, whatever it is given.
"""

from __future__ import annotations

from typing import Final

from _pypkcs11 import ffi

from pypkcs11.abi.errors import failed
from pypkcs11.standard.constants import CKR_FUNCTION_NOT_SUPPORTED

NOT_SUPPORTED: Final = (
    # digests, signatures and ciphers
    "C_SignRecoverInit",
    "C_SignRecover",
    "C_VerifyRecoverInit",
    "C_VerifyRecover",
    # keys
    "C_WrapKeyAuthenticated",
    "C_UnwrapKeyAuthenticated",
    # messages
    "C_MessageEncryptInit",
    "C_EncryptMessage",
    "C_EncryptMessageBegin",
    "C_EncryptMessageNext",
    "C_MessageEncryptFinal",
    "C_MessageDecryptInit",
    "C_DecryptMessage",
    "C_DecryptMessageBegin",
    "C_DecryptMessageNext",
    "C_MessageDecryptFinal",
    "C_MessageSignInit",
    "C_SignMessage",
    "C_SignMessageBegin",
    "C_SignMessageNext",
    "C_MessageSignFinal",
    "C_MessageVerifyInit",
    "C_VerifyMessage",
    "C_VerifyMessageBegin",
    "C_VerifyMessageNext",
    "C_MessageVerifyFinal",
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
