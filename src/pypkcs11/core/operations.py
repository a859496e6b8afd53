"""Cryptographic functions that a session can have active, and what lets one begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pypkcs11.core.objects import Object
from pypkcs11.mechanisms.registry import Key, Mechanism
from pypkcs11.standard.constants import (
    CKA_ALLOWED_MECHANISMS,
    CKA_ALWAYS_AUTHENTICATE,
    CKA_CLASS,
    CKA_DECRYPT,
    CKA_DERIVE,
    CKA_ENCRYPT,
    CKA_EXTRACTABLE,
    CKA_KEY_TYPE,
    CKA_SENSITIVE,
    CKA_SIGN,
    CKA_SIGN_RECOVER,
    CKA_UNWRAP,
    CKA_VALUE,
    CKA_VERIFY,
    CKA_VERIFY_RECOVER,
    CKA_WRAP,
    CKM_MD5,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    CKO_SECRET_KEY,
    CKR_KEY_FUNCTION_NOT_PERMITTED,
    CKR_KEY_HANDLE_INVALID,
    CKR_KEY_INDIGESTIBLE,
    CKR_KEY_SIZE_RANGE,
    CKR_KEY_TYPE_INCONSISTENT,
    CKR_MECHANISM_INVALID,
    CKR_UNWRAPPING_KEY_HANDLE_INVALID,
    CKR_UNWRAPPING_KEY_SIZE_RANGE,
    CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
    CKR_USER_NOT_LOGGED_IN,
    CKR_WRAPPING_KEY_HANDLE_INVALID,
    CKR_WRAPPING_KEY_SIZE_RANGE,
    CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
)
from pypkcs11.standard.errors import CryptokiError

if TYPE_CHECKING:
    from pypkcs11.core.logins import Login


#: The classes of keys that operations may be given.
KEYS: Final = frozenset({CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY})


class Function:
    """A cryptographic function: its field in a mechanism's row, and the keys that may do it.

    :param name: the field of :class:`~pypkcs11.mechanisms.registry.Mechanism`.
    :param usage: the attribute that must be true on the key; 0 for none.
    :param classes: the object classes of the keys.
    :param wrong_handle: the code for a handle that is no key's.
    :param wrong_type: the code for a key that the mechanism does not take.
    :param wrong_size: the code for a key that is too small or too large.
    """

    __slots__ = ("classes", "name", "usage", "wrong_handle", "wrong_size", "wrong_type")

    def __init__(
        self,
        name: str,
        usage: int = 0,
        classes: frozenset[int] = frozenset(),
        wrong_handle: int = CKR_KEY_HANDLE_INVALID,
        wrong_type: int = CKR_KEY_TYPE_INCONSISTENT,
        wrong_size: int = CKR_KEY_SIZE_RANGE,
    ) -> None:
        self.name = name
        self.usage = usage
        self.classes = classes
        self.wrong_handle = wrong_handle
        self.wrong_type = wrong_type
        self.wrong_size = wrong_size

    def __repr__(self) -> str:
        return self.name


DIGEST: Final = Function("digest")
ENCRYPT: Final = Function("encrypt", CKA_ENCRYPT, frozenset({CKO_PUBLIC_KEY, CKO_SECRET_KEY}))
DECRYPT: Final = Function("decrypt", CKA_DECRYPT, frozenset({CKO_PRIVATE_KEY, CKO_SECRET_KEY}))
SIGN: Final = Function("sign", CKA_SIGN, frozenset({CKO_PRIVATE_KEY, CKO_SECRET_KEY}))
VERIFY: Final = Function("verify", CKA_VERIFY, frozenset({CKO_PUBLIC_KEY, CKO_SECRET_KEY}))
#: Verification of a signature that is given at the beginning (C_VerifySignatureInit).
VERIFY_SIGNATURE: Final = Function("verify", CKA_VERIFY, VERIFY.classes)
SIGN_RECOVER: Final = Function("sign_recover", CKA_SIGN_RECOVER, frozenset({CKO_PRIVATE_KEY}))
VERIFY_RECOVER: Final = Function("verify_recover", CKA_VERIFY_RECOVER, frozenset({CKO_PUBLIC_KEY}))
MESSAGE_ENCRYPT: Final = Function("message_encrypt", CKA_ENCRYPT, ENCRYPT.classes)
MESSAGE_DECRYPT: Final = Function("message_decrypt", CKA_DECRYPT, DECRYPT.classes)
MESSAGE_SIGN: Final = Function("message_sign", CKA_SIGN, SIGN.classes)
MESSAGE_VERIFY: Final = Function("message_verify", CKA_VERIFY, VERIFY.classes)
DERIVE: Final = Function("derive", CKA_DERIVE, frozenset({CKO_PRIVATE_KEY, CKO_SECRET_KEY}))
DERIVE_MANY: Final = Function("derive_many", CKA_DERIVE, DERIVE.classes)
#: A public key from a private one: whatever else that may do (section 6.43.9).
PUBLISH: Final = Function("derive_many", 0, frozenset({CKO_PRIVATE_KEY}))
WRAP: Final = Function(
    "wrap",
    CKA_WRAP,
    frozenset({CKO_PUBLIC_KEY, CKO_SECRET_KEY}),
    CKR_WRAPPING_KEY_HANDLE_INVALID,
    CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
    CKR_WRAPPING_KEY_SIZE_RANGE,
)
UNWRAP: Final = Function(
    "unwrap",
    CKA_UNWRAP,
    frozenset({CKO_PRIVATE_KEY, CKO_SECRET_KEY}),
    CKR_UNWRAPPING_KEY_HANDLE_INVALID,
    CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
    CKR_UNWRAPPING_KEY_SIZE_RANGE,
)
WRAP_AUTHENTICATED: Final = Function(
    "wrap_authenticated",
    CKA_WRAP,
    WRAP.classes,
    CKR_WRAPPING_KEY_HANDLE_INVALID,
    CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
    CKR_WRAPPING_KEY_SIZE_RANGE,
)
UNWRAP_AUTHENTICATED: Final = Function(
    "unwrap_authenticated",
    CKA_UNWRAP,
    UNWRAP.classes,
    CKR_UNWRAPPING_KEY_HANDLE_INVALID,
    CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
    CKR_UNWRAPPING_KEY_SIZE_RANGE,
)

#: What a session may have active beside a function: the pairs of the dual-function functions
#: (section 5.17). Anything else, a search too, stands alone (section 5.1.6, CKR_OPERATION_ACTIVE).
COMPANIONS: Final = {
    DIGEST: frozenset({ENCRYPT, DECRYPT}),
    ENCRYPT: frozenset({DIGEST, SIGN}),
    DECRYPT: frozenset({DIGEST, VERIFY}),
    SIGN: frozenset({ENCRYPT}),
    VERIFY: frozenset({DECRYPT}),
}


class Active:
    """An operation that a session has active.

    ``row`` is its mechanism and ``key`` the object of its key, if it has one. ``login`` is the
    login during which a private key was given to it: the operation ends with it. ``started`` says
    that parts have been given, so that one-part calls are out of order. ``rest`` is output that is
    ready but found no room. ``unproven`` is set while a key with CKA_ALWAYS_AUTHENTICATE waits for
    its own C_Login. ``signature`` is to be verified, where it was given first. ``message`` is the
    message under way, of functions that go message by message.
    """

    __slots__ = (
        "key",
        "login",
        "message",
        "operation",
        "rest",
        "row",
        "signature",
        "started",
        "unproven",
    )

    def __init__(
        self,
        operation: Any,
        row: Mechanism,
        key: Object | None = None,
        login: Login | None = None,
        unproven: bool = False,
        signature: bytes = b"",
    ) -> None:
        self.operation = operation
        self.row = row
        self.key = key
        self.login = login
        self.started = False
        self.rest: bytes | None = None
        self.unproven = unproven
        self.signature = signature
        self.message: Any = None

    def end_message(self) -> None:
        """A message has ended, well or not: a key that asks for the PIN at each use asks again."""
        self.message = None
        self.unproven = self.key is not None and needs_own_login(self.key)


def check_does(function: Function, row: Mechanism) -> None:
    """:raises CryptokiError: CKR_MECHANISM_INVALID for a mechanism that has no such function."""
    if getattr(row, function.name) is None:
        raise CryptokiError(CKR_MECHANISM_INVALID, f"the mechanism does not {function}")


def check_key(function: Function, row: Mechanism, obj: Object) -> Key:
    """Let a key into an operation, and return it parsed.

    :raises CryptokiError: CKR_KEY_HANDLE_INVALID for what is no key, CKR_KEY_TYPE_INCONSISTENT and
        CKR_KEY_SIZE_RANGE (or what the function has in their place),
        CKR_KEY_FUNCTION_NOT_PERMITTED, and CKR_MECHANISM_INVALID for a mechanism that is not among
        CKA_ALLOWED_MECHANISMS.
    """
    attributes = obj.attributes
    if (
        attributes[CKA_CLASS] not in function.classes
        or attributes.get(CKA_KEY_TYPE) not in row.key_types
    ):
        if attributes[CKA_CLASS] not in KEYS:
            raise CryptokiError(function.wrong_handle, "not a key")
        raise CryptokiError(function.wrong_type, "not a key for this mechanism")
    if function.usage and not attributes.get(function.usage):
        raise CryptokiError(CKR_KEY_FUNCTION_NOT_PERMITTED, f"the key may not {function.name}")
    allowed = attributes.get(CKA_ALLOWED_MECHANISMS)
    if allowed and row.type not in allowed:  # type: ignore[operator]
        raise CryptokiError(CKR_MECHANISM_INVALID, "not among the key's CKA_ALLOWED_MECHANISMS")
    key = obj.key()
    smallest, largest = row.sizes
    if not smallest * row.unit <= key.bits <= largest * row.unit:
        raise CryptokiError(function.wrong_size, f"{key.bits} bits")
    return key


class Use:
    """A key let into a function by a mechanism, which its object remembers until it changes.

    ``make`` makes an operation of a parameter. ``private`` says whether the operation ends with
    the login, ``unproven`` whether it asks for the PIN.
    """

    __slots__ = ("make", "private", "unproven")

    def __init__(self, make: Callable[[Any], Any], obj: Object) -> None:
        self.make = make
        self.private = obj.private
        self.unproven = needs_own_login(obj)


#: Digests by which no secret leaves the token, not even in part.
_WEAK: Final = frozenset({CKM_MD5})

#: Octets of the shortest hidden key that is digested: what is shorter could be found by trying.
_SHORTEST_HIDDEN: Final = 14


def digestible(row: Mechanism, obj: Object) -> bytes:
    """The octets that C_DigestKey digests (section 5.12.4): the value of a secret key.

    Of a key whose value may be read, all is as if C_DigestUpdate had been given it. The digest of
    any other must not give away more than the key does already.

    :raises CryptokiError: CKR_KEY_INDIGESTIBLE, for a value that is sealed as well.
    """
    attributes = obj.attributes
    try:
        value = obj.everything().get(CKA_VALUE)
    except CryptokiError as error:
        if error.rv != CKR_USER_NOT_LOGGED_IN:
            raise
        raise CryptokiError(CKR_KEY_INDIGESTIBLE, "sealed while nobody is logged in") from None
    if attributes[CKA_CLASS] != CKO_SECRET_KEY or not isinstance(value, bytes):
        raise CryptokiError(CKR_KEY_INDIGESTIBLE, "not a secret key")
    hidden = attributes.get(CKA_SENSITIVE) or not attributes.get(CKA_EXTRACTABLE)
    if hidden and (row.type in _WEAK or len(value) < _SHORTEST_HIDDEN):
        raise CryptokiError(CKR_KEY_INDIGESTIBLE, "the digest could tell a hidden value")
    return value


def needs_own_login(obj: Object) -> bool:
    """Whether each use of the key asks for the PIN again (section 5.6.8)."""
    return bool(obj.attributes.get(CKA_ALWAYS_AUTHENTICATE))
