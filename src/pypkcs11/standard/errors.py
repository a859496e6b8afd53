"""The one exception that carries a CK_RV."""

from __future__ import annotations


class CryptokiError(Exception):
    """A call fails with a return code of the standard.

    :param rv: the ``CKR_`` code that the caller receives (PKCS #11 v3.2, section 5.1).
    :param reason: why, in a few words, for the log. Never a PIN, a key or any other secret.
    """

    def __init__(self, rv: int, reason: str = "") -> None:
        super().__init__(rv, reason)
        self.rv = rv
        self.reason = reason


class MediumError(CryptokiError):
    """What a token is kept on has failed, or does not hold what was put there.

    Nothing that the caller did wrong: the operator has to know of it. The reason names the file
    and the cause.
    """
