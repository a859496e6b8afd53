"""Keys of TLS: pre-master and master secrets, and what comes of them (section 6.39 and 6.40).

TLS 1.0 and 1.1 differ from 1.2 in their PRF only.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Final

from pypkcs11.mechanisms import tls_mac
from pypkcs11.mechanisms.generic import LONGEST, complete_generic
from pypkcs11.mechanisms.parameters import (
    OldTlsKeys,
    OldTlsMaster,
    TlsExtendedMaster,
    TlsKdf,
    TlsKeys,
    TlsMaster,
    TlsPrf,
    Version,
)
from pypkcs11.mechanisms.registry import (
    BYTES,
    Computed,
    Derived,
    Inheritance,
    Key,
    Material,
    Mechanism,
    Wanted,
)
from pypkcs11.mechanisms.tls_prf import prf
from pypkcs11.standard.constants import (
    CKA_ALLOWED_MECHANISMS,
    CKA_DECRYPT,
    CKA_DERIVE,
    CKA_ENCRYPT,
    CKA_KEY_TYPE,
    CKA_SIGN,
    CKA_UNWRAP,
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKA_VERIFY,
    CKA_WRAP,
    CKK_GENERIC_SECRET,
    CKM_SSL3_PRE_MASTER_KEY_GEN,
    CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE,
    CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE_DH,
    CKM_TLS12_KDF,
    CKM_TLS12_KEY_AND_MAC_DERIVE,
    CKM_TLS12_KEY_SAFE_DERIVE,
    CKM_TLS12_MAC,
    CKM_TLS12_MASTER_KEY_DERIVE,
    CKM_TLS12_MASTER_KEY_DERIVE_DH,
    CKM_TLS_KDF,
    CKM_TLS_KEY_AND_MAC_DERIVE,
    CKM_TLS_MAC,
    CKM_TLS_MASTER_KEY_DERIVE,
    CKM_TLS_MASTER_KEY_DERIVE_DH,
    CKM_TLS_PRE_MASTER_KEY_GEN,
    CKM_TLS_PRF,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Attributes, Template, Value

#: Octets of master secrets, and of pre-master secrets that begin with a version.
_SECRET: Final = 48

# -- pre-master and master secrets -------------------------------------------------------------


def generate_pre_master(parameter: Version, attributes: Attributes) -> Computed:
    """A pre-master secret: the client's version, and 46 random octets."""
    value = bytes(parameter) + os.urandom(_SECRET - len(parameter))
    return {CKA_VALUE: value, **complete_generic({**attributes, CKA_VALUE: value})}


def master(
    label: bytes,
    with_version: bool,
    key: Key,
    parameter: TlsMaster | TlsExtendedMaster,
    lengths: Sequence[int | None],
    others: Sequence[Key],
) -> Material:
    """A master secret out of a pre-master secret.

    :param with_version: whether that begins with a version, which then is returned.
    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for a digest that there is not, or where a
        version is expected that there is not.
    """
    if parameter.wants_version and not with_version:
        raise _bad("this secret has no version in it, so pVersion must be NULL")
    value = prf(parameter.prf, key.value, label, parameter.seed, _SECRET)
    return Material(({CKA_VALUE: value},), key.value[:2])


#: What a master secret is good for, unless the template says otherwise: without these usages its
#: mechanisms, which the standard lists, would have no use.
_MASTER_DEFAULTS: Final[Attributes] = {CKA_DERIVE: True, CKA_SIGN: True, CKA_VERIFY: True}


def _plan_master(allowed: tuple[int, ...], parameter: object, template: Template) -> list[Wanted]:
    given: dict[int, Value] = {CKA_KEY_TYPE: CKK_GENERIC_SECRET}
    if allowed:
        given[CKA_ALLOWED_MECHANISMS] = allowed
    return [Wanted(template, given, _MASTER_DEFAULTS, _SECRET)]


# -- the keys of a connection ------------------------------------------------------------------

#: Attributes of which a template speaks for the keys of encryption only.
_OF_CIPHER_KEYS: Final = frozenset(
    {
        CKA_KEY_TYPE,
        CKA_VALUE_LEN,
        CKA_ENCRYPT,
        CKA_DECRYPT,
        CKA_SIGN,
        CKA_VERIFY,
        CKA_WRAP,
        CKA_UNWRAP,
        CKA_DERIVE,
    }
)
_MAC_USAGE: Final[Template] = [
    (CKA_SIGN, True),
    (CKA_VERIFY, True),
    *((usage, False) for usage in (CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE)),
]
_MAC_GIVEN: Final[Attributes] = {CKA_KEY_TYPE: CKK_GENERIC_SECRET}
_CIPHER_DEFAULTS: Final[Attributes] = {CKA_ENCRYPT: True, CKA_DECRYPT: True, CKA_DERIVE: True}


def _plan_keys(parameter: TlsKeys, template: Template) -> list[Wanted | None]:
    """MAC keys of the client and the server, then keys of encryption; none of no length."""
    if parameter.export:
        raise _bad("there are no keys for export")
    mac = Wanted(
        [*(item for item in template if item[0] not in _OF_CIPHER_KEYS), *_MAC_USAGE],
        _MAC_GIVEN,
        length=_octets(parameter.mac_bits),
    )
    cipher = Wanted(template, defaults=_CIPHER_DEFAULTS, length=_octets(parameter.key_bits))
    return [wanted if wanted.length else None for wanted in (mac, mac, cipher, cipher)]


def keys(
    with_ivs: bool,
    key: Key,
    parameter: TlsKeys,
    lengths: Sequence[int | None],
    others: Sequence[Key],
) -> Material:
    """The key block, cut into keys and IVs (RFC 5246, section 6.3).

    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for a digest that there is not, or without
        room for IVs that are asked for.
    """
    iv = _octets(parameter.iv_bits) if with_ivs else 0
    if iv and not parameter.room_for_ivs:
        raise _bad("no room for the IVs")
    sizes = [*(length or 0 for length in lengths), iv, iv]
    seed = parameter.server + parameter.client
    block = prf(parameter.prf, key.value, b"key expansion", seed, sum(sizes))
    parts = []
    for size in sizes:
        parts.append(block[:size])
        block = block[size:]
    return Material([{CKA_VALUE: part} for part in parts[:4]], parts[4:])


def _octets(bits: int) -> int:
    if bits % 8 or bits > LONGEST * 8:
        raise _bad(f"{bits} bits")
    return bits // 8


def _reveals_ivs(parameter: TlsKeys) -> bool:
    return parameter.iv_bits != 0


# -- other output of the PRF -------------------------------------------------------------------


def derive(key: Key, parameter: TlsKdf, length: int | None, second: Key | None) -> bytes:
    """Keying material for other protocols (RFC 5705, section 4).

    :raises CryptokiError: CKR_TEMPLATE_INCOMPLETE without a length, CKR_MECHANISM_PARAM_INVALID for
        a digest that there is not, or a context longer than its length can say.
    """
    if length is None:
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "how long the key shall be")
    seed, context = parameter.client + parameter.server, parameter.context
    if context is not None:
        if len(context) >> 16:
            raise _bad("the context is too long")
        seed += len(context).to_bytes(2, "big") + context
    return prf(parameter.prf, key.value, parameter.label, seed, length)


def output(
    key: Key, parameter: TlsPrf, lengths: Sequence[int | None], others: Sequence[Key]
) -> Material:
    """Output of the PRF of TLS 1.0 that is no key, but handed to the caller."""
    if not 0 < parameter.length <= LONGEST:
        raise _bad(f"{parameter.length} octets of output")
    value = prf(CKM_TLS_PRF, key.value, parameter.label, parameter.seed, parameter.length)
    return Material((), value)


def _bad(why: str) -> CryptokiError:
    return CryptokiError(CKR_MECHANISM_PARAM_INVALID, why)


# -- the rows ----------------------------------------------------------------------------------

_TLS12_USES = (
    CKM_TLS12_KEY_AND_MAC_DERIVE,
    CKM_TLS12_KEY_SAFE_DERIVE,
    CKM_TLS_KDF,
    CKM_TLS_MAC,
    CKM_TLS12_KDF,
    CKM_TLS12_MAC,
)
_FIXED = (_SECRET, _SECRET)
_ANY = (1, LONGEST)
_MASTER = b"master secret"
_EXTENDED = b"extended master secret"

MECHANISMS = (
    *(
        Mechanism(
            type=mechanism,
            key_types=(CKK_GENERIC_SECRET,),
            sizes=_FIXED,
            unit=BYTES,
            parameter=Version,
            generate=generate_pre_master,
            given={CKA_VALUE_LEN: _SECRET},
            defaults={CKA_DERIVE: True},
        )
        for mechanism in (CKM_SSL3_PRE_MASTER_KEY_GEN, CKM_TLS_PRE_MASTER_KEY_GEN)
    ),
    *(
        Mechanism(
            type=mechanism,
            key_types=(CKK_GENERIC_SECRET,),
            sizes=_FIXED if with_version else _ANY,
            unit=BYTES,
            parameter=parameter,
            derive_many=partial(master, label, with_version),
            derived=Derived(plan=partial(_plan_master, allowed), gives_back=True),
        )
        for mechanism, parameter, label, with_version, allowed in (
            (CKM_TLS12_MASTER_KEY_DERIVE, TlsMaster, _MASTER, True, _TLS12_USES),
            (CKM_TLS12_MASTER_KEY_DERIVE_DH, TlsMaster, _MASTER, False, _TLS12_USES),
            (CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE, TlsExtendedMaster, _EXTENDED, True, _TLS12_USES),
            (
                CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE_DH,
                TlsExtendedMaster,
                _EXTENDED,
                False,
                _TLS12_USES,
            ),
            (CKM_TLS_MASTER_KEY_DERIVE, OldTlsMaster, _MASTER, True, ()),
            (CKM_TLS_MASTER_KEY_DERIVE_DH, OldTlsMaster, _MASTER, False, ()),
        )
    ),
    *(
        Mechanism(
            type=mechanism,
            key_types=(CKK_GENERIC_SECRET,),
            sizes=_FIXED,
            unit=BYTES,
            parameter=parameter,
            derive_many=partial(keys, with_ivs),
            derived=Derived(
                inherits=Inheritance(bound=True, equal=True),
                plan=_plan_keys,
                by_handle=False,
                gives_back=True,
                reveals=_reveals_ivs if with_ivs else None,
            ),
        )
        for mechanism, parameter, with_ivs in (
            (CKM_TLS12_KEY_AND_MAC_DERIVE, TlsKeys, True),
            (CKM_TLS12_KEY_SAFE_DERIVE, TlsKeys, False),
            (CKM_TLS_KEY_AND_MAC_DERIVE, OldTlsKeys, True),
        )
    ),
    *(
        Mechanism(
            type=mechanism,
            key_types=(CKK_GENERIC_SECRET,),
            sizes=_ANY,
            unit=BYTES,
            parameter=TlsKdf,
            derive=derive,
            derived=Derived(inherits=Inheritance(bound=True, default=True)),
        )
        for mechanism in (CKM_TLS_KDF, CKM_TLS12_KDF)
    ),
    Mechanism(
        type=CKM_TLS_PRF,
        key_types=(CKK_GENERIC_SECRET,),
        sizes=_ANY,
        unit=BYTES,
        parameter=TlsPrf,
        derive_many=output,
        derived=Derived(
            plan=lambda parameter, template: (),
            by_handle=False,
            gives_back=True,
            reveals=lambda parameter: True,
        ),
    ),
    *tls_mac.MECHANISMS,
)
