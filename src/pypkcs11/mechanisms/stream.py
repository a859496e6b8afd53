"""Ciphers that give as many octets as they take: stream ciphers, and the feedback modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pypkcs11.mechanisms.operation import Cipher
from pypkcs11.standard.values import Buffer


class Stream(Protocol):
    """A cipher context of ``cryptography``, or what does as it does."""

    def update(self, data: Any) -> bytes: ...
    def update_into(self, data: Any, buf: Any) -> int: ...


class StreamCipher(Cipher):
    """Encryption or decryption. Each message has a context of its own.

    :param make: gives a context at the start of the message.
    """

    __slots__ = ("_context", "_make")

    def __init__(self, make: Callable[[], Stream]) -> None:
        self._make = make
        self._context: Stream | None = None

    def output_length(self, length: int) -> int:
        return length

    def run(self, data: Buffer) -> bytes:
        return self._make().update(data)

    def run_into(self, data: Buffer, out: memoryview) -> int:
        return self._make().update_into(data, out)

    def update_length(self, length: int) -> int:
        return length

    def update_into(self, data: Buffer, out: memoryview) -> int:
        context = self._context
        if context is None:
            context = self._context = self._make()
        return context.update_into(data, out)

    def finish_length(self) -> int:
        return 0

    def finish(self) -> bytes:
        return b""
