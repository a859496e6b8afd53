"""What a mechanism gives to whoever uses it: a digest, a signature, a verification or a cipher.

An operation is made for one use by a mechanism's row, out of a key and a parameter, and knows
neither the session nor the C caller. Calls raise :class:`~pypkcs11.standard.errors.CryptokiError`
with the code that the standard lists for the function; an operation that has raised is not used
again. "One part" and "multi-part" are the terms of PKCS #11 v3.2, section 5.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from typing import Any, Self, TypeVar

from pypkcs11.standard.constants import CKR_OPERATION_NOT_INITIALIZED, CKR_STATE_UNSAVEABLE
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer


def single_part_only() -> CryptokiError:
    """What a part of a message meets where the standard allows the mechanism one part only."""
    return CryptokiError(
        CKR_OPERATION_NOT_INITIALIZED, "the mechanism takes its data in one part only"
    )


def unsaveable() -> CryptokiError:
    """What C_GetOperationState meets where the state of an operation cannot be copied."""
    return CryptokiError(CKR_STATE_UNSAVEABLE, "the operation's state cannot be copied")


_Operation = TypeVar("_Operation")


#: How much is wiped at a time.
_ZEROS = bytes(1 << 16)


def wipe(memory: memoryview) -> None:
    """Write zeros over what nobody may see."""
    for at in range(0, len(memory), len(_ZEROS)):
        piece = memory[at : at + len(_ZEROS)]
        piece[:] = _ZEROS[: len(piece)]


def with_own_context(operation: _Operation, field: str = "_context") -> _Operation:
    """Return a copy of an operation whose state is all in one field with a ``copy()`` of its own.

    That is a hash or MAC context, or what has been gathered; None where there is nothing yet.
    """
    twin = copy(operation)
    state: Any = getattr(operation, field)
    if state is not None:
        setattr(twin, field, state.copy())
    return twin


class _Saveable:
    """What every operation but few can do."""

    __slots__ = ()

    def copy(self) -> Self:
        """Return another operation that goes on from here by itself.

        :raises CryptokiError: CKR_STATE_UNSAVEABLE where that cannot be.
        """
        raise unsaveable()


class Digest(_Saveable, ABC):
    """A digest in progress. ``length`` is the digest's, in octets."""

    __slots__ = ("length",)
    length: int

    def digest(self, data: Buffer) -> bytes:
        """Digest ``data`` in one part."""
        self.update(data)
        return self.finish()

    @abstractmethod
    def update(self, data: Buffer) -> None:
        """Take the next part."""

    @abstractmethod
    def finish(self) -> bytes:
        """Return the digest of all parts."""


class Signature(_Saveable, ABC):
    """A signature or MAC in the making. ``length`` is the signature's, in octets."""

    __slots__ = ("length",)
    length: int

    @abstractmethod
    def sign(self, data: Buffer) -> bytes:
        """Sign ``data`` in one part."""

    def update(self, data: Buffer) -> None:
        """Take the next part."""
        raise single_part_only()

    def finish(self) -> bytes:
        """Return the signature of all parts."""
        raise single_part_only()


class Verification(_Saveable, ABC):
    """A signature or MAC being verified.

    A signature of the wrong length raises CKR_SIGNATURE_LEN_RANGE, a wrong one
    CKR_SIGNATURE_INVALID; what returns has verified.
    """

    __slots__ = ()

    @abstractmethod
    def verify(self, data: Buffer, signature: Buffer) -> None:
        """Verify the signature of ``data`` in one part."""

    def update(self, data: Buffer) -> None:
        """Take the next part."""
        raise single_part_only()

    def finish(self, signature: Buffer) -> None:
        """Verify the signature of all parts."""
        raise single_part_only()


class Recovery(_Saveable, ABC):
    """A signature being verified that carries its data."""

    __slots__ = ()

    @abstractmethod
    def recover(self, signature: Buffer) -> bytes:
        """Verify ``signature`` and return what was signed.

        :raises CryptokiError: CKR_SIGNATURE_LEN_RANGE, CKR_SIGNATURE_INVALID.
        """


class GatheredSignature(Signature):
    """A signature that needs the message whole: its parts are gathered until it is."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: bytearray | None = None

    def copy(self) -> Self:
        return with_own_context(self, "_parts")

    def update(self, data: Buffer) -> None:
        if self._parts is None:
            self._parts = bytearray()
        self._parts += data

    def finish(self) -> bytes:
        return self.sign(self._parts or b"")


class GatheredVerification(Verification):
    """The same for a verification."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: bytearray | None = None

    def copy(self) -> Self:
        return with_own_context(self, "_parts")

    def update(self, data: Buffer) -> None:
        if self._parts is None:
            self._parts = bytearray()
        self._parts += data

    def finish(self, signature: Buffer) -> None:
        self.verify(self._parts or b"", signature)


class Cipher(_Saveable, ABC):
    """An encryption or a decryption in progress.

    Lengths are in octets and are asked before the work is done, so that a caller whose buffer is
    too small loses nothing (PKCS #11 v3.2, section 5.2). ``exact`` says whether
    :meth:`output_length` and :meth:`finish_length` are the true lengths or upper bounds of them
    (padding that has not been seen yet); :meth:`update_length` always is the true one.
    """

    __slots__ = ()
    exact: bool = True

    @abstractmethod
    def output_length(self, length: int) -> int:
        """How much :meth:`run` gives for ``length`` octets."""

    @abstractmethod
    def run(self, data: Buffer) -> bytes:
        """Process ``data`` in one part. May be called again, with the same answer."""

    def run_into(self, data: Buffer, out: memoryview) -> int:
        """As :meth:`run`, into ``out`` of at least ``output_length(len(data))`` octets.

        ``out`` may be the very memory of ``data`` (in place). Returns the octets written.
        """
        result = self.run(data)
        out[: len(result)] = result
        return len(result)

    def update_length(self, length: int) -> int:
        """How much :meth:`update_into` will give for ``length`` more octets."""
        raise single_part_only()

    def update_into(self, data: Buffer, out: memoryview) -> int:
        """Process the next part into ``out``, and return the octets written."""
        raise single_part_only()

    def finish_length(self) -> int:
        """How much :meth:`finish` gives."""
        raise single_part_only()

    def finish(self) -> bytes:
        """End the message and return its last octets. Called once."""
        raise single_part_only()

    def finish_into(self, out: memoryview) -> int:
        """As :meth:`finish`, into ``out`` of at least :meth:`finish_length` octets.

        Returns the octets written.
        """
        result = self.finish()
        out[: len(result)] = result
        return len(result)
