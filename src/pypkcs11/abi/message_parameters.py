"""What comes with each message, read from the caller's structure and written back into it.

The structures differ in names only: a row of :data:`_FORMS` has them.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from _pypkcs11 import ffi

from pypkcs11.abi import parameters
from pypkcs11.abi.cdata import CData
from pypkcs11.abi.structures import Field, Reader, copied, invalid, number, octets, view
from pypkcs11.mechanisms.parameters import AeadMessage, CcmMessage, ChaChaPolyMessage, GcmMessage
from pypkcs11.mechanisms.registry import Mechanism, ParameterClass
from pypkcs11.standard.constants import CKG_NO_GENERATE, CKR_MECHANISM_INVALID
from pypkcs11.standard.errors import CryptokiError

#: More than any tag there is, in bits.
_MOST_TAG_BITS: Final = 1024


class _Form(NamedTuple):
    """A structure: how its fields are read, and where nonce and tag are.

    :param fields: the values of an :class:`AeadMessage` behind its nonce, in their order.
    """

    structure: Reader
    nonce: Field
    nonce_octets: Field
    tag: Field
    fields: tuple[Field, ...]


def always(value: int) -> Field:
    """What a structure has no field for."""
    return lambda c: value


def _mac_bits(c: CData) -> int:
    return int(c.ulMACLen) * 8


_FORMS: Final[dict[ParameterClass, _Form]] = {
    GcmMessage: _Form(
        view("CK_GCM_MESSAGE_PARAMS"),
        number("pIv"),
        octets("pIv", "ulIvLen"),
        number("pTag"),
        (number("ulIvFixedBits"), number("ivGenerator"), number("ulTagBits"), always(0)),
    ),
    CcmMessage: _Form(
        view("CK_CCM_MESSAGE_PARAMS"),
        number("pNonce"),
        octets("pNonce", "ulNonceLen"),
        number("pMAC"),
        (number("ulNonceFixedBits"), number("nonceGenerator"), _mac_bits, number("ulDataLen")),
    ),
    ChaChaPolyMessage: _Form(
        view("CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS"),
        number("pNonce"),
        parameters.nonce,
        number("pTag"),
        (always(0), always(CKG_NO_GENERATE), always(128), always(0)),
    ),
}


#: What C_WrapKey takes of the same mechanisms, and its size: there the tag stands behind the
#: wrapped key, and the associated data in the structure (section 6.15, "Authenticated Wrap /
#: Unwrap"). The length of the key, which CCM's announces, is not looked at.
_WRAPS: Final[dict[ParameterClass | None, tuple[_Form, int]]] = {
    kind: (_FORMS[kind]._replace(structure=view(name)), ffi.sizeof(name))
    for kind, name in ((GcmMessage, "CK_GCM_WRAP_PARAMS"), (CcmMessage, "CK_CCM_WRAP_PARAMS"))
}
_aad: Final = octets("pAAD", "ulAADLen")


class MessageParameter:
    """A caller's structure. ``message`` is what it says."""

    __slots__ = ("_c", "_form", "message")

    def __init__(self, kind: ParameterClass, form: _Form, pointer: CData, length: int) -> None:
        """:raises CryptokiError: CKR_MECHANISM_PARAM_INVALID."""
        if not pointer:
            raise invalid("the message's parameter is missing")
        c = form.structure(pointer, length)
        if not form.nonce(c):
            raise invalid("there is no place for the nonce")
        self._form = form
        self._c = c
        self.message: AeadMessage = kind(form.nonce_octets(c), *[get(c) for get in form.fields])
        if self.message.tag_bits > _MOST_TAG_BITS:
            raise invalid("no tag is that long")

    def require_tag(self) -> Any:
        """Where the tag is, or is to go.

        :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID.
        """
        pointer = self._form.tag(self._c)
        if not pointer:
            raise invalid("there is no place for the tag")
        return pointer

    def tag(self) -> bytes:
        """The tag that a message came with."""
        return copied(self.require_tag(), self.message.tag_bits // 8)

    def give_tag(self, tag: bytes) -> None:
        """Write a message's tag, as long as the structure says."""
        ffi.memmove(self.require_tag(), tag, len(tag))

    def give_nonce(self, nonce: bytes) -> None:
        """Write a message's nonce, as long as the one that was read."""
        ffi.memmove(self._form.nonce(self._c), nonce, len(nonce))


def of_message(row: Mechanism, pointer: CData, length: int) -> MessageParameter:
    """The parameter that comes with a message of the mechanism.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID.
    """
    kind: Any = row.message_parameter
    return MessageParameter(kind, _FORMS[kind], pointer, length)


def of_mechanism(mechanism: CData, row: Mechanism) -> MessageParameter:
    """The parameter of a mechanism that wraps or unwraps a key as a message.

    :raises CryptokiError: CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID.
    """
    if row.message_parameter is None:
        raise CryptokiError(CKR_MECHANISM_INVALID, "the mechanism takes no messages")
    return of_message(row, mechanism.pParameter, mechanism.ulParameterLen)


class WrapParameter(MessageParameter):
    """What C_WrapKey and C_UnwrapKey are given in its place, with the associated data ``aad``."""

    __slots__ = ("aad", "tag_length")

    def __init__(self, kind: ParameterClass, form: _Form, pointer: CData, length: int) -> None:
        """:raises CryptokiError: CKR_MECHANISM_PARAM_INVALID."""
        super().__init__(kind, form, pointer, length)
        self.aad: bytes = _aad(self._c)
        self.tag_length = self.message.tag_bits // 8

    def split(self, wrapped: bytes) -> tuple[bytes, bytes]:
        """The wrapped key itself, and the tag behind it."""
        end = max(len(wrapped) - self.tag_length, 0)
        return wrapped[:end], wrapped[end:]


def of_wrapping(mechanism: CData, row: Mechanism) -> WrapParameter | None:
    """The parameter of a mechanism that wraps a key and makes the nonce.

    :return: None for any other. CK_GCM_PARAMS, which earlier versions of the standard have in the
        place of CK_GCM_WRAP_PARAMS, has another size; so it is with CCM.
    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID.
    """
    kind: Any = row.message_parameter
    length = mechanism.ulParameterLen
    form, size = _WRAPS.get(kind, (None, 0))
    if form is None or length != size:
        return None
    return WrapParameter(kind, form, mechanism.pParameter, length)


def check_beginning(mechanism: CData, row: Mechanism) -> None:
    """Look at what C_MessageEncryptInit is given, which may be the first message's or nothing.

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID.
    """
    if row.message_parameter is not None and mechanism.ulParameterLen:
        if not mechanism.pParameter:
            raise invalid("the parameter is missing")
        _FORMS[row.message_parameter].structure(mechanism.pParameter, mechanism.ulParameterLen)
