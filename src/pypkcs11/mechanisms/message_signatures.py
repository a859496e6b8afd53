"""Signing and verifying message by message (PKCS #11 v3.2, sections 5.14 and 5.16).

The standard names no mechanism that takes a parameter with each message. So every mechanism serves
whose own parameter says the same of all messages; each message is an operation like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NoReturn

from pypkcs11.mechanisms.operation import (
    GatheredSignature,
    GatheredVerification,
    Signature,
    Verification,
    unsaveable,
)
from pypkcs11.mechanisms.parameters import (
    Eddsa,
    HashSignContext,
    MacGeneral,
    RsaPss,
    SignContext,
)
from pypkcs11.mechanisms.registry import Key, Mechanism
from pypkcs11.standard.constants import CKM_POLY1305
from pypkcs11.standard.values import Buffer

#: Parameters under which any number of messages may be signed. One with a nonce is not among them.
REPEATABLE: Final = frozenset({None, MacGeneral, RsaPss, Eddsa, SignContext, HashSignContext})

#: Mechanisms whose keys authenticate one message only (RFC 8439, section 2.5).
ONE_TIME: Final = frozenset({CKM_POLY1305})


class _WholeSignature(GatheredSignature):
    """A message in parts, for a mechanism that takes one part only."""

    __slots__ = ("_whole",)

    def __init__(self, whole: Signature) -> None:
        super().__init__()
        self._whole = whole
        self.length = whole.length

    def sign(self, data: Buffer) -> bytes:
        return self._whole.sign(data)


class _WholeVerification(GatheredVerification):
    """The same for a verification."""

    __slots__ = ("_whole",)

    def __init__(self, whole: Verification) -> None:
        super().__init__()
        self._whole = whole

    def verify(self, data: Buffer, signature: Buffer) -> None:
        self._whole.verify(data, signature)


class MessageSigning:
    """Signatures of one message after the other.

    The first operation is made at once, to see whether the parameter is good.
    """

    __slots__ = ("_make", "_spare")

    def __init__(self, sign: Callable[[Key, Any], Signature], key: Key, parameter: Any) -> None:
        self._make = partial(sign, key, parameter)
        self._spare: Signature | None = self._make()

    def begin(self) -> Signature:
        """The operation for the next message."""
        made = self._spare or self._make()
        self._spare = None
        return _WholeSignature(made) if type(made).update is Signature.update else made

    def keep(self, unused: Signature) -> None:
        """Take back an operation that has not been given anything."""
        self._spare = unused

    def copy(self) -> NoReturn:
        raise unsaveable()


class MessageVerifying:
    """The same for verifications."""

    __slots__ = ("_make", "_spare")

    def __init__(
        self, verify: Callable[[Key, Any], Verification], key: Key, parameter: Any
    ) -> None:
        self._make = partial(verify, key, parameter)
        self._spare: Verification | None = self._make()

    def begin(self) -> Verification:
        """The operation for the next message."""
        made = self._spare or self._make()
        self._spare = None
        return _WholeVerification(made) if type(made).update is Verification.update else made

    def copy(self) -> NoReturn:
        raise unsaveable()


def with_messages(row: Mechanism) -> Mechanism:
    """A row, able to sign and verify message by message if its parameter allows it."""
    if row.parameter not in REPEATABLE or row.type in ONE_TIME:
        return row
    if row.sign is None and row.verify is None:
        return row
    return row._replace(
        message_sign=row.sign and partial(MessageSigning, row.sign),
        message_verify=row.verify and partial(MessageVerifying, row.verify),
    )
