"""CKM_SP800_108_* through C: layouts, several keys at once, and what goes back to the caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from abi.client import NULL, Client, Value, encode, ffi, mechanism, refused, struct, template
from abi.conftest import Token
from abi.key_helpers import P256, named, secret
from cryptography.hazmat.primitives import cmac, hashes, hmac
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from pypkcs11.standard import constants as c

KEY = bytes(range(32))
READABLE = {"SENSITIVE": False, "EXTRACTABLE": True}
COUNTER, FEEDBACK, PIPELINE = (
    c.CKM_SP800_108_COUNTER_KDF,
    c.CKM_SP800_108_FEEDBACK_KDF,
    c.CKM_SP800_108_DOUBLE_PIPELINE_KDF,
)

#: What CK_PRF_DATA_PARAM can be: a type, and its value or none.
Data = tuple[int, Any]


def counter(width: int, little_endian: bool = False, type: int = 1) -> Data:
    value = struct("CK_SP800_108_COUNTER_FORMAT", bLittleEndian=little_endian, ulWidthInBits=width)
    return type, value


def dkm_length(method: int, width: int, little_endian: bool = False) -> Data:
    value = struct(
        "CK_SP800_108_DKM_LENGTH_FORMAT",
        dkmLengthMethod=method,
        bLittleEndian=little_endian,
        ulWidthInBits=width,
    )
    return c.CK_SP800_108_DKM_LENGTH, value


def array(data: bytes) -> Data:
    return c.CK_SP800_108_BYTE_ARRAY, data


def key_handle(handle: int) -> Data:
    return c.CK_SP800_108_KEY_HANDLE, encode(handle)


VARIABLE: Data = (c.CK_SP800_108_ITERATION_VARIABLE, None)
LABEL = array(b"label")


class Kdf:
    """A mechanism, and where the handles of the keys beyond the first arrive."""

    def __init__(
        self,
        kind: int,
        *data: Data,
        prf: int = c.CKM_SHA256_HMAC,
        iv: bytes = b"",
        more: tuple[Mapping[int, Value], ...] = (),
    ) -> None:
        self._kept: list[Any] = []
        items = ffi.new("CK_PRF_DATA_PARAM[]", len(data) or 1)
        for item, (type, value) in zip(items, data, strict=False):
            item.type = type
            if isinstance(value, bytes):
                item.pValue = self._keep(ffi.new("CK_BYTE[]", value or b"\0"))
                item.ulValueLen = len(value)
            elif value is not None:
                item.pValue = self._keep(value)
                item.ulValueLen = ffi.sizeof(value[0])
        self.handles = ffi.new("CK_OBJECT_HANDLE[]", [77] * (len(more) + 1))
        keys = ffi.new("CK_DERIVED_KEY[]", len(more) or 1)
        for n, attributes in enumerate(more):
            made, count = template(attributes)
            keys[n].pTemplate, keys[n].ulAttributeCount = self._keep(made), count
            keys[n].phKey = self.handles + n
        fields: dict[str, Any] = {
            "prfType": prf,
            "ulNumberOfDataParams": len(data),
            "pDataParams": items,
            "ulAdditionalDerivedKeys": len(more),
            "pAdditionalDerivedKeys": keys if more else NULL,
        }
        name = "CK_SP800_108_KDF_PARAMS"
        if kind == FEEDBACK:
            name = "CK_SP800_108_FEEDBACK_KDF_PARAMS"
            fields |= {"ulIVLen": len(iv), "pIV": iv or NULL}
        self._keep((items, keys))
        self.parameters = struct(name, **fields)
        self.mechanism = mechanism(kind, self.parameters)

    def _keep(self, thing: Any) -> Any:
        self._kept.append(thing)
        return thing


def readable(length: int, **more: Value) -> dict[int, Value]:
    return named({**READABLE, "VALUE_LEN": length, **more})


def value_of(p11: Client, session: int, kdf: Kdf, base: int, length: int) -> bytes:
    return p11.get(session, p11.derive(session, kdf.mechanism, base, readable(length)), c.CKA_VALUE)


def mac(data: bytes, key: bytes = KEY) -> bytes:
    context = hmac.HMAC(key, hashes.SHA256())
    context.update(data)
    return context.finalize()


@pytest.fixture
def base(p11: Client, session: int) -> int:
    return secret(p11, session, KEY, c.CKK_GENERIC_SECRET)


# -- what the PRF is given --------------------------------------------------------------------


def test_the_input_is_laid_out_as_the_caller_says(p11: Client, session: int, base: int) -> None:
    other = secret(p11, session, b"other key", c.CKK_GENERIC_SECRET)
    for kdf, expected in (
        (Kdf(COUNTER, counter(8), LABEL), mac(b"\1label") + mac(b"\2label")),
        (Kdf(COUNTER, LABEL, counter(24, True)), mac(b"label\1\0\0") + mac(b"label\2\0\0")),
        (
            Kdf(COUNTER, LABEL, dkm_length(1, 16), counter(16), array(b"context")),
            mac(b"label\1\x80\0\1context") + mac(b"label\1\x80\0\2context"),
        ),
        (
            Kdf(COUNTER, counter(8), dkm_length(2, 64, True), array(b"!")),
            mac(b"\1\0\2\0\0\0\0\0\0!") + mac(b"\2\0\2\0\0\0\0\0\0!"),
        ),
        (
            Kdf(COUNTER, key_handle(other), counter(8), key_handle(base)),
            mac(b"other key\1" + KEY) + mac(b"other key\2" + KEY),
        ),
        (
            Kdf(FEEDBACK, VARIABLE, LABEL, iv=b"iv"),
            (first := mac(b"ivlabel")) + mac(first + b"label"),
        ),
        (
            Kdf(FEEDBACK, counter(8, type=2), VARIABLE, LABEL),
            (first := mac(b"\1label")) + mac(b"\2" + first + b"label"),
        ),
        (
            Kdf(PIPELINE, VARIABLE, LABEL, counter(32, type=2)),
            mac((a := mac(b"label")) + b"label\0\0\0\1") + mac(mac(a) + b"label\0\0\0\2"),
        ),
    ):
        assert value_of(p11, session, kdf, base, 48) == expected[:48]


def test_cmac(p11: Client, session: int) -> None:
    base = secret(p11, session, KEY[:16], c.CKK_AES)
    context = cmac.CMAC(AES(KEY[:16]))
    context.update(b"\1label")
    kdf = Kdf(COUNTER, counter(8), LABEL, prf=c.CKM_AES_CMAC)
    assert value_of(p11, session, kdf, base, 16) == context.finalize()
    with refused(c.CKR_KEY_TYPE_INCONSISTENT):
        value_of(p11, session, Kdf(COUNTER, counter(8), LABEL), base, 16)
    other = secret(p11, session, KEY, c.CKK_GENERIC_SECRET)
    with refused(c.CKR_KEY_TYPE_INCONSISTENT):
        value_of(p11, session, kdf, other, 16)


def test_parameters_that_are_refused(p11: Client, session: int, base: int) -> None:
    for kdf in (
        Kdf(COUNTER),
        Kdf(COUNTER, LABEL),
        Kdf(COUNTER, counter(8), counter(8)),
        Kdf(COUNTER, counter(8), counter(8, type=2)),
        Kdf(COUNTER, counter(0)),
        Kdf(COUNTER, counter(12)),
        Kdf(COUNTER, counter(40)),
        Kdf(COUNTER, VARIABLE),
        Kdf(COUNTER, counter(8), array(b"")),
        Kdf(COUNTER, counter(8), (c.CK_SP800_108_BYTE_ARRAY, None)),
        Kdf(COUNTER, counter(8), (99, b"data")),
        Kdf(COUNTER, counter(8), (c.CK_SP800_108_KEY_HANDLE, b"four")),
        Kdf(COUNTER, counter(8), dkm_length(1, 16), dkm_length(1, 16)),
        Kdf(COUNTER, counter(8), dkm_length(1, 8)),  # 384 bits are not written in eight
        Kdf(COUNTER, counter(8), dkm_length(3, 16)),
        Kdf(COUNTER, counter(8), dkm_length(1, 20)),
        Kdf(COUNTER, counter(8), LABEL, prf=c.CKM_SHA256),
        Kdf(COUNTER, counter(8), LABEL, prf=c.CKM_MD5_HMAC),
        Kdf(FEEDBACK, counter(8), LABEL),
        Kdf(FEEDBACK, LABEL),
        Kdf(FEEDBACK, VARIABLE, counter(8, type=2), counter(8, type=2)),
        Kdf(PIPELINE, LABEL),
    ):
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            value_of(p11, session, kdf, base, 48)
    for kind in (COUNTER, FEEDBACK, PIPELINE):
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            p11.derive(session, mechanism(kind), base, readable(16))
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            p11.derive(session, mechanism(kind, b"short"), base, readable(16))
    short = Kdf(COUNTER, counter(8), LABEL)
    assert len(value_of(p11, session, short, base, 255 * 32)) == 255 * 32
    with refused(c.CKR_KEY_SIZE_RANGE):
        value_of(p11, session, short, base, 255 * 32 + 1)
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        p11.derive(session, short.mechanism, base, {})
    for pointer in ("pDataParams", "pAdditionalDerivedKeys"):
        kdf = Kdf(COUNTER, counter(8), LABEL, more=(readable(16),))
        setattr(kdf.parameters, pointer, NULL)
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            value_of(p11, session, kdf, base, 16)


def test_keys_within_the_data_are_base_keys_too(p11: Client, session: int, base: int) -> None:
    idle = secret(p11, session, b"idle", c.CKK_GENERIC_SECRET, DERIVE=False)
    public = p11.create(session, {c.CKA_CLASS: c.CKO_DATA, c.CKA_VALUE: b"data"})
    for handle, rv in (
        (idle, c.CKR_KEY_FUNCTION_NOT_PERMITTED),
        (public, c.CKR_KEY_HANDLE_INVALID),
        (99999, c.CKR_KEY_HANDLE_INVALID),
    ):
        with refused(rv):
            value_of(p11, session, Kdf(COUNTER, counter(8), key_handle(handle)), base, 16)


# -- several keys -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", [1, 2])
def test_several_keys_are_of_blocks_of_their_own(
    p11: Client, session: int, base: int, method: int
) -> None:
    """The example of the standard: 48 octets and 16 take three blocks of 32 (section 6.44.9)."""
    kdf = Kdf(
        COUNTER,
        counter(8),
        dkm_length(method, 32),
        more=(readable(16, KEY_TYPE=c.CKK_AES, LABEL="second"), readable(33)),
    )
    length = {1: 8 * (48 + 16 + 33), 2: 8 * 5 * 32}[method].to_bytes(4, "big")
    blocks = [mac(bytes([n]) + length) for n in range(1, 6)]
    first = p11.derive(session, kdf.mechanism, base, readable(48))
    second, third = kdf.handles[0], kdf.handles[1]
    assert p11.get(session, first, c.CKA_VALUE) == blocks[0] + blocks[1][:16]
    assert p11.get(session, second, c.CKA_VALUE) == blocks[2][:16]
    assert p11.get(session, second, c.CKA_LABEL) == b"second"
    assert p11.get(session, second, c.CKA_KEY_TYPE) == encode(c.CKK_AES)
    assert p11.get(session, third, c.CKA_VALUE) == blocks[3] + blocks[4][:1]
    assert kdf.handles[2] == 77


def test_all_keys_or_none(p11: Client, token: Token, session: int, base: int) -> None:
    good = readable(16, TOKEN=True)
    for wrong, rv in (
        (readable(17, KEY_TYPE=c.CKK_AES), c.CKR_ATTRIBUTE_VALUE_INVALID),
        (named({"KEY_TYPE": c.CKK_AES}), c.CKR_TEMPLATE_INCOMPLETE),
        (readable(16, MODULUS=b"1"), c.CKR_TEMPLATE_INCONSISTENT),
        (readable(16, CHECK_VALUE=b"abc"), c.CKR_ATTRIBUTE_VALUE_INVALID),
        ({c.CKA_TOKEN: b"neither"}, c.CKR_ATTRIBUTE_VALUE_INVALID),
    ):
        before = len(p11.find(session, {}))
        kdf = Kdf(COUNTER, counter(8), LABEL, more=(good, wrong, good))
        with refused(rv):
            p11.derive(session, kdf.mechanism, base, good)
        assert list(kdf.handles) == [77, 0, 77, 77], "the template that is wrong is told"
        assert len(p11.find(session, {})) == before
    reader = p11.open(token.slot, read_write=False)
    kdf = Kdf(COUNTER, counter(8), LABEL, more=(good,))
    with refused(c.CKR_SESSION_READ_ONLY):
        p11.derive(reader, kdf.mechanism, base, readable(16))
    kdf = Kdf(COUNTER, counter(8), LABEL, more=(good, good))
    p11.derive(session, kdf.mechanism, base, good)
    assert len({*kdf.handles}) == 3
    assert len(p11.find(session, {})) == before + 3


def test_what_the_keys_inherit(p11: Client, session: int) -> None:
    """Where the template is silent they are as the base key; otherwise as the template says."""
    hidden = secret(p11, session, KEY, c.CKK_GENERIC_SECRET, SENSITIVE=True, EXTRACTABLE=False)
    plain = secret(p11, session, KEY, c.CKK_GENERIC_SECRET, SENSITIVE=False)
    born = p11.generate(
        session,
        mechanism(c.CKM_GENERIC_SECRET_KEY_GEN),
        named({"VALUE_LEN": 32, "SENSITIVE": True, "EXTRACTABLE": False, "DERIVE": True}),
    )
    attributes = (c.CKA_SENSITIVE, c.CKA_EXTRACTABLE, c.CKA_ALWAYS_SENSITIVE)
    attributes += (c.CKA_NEVER_EXTRACTABLE,)
    silent = {c.CKA_VALUE_LEN: 16}
    for base, data, asked, expected in (
        (hidden, LABEL, silent, (1, 0, 0, 0)),
        (plain, LABEL, silent, (0, 1, 0, 0)),
        (born, LABEL, silent, (1, 0, 1, 1)),
        (born, LABEL, readable(16), (0, 1, 0, 0)),
        (hidden, key_handle(born), silent, (1, 0, 1, 1)),
    ):
        kdf = Kdf(COUNTER, counter(8), data, more=(silent,))
        first = p11.derive(session, kdf.mechanism, base, asked)
        found = tuple(p11.get(session, first, attribute)[0] for attribute in attributes)
        assert found == expected
        assert p11.get(session, kdf.handles[0], c.CKA_SENSITIVE)[0] == (base != plain)


def test_derive_template_and_allowed_mechanisms(p11: Client, session: int) -> None:
    base = secret(
        p11,
        session,
        KEY,
        c.CKK_GENERIC_SECRET,
        DERIVE_TEMPLATE=((c.CKA_LABEL, b"derived"),),
        ALLOWED_MECHANISMS=(COUNTER,),
    )
    kdf = Kdf(COUNTER, counter(8), LABEL, more=(readable(16),))
    first = p11.derive(session, kdf.mechanism, base, readable(16))
    for handle in (first, kdf.handles[0]):
        assert p11.get(session, handle, c.CKA_LABEL) == b"derived"
    kdf = Kdf(COUNTER, counter(8), LABEL, more=(readable(16, LABEL="mine"),))
    with refused(c.CKR_TEMPLATE_INCONSISTENT):
        p11.derive(session, kdf.mechanism, base, readable(16))
    with refused(c.CKR_MECHANISM_INVALID):
        value_of(p11, session, Kdf(PIPELINE, VARIABLE, LABEL), base, 16)
    with refused(c.CKR_KEY_TYPE_INCONSISTENT):
        pair = p11.generate_pair(
            session,
            mechanism(c.CKM_EC_KEY_PAIR_GEN),
            {c.CKA_EC_PARAMS: P256},
            {c.CKA_DERIVE: True},
        )
        value_of(p11, session, Kdf(COUNTER, counter(8), LABEL), pair[1], 16)
