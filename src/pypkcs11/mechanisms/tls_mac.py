"""The MAC in the "finished" message of TLS (PKCS #11 v3.2, section 6.40.3)."""

from __future__ import annotations

# As in macs.
from _operator import _compare_digest as equal_in_constant_time
from typing import Final

from pypkcs11.mechanisms.generic import LONGEST
from pypkcs11.mechanisms.operation import GatheredSignature, GatheredVerification
from pypkcs11.mechanisms.parameters import TlsMac
from pypkcs11.mechanisms.registry import BYTES, Key, Mechanism
from pypkcs11.mechanisms.tls_prf import prf
from pypkcs11.standard.constants import (
    CKK_GENERIC_SECRET,
    CKM_TLS12_MAC,
    CKM_TLS_MAC,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer

_LABELS: Final = {1: b"server finished", 2: b"client finished"}

#: Octets of the shortest and the longest.
_SHORTEST: Final = 12
_LONGEST: Final = 1024


class _Mac:
    """What the messages so far, digested by the caller, give with the master secret."""

    __slots__ = ("_key", "_label", "_prf", "length")

    def __init__(self, key: Key, parameter: TlsMac) -> None:
        label = _LABELS.get(parameter.sender)
        if label is None or not _SHORTEST <= parameter.length <= _LONGEST:
            raise CryptokiError(CKR_MECHANISM_PARAM_INVALID, "no such sender, or no such length")
        self.length = parameter.length
        self._key, self._label, self._prf = key, label, parameter.prf
        self(b"")  # is there such a PRF?

    def __call__(self, data: Buffer) -> bytes:
        return prf(self._prf, self._key.value, self._label, bytes(data), self.length)


class TlsSignature(GatheredSignature):
    __slots__ = ("_mac",)

    def __init__(self, key: Key, parameter: TlsMac) -> None:
        super().__init__()
        self._mac = _Mac(key, parameter)
        self.length = parameter.length

    def sign(self, data: Buffer) -> bytes:
        return self._mac(data)


class TlsVerification(GatheredVerification):
    __slots__ = ("_mac",)

    def __init__(self, key: Key, parameter: TlsMac) -> None:
        super().__init__()
        self._mac = _Mac(key, parameter)

    def verify(self, data: Buffer, signature: Buffer) -> None:
        if len(signature) != self._mac.length:
            raise CryptokiError(CKR_SIGNATURE_LEN_RANGE, f"the MAC has {self._mac.length} octets")
        if not equal_in_constant_time(self._mac(data), signature):
            raise CryptokiError(CKR_SIGNATURE_INVALID, "the MAC is another")


MECHANISMS = tuple(
    Mechanism(
        type=mechanism,
        key_types=(CKK_GENERIC_SECRET,),
        sizes=(1, LONGEST),
        unit=BYTES,
        parameter=TlsMac,
        sign=TlsSignature,
        verify=TlsVerification,
    )
    for mechanism in (CKM_TLS_MAC, CKM_TLS12_MAC)
)
