"""Key wrap against NIST's answers and RFC 5649's, the forgeries included."""

from __future__ import annotations

from typing import Any

import pytest
from unit.mechanisms.keys import fails, secret
from vectors.readers import cases

from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.standard import constants as c

MECHANISMS = mechanisms()

SIZES = (128, 192, 256)
#: The files have hundreds of cases for each length; one in so many is tried.
STRIDE = 7


def wrap(mechanism: int, key: Any, octets: bytes) -> bytes:
    row = MECHANISMS[mechanism]
    assert row.wrap
    return row.wrap(key, None, octets)


def unwrap(mechanism: int, key: Any, wrapped: bytes) -> bytes:
    row = MECHANISMS[mechanism]
    assert row.unwrap
    return row.unwrap(key, None, wrapped)


KINDS = {"KW": c.CKM_AES_KEY_WRAP, "KWP": c.CKM_AES_KEY_WRAP_KWP}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_wrapping(kind: str, size: int) -> None:
    done = 0
    for case in list(cases(f"keywrap/kwtestvectors/{kind}_AE_{size}.txt", "count"))[::STRIDE]:
        key = secret(c.CKK_AES, bytes.fromhex(case["k"]))
        wrapped = wrap(KINDS[kind], key, bytes.fromhex(case["p"]))
        assert wrapped == bytes.fromhex(case["c"])
        done += 1
    assert done > 50


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_unwrapping(kind: str, size: int) -> None:
    seen = {"good": 0, "bad": 0}
    for case in list(cases(f"keywrap/kwtestvectors/{kind}_AD_{size}.txt", "count"))[::STRIDE]:
        key = secret(c.CKK_AES, bytes.fromhex(case["k"]))
        wrapped = bytes.fromhex(case["c"])
        if "fail" in case:
            seen["bad"] += 1
            fails(c.CKR_WRAPPED_KEY_INVALID, unwrap, KINDS[kind], key, wrapped)
        else:
            seen["good"] += 1
            assert unwrap(KINDS[kind], key, wrapped) == bytes.fromhex(case["p"])
    assert seen["good"] > 20
    assert seen["bad"] > 5


def test_padded_wrap_of_short_and_long_keys() -> None:
    done = 0
    for case in cases("keywrap/kwp_botan.txt", "count"):
        key = secret(c.CKK_AES, bytes.fromhex(case["key"]))
        octets, wrapped = bytes.fromhex(case["input"]), bytes.fromhex(case["output"])
        for mechanism in (c.CKM_AES_KEY_WRAP_KWP, c.CKM_AES_KEY_WRAP_PAD):
            assert wrap(mechanism, key, octets) == wrapped
            assert unwrap(mechanism, key, wrapped) == octets
        done += 1
    assert done > 10
