"""What a mechanism gives to whoever uses it: a digest, a signature, a verification or a cipher.

An operation is made for one use by a mechanism's row, out of a key and a parameter, and knows
neither the session nor the C caller. Calls raise :class:`~pypkcs11.standard.errors.CryptokiError`
with the code that the standard lists for the function; an operation that has raised is not used
again. "One part" and "multi-part" are the terms of PKCS #11 v3.2, section 5.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from pypkcs11.standard.constants import CKR_OPERATION_NOT_INITIALIZED
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Buffer


def single_part_only() -> CryptokiError:
    """What a part of a message meets where the standard allows the mechanism one part only."""
    return CryptokiError(
        CKR_OPERATION_NOT_INITIALIZED, "the mechanism takes its data in one part only"
    )


class Digest(ABC):
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


class Signature(ABC):
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


class Verification(ABC):
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


class Cipher(ABC):
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
