"""AES-CMAC (PKCS #11 v3.2, section 6.16; NIST SP 800-38B)."""

from __future__ import annotations

from pypkcs11.mechanisms.aes_contexts import BLOCK, contexts
from pypkcs11.mechanisms.macs import MacSignature, MacVerification, mac_length
from pypkcs11.mechanisms.operation import Signature, Verification
from pypkcs11.mechanisms.parameters import MacGeneral
from pypkcs11.mechanisms.registry import Key


def sign(key: Key, parameter: MacGeneral | None) -> Signature:
    length = mac_length(parameter, BLOCK)
    return MacSignature(contexts(key).cmac.copy(), length)


def verify(key: Key, parameter: MacGeneral | None) -> Verification:
    length = mac_length(parameter, BLOCK)
    return MacVerification(contexts(key).cmac.copy(), length)
