"""One object as a row: what of it is sealed, what is authenticated."""

from __future__ import annotations

from typing import Final, TypeAlias

from pypkcs11.standard.constants import CKR_DEVICE_ERROR, CKR_USER_NOT_LOGGED_IN
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Value
from pypkcs11.store.encoding import check, decode, encode
from pypkcs11.store.protocol import Record
from pypkcs11.store.sealing import ATTRIBUTES, PUBLIC, SECRET, Sealer

#: The columns of a :data:`Row`, in order.
COLUMNS: Final = "id, private, attributes, secret, tag"

#: The same of private objects without their secret, which opening them has no use for.
SEALED_COLUMNS: Final = "id, private, attributes, NULL, NULL"

Row: TypeAlias = tuple[int, int, bytes, bytes | None, bytes | None]


def seal_row(
    record_id: int, record: Record, sealer: Sealer | None, change: int, kept: bytes | None = None
) -> Row:
    """Return a record as a row.

    Leaves the encoded attributes in ``record.packed``. Every private object has a sealed secret,
    be it empty, so that the row does not tell a key from a certificate.

    :param sealer: the token key, None while locked.
    :param change: the number of the change that writes the row.
    :param kept: the row's secret, sealed before, to keep in place of the record's.
    :raises CryptokiError: CKR_USER_NOT_LOGGED_IN when something must be sealed while locked.
    """
    plain = record.packed = encode(record.attributes)
    if sealer is None:
        if record.private or record.secret or kept is not None:
            raise CryptokiError(CKR_USER_NOT_LOGGED_IN, "the token is locked")
        return record_id, 0, plain, None, None
    secret = kept
    if kept is None and (record.secret or record.private):
        secret = sealer.seal(SECRET, record_id, change, encode(record.secret))
    if record.private:
        return record_id, 1, sealer.seal(ATTRIBUTES, record_id, change, plain), secret, None
    row = record_id, 0, plain, secret, None
    return *row[:4], seal_tag(row, sealer, change)


def seal_tag(row: Row, sealer: Sealer, change: int) -> bytes:
    """Return the tag of a public object: over its attributes, and whether it has a secret."""
    return sealer.seal(PUBLIC, row[0], change, b"", _about(row))


def open_row(row: Row, sealer: Sealer | None) -> Record:
    """Return a row as a record, without its secret; authenticated when the key is at hand.

    A public object may lack its tag, since it may be written without a key. One with a secret
    may not: who made it had the key.

    :raises CryptokiError: CKR_DEVICE_ERROR when it is not as it was written.
    """
    record_id, private, attributes, secret, tag = row
    if type(record_id) is not int or type(attributes) is not bytes or private not in (0, 1):
        raise _damaged(record_id)
    if private:
        if sealer is None:
            raise CryptokiError(CKR_USER_NOT_LOGGED_IN, "the token is locked")
        # What the tag proves to be ours is well-formed.
        return Record(record_id, True, packed=sealer.open(ATTRIBUTES, record_id, attributes))
    if type(tag) is bytes:
        if sealer is not None:
            sealer.open(PUBLIC, record_id, tag, _about(row))
    elif tag is not None or secret is not None:
        raise _damaged(record_id)
    check(attributes)
    return Record(record_id, False, packed=attributes)


def open_secret(row: Row, sealer: Sealer) -> dict[int, Value]:
    """Return the sealed part of a row.

    :raises CryptokiError: CKR_DEVICE_ERROR when it is not as it was written.
    """
    record_id, private, _, secret, _ = row
    if secret is None and not private:
        return {}
    if type(secret) is not bytes:
        raise _damaged(record_id)
    return decode(sealer.open(SECRET, record_id, secret))


def _about(row: Row) -> bytes:
    _, _, attributes, secret, _ = row
    return (b"\0" if secret is None else b"\1") + attributes


def _damaged(record_id: int) -> CryptokiError:
    return CryptokiError(
        CKR_DEVICE_ERROR, f"object {record_id} is damaged: part of it is missing or of a wrong type"
    )
