"""Key derivation in counter, feedback and double-pipeline mode (NIST SP 800-108, section 4).

PKCS #11 v3.2, section 6.44. The caller lays out what the PRF is given in every round, so the rounds
are composed here of the MACs that sign.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Final, TypeAlias

from pypkcs11.mechanisms import generic
from pypkcs11.mechanisms.derivation import too_long
from pypkcs11.mechanisms.parameters import PrfData, Sp800FeedbackKdf, Sp800Kdf
from pypkcs11.mechanisms.registry import (
    BITS,
    Derived,
    Inheritance,
    Key,
    Material,
    Mechanism,
    Wanted,
)
from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.standard.constants import (
    CK_SP800_108_BYTE_ARRAY,
    CK_SP800_108_COUNTER,
    CK_SP800_108_DKM_LENGTH,
    CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS,
    CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS,
    CK_SP800_108_ITERATION_VARIABLE,
    CK_SP800_108_KEY_HANDLE,
    CKA_VALUE,
    CKK_AES,
    CKK_DES3,
    CKK_HKDF,
    CKM_AES_CMAC,
    CKM_DES3_CMAC,
    CKM_SHA3_224_HMAC,
    CKM_SHA3_256_HMAC,
    CKM_SHA3_384_HMAC,
    CKM_SHA3_512_HMAC,
    CKM_SHA224_HMAC,
    CKM_SHA256_HMAC,
    CKM_SHA384_HMAC,
    CKM_SHA512_224_HMAC,
    CKM_SHA512_256_HMAC,
    CKM_SHA512_HMAC,
    CKM_SHA_1_HMAC,
    CKM_SP800_108_COUNTER_KDF,
    CKM_SP800_108_DOUBLE_PIPELINE_KDF,
    CKM_SP800_108_FEEDBACK_KDF,
    CKR_KEY_TYPE_INCONSISTENT,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Template

#: The pseudo-random functions: those of the standard's table, and HMACs that it forgot.
_PRFS: Final = frozenset(
    {
        CKM_SHA_1_HMAC,
        CKM_SHA224_HMAC,
        CKM_SHA256_HMAC,
        CKM_SHA384_HMAC,
        CKM_SHA512_HMAC,
        CKM_SHA512_224_HMAC,
        CKM_SHA512_256_HMAC,
        CKM_SHA3_224_HMAC,
        CKM_SHA3_256_HMAC,
        CKM_SHA3_384_HMAC,
        CKM_SHA3_512_HMAC,
        CKM_DES3_CMAC,
        CKM_AES_CMAC,
    }
)

_COUNTER_WIDTHS: Final = (8, 16, 24, 32)
_LENGTH_WIDTHS: Final = (8, 16, 24, 32, 40, 48, 56, 64)

#: A round's input, out of its number and its iteration variable (both None where that is left out).
_Input: TypeAlias = Callable[[int | None, bytes | None], bytes]
_Prf: TypeAlias = Callable[[bytes], bytes]


def derive(
    rounds: Callable[[_Prf, _Input, Sp800Kdf], Iterator[bytes]],
    counts: bool,
    key: Key,
    parameter: Sp800Kdf,
    lengths: Sequence[int | None],
    others: Sequence[Key],
) -> Material:
    """The keys, each of output blocks of its own.

    :param counts: whether the iteration variable is a counter.
    :raises CryptokiError: CKR_MECHANISM_PARAM_INVALID for data that do not make an input,
        CKR_KEY_TYPE_INCONSISTENT for a key that is none of the PRF's, CKR_TEMPLATE_INCOMPLETE for a
        key without a length, CKR_KEY_SIZE_RANGE for more octets than the counter can count.
    """
    prf, block = _prf(parameter.prf, key)
    if None in lengths:
        raise CryptokiError(CKR_TEMPLATE_INCOMPLETE, "how long each key shall be")
    octets = [length or 0 for length in lengths]
    segments = [-(-length // block) for length in octets]
    most = _check(parameter.data, counts)
    if sum(segments) > most:
        raise too_long(sum(octets), most * block)
    totals = {
        CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS: sum(octets),
        CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS: sum(segments) * block,
    }
    compose = partial(_input, _fixed(parameter.data, totals, others))
    blocks = rounds(prf, compose, parameter)
    return Material(
        tuple(
            {CKA_VALUE: b"".join(next(blocks) for _ in range(n))[:length]}
            for n, length in zip(segments, octets, strict=True)
        )
    )


def _prf(mechanism: int, key: Key) -> tuple[_Prf, int]:
    """A MAC with the base key, and its length in octets."""
    row = mechanisms().get(mechanism) if mechanism in _PRFS else None
    if row is None or row.sign is None:
        raise _bad("no such pseudo-random function")
    if key.type not in row.key_types:
        raise CryptokiError(CKR_KEY_TYPE_INCONSISTENT, "not a key for this PRF")
    sign = row.sign
    return lambda data: sign(key, None).sign(data), sign(key, None).length


def _check(data: Sequence[PrfData], counts: bool) -> int:
    """Whether data are such as the mode takes, and the number of rounds that they allow."""
    types = [item.type for item in data]
    if types.count(CK_SP800_108_ITERATION_VARIABLE) != 1:
        raise _bad("the iteration variable is there once")
    if types.count(CK_SP800_108_DKM_LENGTH) > 1:
        raise _bad("the length is there once at most")
    if types.count(CK_SP800_108_COUNTER) > (0 if counts else 1):
        raise _bad("the counter is there once at most, and not in counter mode")
    widths = []
    for item in data:
        if item.type == CK_SP800_108_COUNTER or (
            counts and item.type == CK_SP800_108_ITERATION_VARIABLE
        ):
            if item.width not in _COUNTER_WIDTHS:
                raise _bad(f"a counter of {item.width} bits")
            widths.append(item.width)
        elif item.type == CK_SP800_108_ITERATION_VARIABLE and item.width:
            raise _bad("the iteration variable has no format in this mode")
        elif item.type == CK_SP800_108_BYTE_ARRAY and not item.data:
            raise _bad("an empty byte array")
    return (1 << min(widths, default=32)) - 1


def _fixed(
    data: Sequence[PrfData], totals: dict[int, int], others: Sequence[Key]
) -> list[bytes | PrfData]:
    """The input with all in place that is the same in every round."""
    keys = iter(others)
    fixed: list[bytes | PrfData] = []
    for item in data:
        if item.type == CK_SP800_108_BYTE_ARRAY:
            fixed.append(item.data)
        elif item.type == CK_SP800_108_KEY_HANDLE:
            fixed.append(next(keys).value)
        elif item.type == CK_SP800_108_DKM_LENGTH:
            total = totals.get(item.method)
            if total is None or item.width not in _LENGTH_WIDTHS or total * 8 >> item.width:
                raise _bad("a length that does not go into its field, or no such method")
            fixed.append(_number(total * 8, item))
        else:
            fixed.append(item)
    return fixed


def _input(fixed: Sequence[bytes | PrfData], n: int | None, variable: bytes | None) -> bytes:
    """A round's input. In counter mode the iteration variable is the counter."""
    parts = []
    for part in fixed:
        if isinstance(part, bytes):
            parts.append(part)
        elif part.width:
            parts.append(b"" if n is None else _number(n, part))
        else:
            parts.append(variable or b"")
    return b"".join(parts)


def _number(value: int, item: PrfData) -> bytes:
    return value.to_bytes(item.width // 8, "little" if item.little_endian else "big")


def _counter_mode(prf: _Prf, compose: _Input, parameter: Sp800Kdf) -> Iterator[bytes]:
    """K(i) = PRF(i, data) (SP 800-108, section 4.1)."""
    return (prf(compose(n, None)) for n in count(1))


def _feedback_mode(prf: _Prf, compose: _Input, parameter: Sp800Kdf) -> Iterator[bytes]:
    """K(i) = PRF(K(i-1), data) (section 4.2)."""
    block = parameter.iv
    for n in count(1):
        block = prf(compose(n, block))
        yield block


def _double_pipeline_mode(prf: _Prf, compose: _Input, parameter: Sp800Kdf) -> Iterator[bytes]:
    """A(i) = PRF(A(i-1)), K(i) = PRF(A(i), data) (section 4.3)."""
    chain = compose(None, None)
    for n in count(1):
        chain = prf(chain)
        yield prf(compose(n, chain))


def _plan(parameter: Sp800Kdf, template: Template) -> Sequence[Wanted]:
    return [Wanted(template), *map(Wanted, parameter.more)]


def _other_keys(parameter: Sp800Kdf) -> Sequence[int]:
    return [item.handle for item in parameter.data if item.type == CK_SP800_108_KEY_HANDLE]


def _blame(parameter: Sp800Kdf, n: int) -> None:
    parameter.blame(n)


def _bad(why: str) -> CryptokiError:
    return CryptokiError(CKR_MECHANISM_PARAM_INVALID, why)


_KEYS = (
    CKK_AES,
    CKK_DES3,
    *(row.type for row in generic.KEY_TYPES if row.type != CKK_HKDF),
)

MECHANISMS = tuple(
    Mechanism(
        type=mechanism,
        key_types=_KEYS,
        sizes=(8, generic.LONGEST * 8),
        unit=BITS,
        parameter=parameter,
        derive_many=partial(derive, rounds, counts),
        derived=Derived(
            inherits=Inheritance(default=True, any_base=True),
            other_keys=_other_keys,
            plan=_plan,
            gives_back=True,
            blame=_blame,
        ),
    )
    for mechanism, parameter, rounds, counts in (
        (CKM_SP800_108_COUNTER_KDF, Sp800Kdf, _counter_mode, True),
        (CKM_SP800_108_FEEDBACK_KDF, Sp800FeedbackKdf, _feedback_mode, False),
        (CKM_SP800_108_DOUBLE_PIPELINE_KDF, Sp800Kdf, _double_pipeline_mode, False),
    )
)
