"""The smallest template that creates an object, for each kind of object that can be created."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import cache

from abi import groups
from abi.client import Client, Value, mechanism, number
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pypkcs11.core.attribute_table.row import HIDDEN, MUST_ON_CREATE
from pypkcs11.core.attributes import Kind, rules
from pypkcs11.standard import constants as C  # noqa: N812

Template = dict[int, Value]

#: Octets of secret keys that have not 16.
LENGTHS = {
    C.CKK_DES: 8,
    C.CKK_DES3: 24,
    C.CKK_AES_XTS: 32,
    C.CKK_CHACHA20: 32,
    C.CKK_SALSA20: 32,
    C.CKK_POLY1305: 32,
}

#: How the module makes key pairs: mechanism and public template, by key type.
PAIRS: dict[int, tuple[int, Template]] = {
    C.CKK_RSA: (C.CKM_RSA_PKCS_KEY_PAIR_GEN, {C.CKA_MODULUS_BITS: 2048}),
    C.CKK_EC: (
        C.CKM_EC_KEY_PAIR_GEN,
        {C.CKA_EC_PARAMS: bytes.fromhex("06082a8648ce3d030107")},
    ),
    C.CKK_EC_EDWARDS: (
        C.CKM_EC_EDWARDS_KEY_PAIR_GEN,
        {C.CKA_EC_PARAMS: bytes.fromhex("06032b6570")},
    ),
    C.CKK_EC_MONTGOMERY: (
        C.CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
        {C.CKA_EC_PARAMS: bytes.fromhex("06032b656e")},
    ),
    C.CKK_DSA: (C.CKM_DSA_KEY_PAIR_GEN, {**groups.DSA}),
    C.CKK_DH: (C.CKM_DH_PKCS_KEY_PAIR_GEN, {**groups.DH}),
    C.CKK_X9_42_DH: (C.CKM_X9_42_DH_KEY_PAIR_GEN, {**groups.X942}),
    C.CKK_ML_DSA: (C.CKM_ML_DSA_KEY_PAIR_GEN, {C.CKA_PARAMETER_SET: C.CKP_ML_DSA_44}),
    C.CKK_ML_KEM: (C.CKM_ML_KEM_KEY_PAIR_GEN, {C.CKA_PARAMETER_SET: C.CKP_ML_KEM_768}),
}


@cache
def certificate() -> bytes:
    """A certificate, in DER."""
    key = ec.derive_private_key(7, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 4711)
    builder = builder.not_valid_before(start).not_valid_after(start.replace(year=2027))
    made = builder.sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.DER)


#: What certificates and the like are made of.
OTHERS: dict[tuple[int, int | None], Callable[[], Template]] = {
    (C.CKO_DATA, None): dict,
    (C.CKO_DOMAIN_PARAMETERS, C.CKK_DSA): lambda: {C.CKA_KEY_TYPE: C.CKK_DSA, **groups.DSA},
    (C.CKO_DOMAIN_PARAMETERS, C.CKK_DH): lambda: {C.CKA_KEY_TYPE: C.CKK_DH, **groups.DH},
    (C.CKO_DOMAIN_PARAMETERS, C.CKK_X9_42_DH): lambda: {
        C.CKA_KEY_TYPE: C.CKK_X9_42_DH,
        **groups.X942,
    },
    (C.CKO_TRUST, None): lambda: {
        C.CKA_ISSUER: b"issuer",
        C.CKA_SERIAL_NUMBER: b"\2\1\1",
        C.CKA_HASH_OF_CERTIFICATE: bytes(20),
    },
    (C.CKO_CERTIFICATE, C.CKC_X_509): lambda: {
        C.CKA_CERTIFICATE_TYPE: C.CKC_X_509,
        C.CKA_VALUE: certificate(),
        C.CKA_HASH_OF_ISSUER_PUBLIC_KEY: bytes(20),
        C.CKA_HASH_OF_SUBJECT_PUBLIC_KEY: bytes(20),
    },
    (C.CKO_CERTIFICATE, C.CKC_X_509_ATTR_CERT): lambda: {
        C.CKA_CERTIFICATE_TYPE: C.CKC_X_509_ATTR_CERT,
        C.CKA_OWNER: b"owner",
        C.CKA_VALUE: b"an attribute certificate",
    },
    (C.CKO_CERTIFICATE, C.CKC_WTLS): lambda: {
        C.CKA_CERTIFICATE_TYPE: C.CKC_WTLS,
        C.CKA_SUBJECT: b"subject",
        C.CKA_VALUE: b"a WTLS certificate",
        C.CKA_HASH_OF_ISSUER_PUBLIC_KEY: bytes(20),
        C.CKA_HASH_OF_SUBJECT_PUBLIC_KEY: bytes(20),
    },
}


#: Octets of secret keys of which not all octets are keys: those of DES have an odd number of bits.
ODD = bytes(octet for octet in range(256) if octet.bit_count() % 2)
DES = frozenset((C.CKK_DES, C.CKK_DES2, C.CKK_DES3))


def sample(p11: Client, session: int, object_class: int, subtype: int | None) -> Template:
    """What C_CreateObject needs for an object of a class and type.

    :raises KeyError: for a kind that nobody has thought of yet; it needs a row above.
    """
    if (object_class, subtype) in OTHERS:
        given = OTHERS[object_class, subtype]()
    elif object_class == C.CKO_SECRET_KEY:
        octets = ODD if subtype in DES else bytes(range(256))
        given = {C.CKA_KEY_TYPE: subtype, C.CKA_VALUE: octets[: LENGTHS.get(subtype, 16)]}
    else:
        given = {C.CKA_KEY_TYPE: subtype} | _pair(p11, session, object_class, subtype)
    return {C.CKA_CLASS: object_class} | given


def _pair(p11: Client, session: int, object_class: int, key_type: int) -> Template:
    """What is needed to create one half of a key pair, read from one that the module makes."""
    kind, public = PAIRS[key_type]
    readable = {C.CKA_SENSITIVE: False, C.CKA_EXTRACTABLE: True}
    keys = p11.generate_pair(session, mechanism(kind), public, readable)
    key = keys[object_class == C.CKO_PRIVATE_KEY]
    found: Template = {}
    for row in rules(object_class, key_type).values():
        needed = row.notes & (MUST_ON_CREATE | HIDDEN)
        if not needed or row.type in (C.CKA_CLASS, C.CKA_KEY_TYPE):
            continue
        one = p11.get(session, key, row.type)
        found[row.type] = number(one) if row.kind is Kind.ULONG else one
    for key in keys:
        p11.do("C_DestroyObject", session, key)
    return found
