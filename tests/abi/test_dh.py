"""Diffie-Hellman over finite fields, against the openssl command and SoftHSM."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from abi import groups
from abi.client import NULL, Client, Value, mechanism, number, refused, struct
from abi.helping import configure
from abi.key_helpers import secret
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding

from pypkcs11.standard import constants as c

READABLE: dict[int, Value] = {c.CKA_SENSITIVE: False, c.CKA_EXTRACTABLE: True}
BASE: dict[int, Value] = {c.CKA_DERIVE: True, **READABLE}
PRIME = int.from_bytes(groups.FFDHE2048, "big")
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"


def pair(
    p11: Client, session: int, group: dict[int, Any] = groups.DH, **more: Value
) -> tuple[int, int]:
    kind = c.CKM_X9_42_DH_KEY_PAIR_GEN if c.CKA_SUBPRIME in group else c.CKM_DH_PKCS_KEY_PAIR_GEN
    return p11.generate_pair(session, mechanism(kind), group, BASE)


def derived(p11: Client, session: int, key: int, mech: Any, length: int | None = None) -> bytes:
    template: dict[int, Value] = {
        c.CKA_CLASS: c.CKO_SECRET_KEY,
        c.CKA_KEY_TYPE: c.CKK_GENERIC_SECRET,
        **READABLE,
    }
    if length is not None:
        template[c.CKA_VALUE_LEN] = length
    return p11.get(session, p11.derive(session, mech, key, template), c.CKA_VALUE)


def pkcs(public: bytes) -> Any:
    return mechanism(c.CKM_DH_PKCS_DERIVE, public)


def x942(public: bytes, kdf: int = c.CKD_NULL, other: bytes = b"") -> Any:
    parameter = struct(
        "CK_X9_42_DH1_DERIVE_PARAMS",
        kdf=kdf,
        ulOtherInfoLen=len(other),
        pOtherInfo=other or NULL,
        ulPublicDataLen=len(public),
        pPublicData=public,
    )
    return mechanism(c.CKM_X9_42_DH_DERIVE, parameter)


def openssl(*arguments: str | Path, data: bytes = b"") -> bytes:
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def y_of(x: int) -> bytes:
    return pow(2, x, PRIME).to_bytes(256, "big")


# -- keys --------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", [groups.DH, groups.X942], ids=["PKCS3", "X9.42"])
def test_pairs(p11: Client, session: int, group: dict[int, Any]) -> None:
    public, private = pair(p11, session, group)
    x = int.from_bytes(p11.get(session, private, c.CKA_VALUE), "big")
    assert p11.get(session, public, c.CKA_VALUE) == y_of(x).lstrip(b"\0")
    for key in (public, private):
        for attribute, value in group.items():
            assert p11.get(session, key, attribute) == value
    assert p11.get(session, public, c.CKA_PUBLIC_KEY_INFO) == p11.get(
        session, private, c.CKA_PUBLIC_KEY_INFO
    )


def test_length_of_the_private_value(p11: Client, session: int) -> None:
    mech = mechanism(c.CKM_DH_PKCS_KEY_PAIR_GEN)
    for bits in (160, 257, 2047):
        public, private = p11.generate_pair(
            session, mech, groups.DH, {**BASE, c.CKA_VALUE_BITS: bits}
        )
        x = int.from_bytes(p11.get(session, private, c.CKA_VALUE), "big")
        assert x.bit_length() == bits == number(p11.get(session, private, c.CKA_VALUE_BITS))
        assert p11.get(session, public, c.CKA_VALUE) == y_of(x).lstrip(b"\0")
    for bits in (0, 1, 159, 2048, 2**63):
        with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
            p11.generate_pair(session, mech, groups.DH, {c.CKA_VALUE_BITS: bits})
    _, private = pair(p11, session)
    x = int.from_bytes(p11.get(session, private, c.CKA_VALUE), "big")
    assert number(p11.get(session, private, c.CKA_VALUE_BITS)) == x.bit_length() >= 200


@pytest.mark.parametrize("group", [groups.DH, groups.X942], ids=["PKCS3", "X9.42"])
def test_a_wrapped_key_is_what_openssl_reads(
    p11: Client, session: int, group: dict[int, Any]
) -> None:
    _, private = pair(p11, session, group)
    wrapping = p11.generate(session, mechanism(c.CKM_AES_KEY_GEN), {c.CKA_VALUE_LEN: 32})
    mech = mechanism(c.CKM_AES_KEY_WRAP_KWP)
    template = {
        c.CKA_CLASS: c.CKO_PRIVATE_KEY,
        c.CKA_KEY_TYPE: number(p11.get(session, private, c.CKA_KEY_TYPE)),
        **BASE,
    }
    again = p11.unwrap(
        session, mech, wrapping, p11.wrap(session, mech, wrapping, private), template
    )
    for attribute in (c.CKA_VALUE, c.CKA_PUBLIC_KEY_INFO, *group):
        assert p11.get(session, again, attribute) == p11.get(session, private, attribute)
    known = bytes(range(32))
    wrapped = p11.wrap(session, mech, secret(p11, session, known), private)
    plain = aes_key_unwrap_with_padding(known, wrapped)
    text = openssl("pkey", "-inform", "DER", "-text", "-noout", data=plain).decode()
    digits = re.search(r"private-key:\s+([0-9a-f:\s]+)", text)
    assert digits is not None
    found = int(re.sub(r"[\s:]", "", digits[1]), 16)
    assert found == int.from_bytes(p11.get(session, private, c.CKA_VALUE), "big")


@pytest.mark.parametrize("value", [0, 1, PRIME - 1, PRIME, PRIME + 5])
def test_public_values_that_are_none(p11: Client, session: int, value: int) -> None:
    given = value.to_bytes(257, "big")
    template = {c.CKA_CLASS: c.CKO_PUBLIC_KEY, c.CKA_KEY_TYPE: c.CKK_DH, **groups.DH}
    with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
        p11.create(session, template | {c.CKA_VALUE: given})
    _, private = pair(p11, session)
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        derived(p11, session, private, pkcs(given))
    _, private = pair(p11, session, groups.X942)
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        derived(p11, session, private, x942(given))


def test_public_values_of_another_subgroup(p11: Client, session: int) -> None:
    """Of DSA's parameters, which X9.42 can use, most values of the field are in none."""
    group = dict(groups.DSA)
    prime, order = (int.from_bytes(group[a], "big") for a in (c.CKA_PRIME, c.CKA_SUBPRIME))
    public, private = pair(p11, session, group)
    good = p11.get(session, public, c.CKA_VALUE)
    x = int.from_bytes(p11.get(session, private, c.CKA_VALUE), "big")
    assert x < order
    expected = pow(int.from_bytes(good, "big"), x, prime).to_bytes(256, "big")
    assert derived(p11, session, private, x942(good)) == expected
    for value in (2, 3, prime - 2, prime - int.from_bytes(good, "big")):
        assert pow(value, order, prime) != 1
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            derived(p11, session, private, x942(value.to_bytes(256, "big")))
        with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
            p11.create(
                session,
                {
                    c.CKA_CLASS: c.CKO_PUBLIC_KEY,
                    c.CKA_KEY_TYPE: c.CKK_X9_42_DH,
                    c.CKA_VALUE: value.to_bytes(256, "big"),
                    **group,
                },
            )


def test_private_values_out_of_range(p11: Client, session: int) -> None:
    template = {c.CKA_CLASS: c.CKO_PRIVATE_KEY, c.CKA_KEY_TYPE: c.CKK_DH, **groups.DH}
    for value in (0, PRIME - 1, PRIME, PRIME << 8):
        with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
            p11.create(session, template | {c.CKA_VALUE: value.to_bytes(260, "big")})
    p11.create(session, template | {c.CKA_VALUE: (PRIME - 2).to_bytes(256, "big")})
    template = {c.CKA_CLASS: c.CKO_PRIVATE_KEY, c.CKA_KEY_TYPE: c.CKK_X9_42_DH, **groups.X942}
    with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
        p11.create(session, template | {c.CKA_VALUE: groups.X942[c.CKA_SUBPRIME]})


# -- secrets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("leading_zero", [False, True])
def test_secrets_as_openssl_has_them(
    p11: Client, session: int, tmp_path: Path, leading_zero: bool
) -> None:
    theirs = tmp_path / "theirs.pem"
    openssl("genpkey", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out", theirs)
    text = openssl("pkey", "-in", theirs, "-text", "-noout").decode()
    digits = re.search(r"public-key:\s+([0-9a-f:\s]+)", text)
    assert digits is not None
    y = int(re.sub(r"[\s:]", "", digits[1]), 16)
    x = 2**224 + 12345
    if leading_zero:
        while pow(y, x, PRIME).bit_length() > 2040:
            x += 1
    template = {c.CKA_CLASS: c.CKO_PRIVATE_KEY, c.CKA_KEY_TYPE: c.CKK_DH, **groups.DH, **BASE}
    key = p11.create(session, template | {c.CKA_VALUE: x.to_bytes(30, "big")})
    mine = tmp_path / "mine.der"
    mine.write_bytes(p11.get(session, key, c.CKA_PUBLIC_KEY_INFO))
    peer = openssl("pkey", "-pubin", "-inform", "DER", "-in", mine)
    (tmp_path / "mine.pem").write_bytes(peer)
    derive = ("pkeyutl", "-derive", "-inkey", theirs, "-peerkey", tmp_path / "mine.pem")
    expected = openssl(*derive, "-pkeyopt", "pad:1")
    assert len(expected) == 256
    assert (expected[0] == 0) == leading_zero
    public = y.to_bytes(256, "big")
    assert derived(p11, session, key, pkcs(public)) == expected
    for length in (1, 16, 32, 255, 256):
        assert derived(p11, session, key, pkcs(public), length) == expected[-length:]
    with refused(c.CKR_KEY_SIZE_RANGE):
        derived(p11, session, key, pkcs(public), 257)
    # A public value may have leading zeros.
    assert derived(p11, session, key, pkcs(bytes(7) + public)) == expected


def test_what_is_no_public_value(p11: Client, session: int) -> None:
    _, private = pair(p11, session)
    for public in (b"\0", b"\1", bytes(300), b"\1" + bytes(256), b"\xff" * (1 << 20)):
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            derived(p11, session, private, pkcs(public))
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        derived(p11, session, private, mechanism(c.CKM_DH_PKCS_DERIVE))


def test_keys_of_every_type_are_the_end_of_the_secret(p11: Client, session: int) -> None:
    _, private = pair(p11, session)
    peer = y_of(4711)
    whole = derived(p11, session, private, pkcs(peer))
    template = {c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_KEY_TYPE: c.CKK_AES, **READABLE}
    key = p11.derive(session, pkcs(peer), private, template | {c.CKA_VALUE_LEN: 24})
    assert p11.get(session, key, c.CKA_VALUE) == whole[-24:]
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        p11.derive(session, pkcs(peer), private, template)


def test_the_base_key_decides(p11: Client, session: int) -> None:
    """Which mechanism, which usage, which class."""
    _, private = p11.generate_pair(
        session, mechanism(c.CKM_DH_PKCS_KEY_PAIR_GEN), groups.DH, {c.CKA_DERIVE: False}
    )
    with refused(c.CKR_KEY_FUNCTION_NOT_PERMITTED):
        derived(p11, session, private, pkcs(y_of(5)))
    public, private = pair(p11, session)
    with refused(c.CKR_KEY_TYPE_INCONSISTENT):
        derived(p11, session, private, x942(y_of(5)))
    with refused(c.CKR_KEY_TYPE_INCONSISTENT):
        derived(p11, session, public, pkcs(y_of(5)))
    domain = p11.create(
        session, {c.CKA_CLASS: c.CKO_DOMAIN_PARAMETERS, c.CKA_KEY_TYPE: c.CKK_DH, **groups.DH}
    )
    with refused(c.CKR_KEY_HANDLE_INVALID):
        derived(p11, session, domain, pkcs(y_of(5)))


# -- X9.42's key derivation functions -----------------------------------------------------------

PARTY_A = bytes.fromhex("0123456789abcdeffedcba9876543201") * 4


def other_info(oid: str, counter: int, bits: int, party_a: bytes = b"") -> bytes:
    def tlv(tag: int, content: bytes) -> bytes:
        return bytes((tag, len(content))) + content

    key_info = tlv(0x30, bytes.fromhex(oid) + tlv(4, counter.to_bytes(4, "big")))
    first = tlv(0xA0, tlv(4, party_a)) if party_a else b""
    return tlv(0x30, key_info + first + tlv(0xA2, tlv(4, bits.to_bytes(4, "big"))))


def test_x942_functions_as_openssl_has_them(p11: Client, session: int) -> None:
    _, private = pair(p11, session, groups.X942)
    peer = p11.get(session, pair(p11, session, groups.X942)[0], c.CKA_VALUE)
    shared = derived(p11, session, private, x942(peer))
    oid = "060b2a864886f70d0109100306"  # id-alg-CMS3DESwrap
    for length in (16, 24, 100):
        other = other_info(oid, 1, 192, PARTY_A)
        found = derived(p11, session, private, x942(peer, c.CKD_SHA1_KDF_ASN1, other), length)
        blocks = b""
        for counter in range(1, 6):
            data = shared + other_info(oid, counter, 192, PARTY_A)
            blocks += bytes.fromhex(openssl("dgst", "-sha1", "-r", data=data).split()[0].decode())
        assert found == blocks[:length]
        found = derived(
            p11, session, private, x942(peer, c.CKD_SHA1_KDF_CONCATENATE, b"info"), length
        )
        expected = openssl(
            "kdf",
            "-binary",
            *("-keylen", str(length), "-kdfopt", "digest:SHA1"),
            *("-kdfopt", f"hexsecret:{shared.hex()}", "-kdfopt", "hexinfo:" + b"info".hex()),
            "X963KDF",
        )
        assert found == expected


def test_x942_parameters_that_are_wrong(p11: Client, session: int) -> None:
    _, private = pair(p11, session, groups.X942)
    peer = p11.get(session, pair(p11, session, groups.X942)[0], c.CKA_VALUE)
    good = other_info("060b2a864886f70d0109100306", 1, 192)
    for kdf, other in (
        (c.CKD_NULL, b"info"),
        (c.CKD_SHA1_KDF_ASN1, b""),
        (c.CKD_SHA1_KDF_ASN1, b"not DER"),
        (c.CKD_SHA1_KDF_ASN1, good + b"\0"),
        (c.CKD_SHA1_KDF_ASN1, good[:-1]),
        (c.CKD_SHA1_KDF_ASN1, good.replace(b"\4\4\0\0\0\1", b"\4\3\0\0\1")),
        (0x7FFFFFFF, b""),
    ):
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            derived(p11, session, private, x942(peer, kdf, other), 16)
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        derived(p11, session, private, x942(peer, c.CKD_SHA1_KDF_ASN1, good))
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        derived(p11, session, private, mechanism(c.CKM_X9_42_DH_DERIVE, b"1234"), 16)


# -- domain parameters -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key_type", "group"),
    [(c.CKK_DH, groups.DH), (c.CKK_X9_42_DH, groups.X942), (c.CKK_DSA, groups.DSA)],
)
def test_domain_parameter_objects(
    p11: Client, session: int, key_type: int, group: dict[int, Any]
) -> None:
    """Created, found, copied, and used in a template for a pair."""
    template = {
        c.CKA_CLASS: c.CKO_DOMAIN_PARAMETERS,
        c.CKA_KEY_TYPE: key_type,
        c.CKA_TOKEN: True,
        c.CKA_LABEL: b"group",
        **{attribute: b"\0\0" + value for attribute, value in group.items()},
    }
    obj = p11.create(session, template)
    assert p11.find(session, {c.CKA_CLASS: c.CKO_DOMAIN_PARAMETERS}) == [obj]
    assert number(p11.get(session, obj, c.CKA_PRIME_BITS)) == 2048
    assert p11.get(session, obj, c.CKA_LOCAL) == b"\0"
    copy = p11.copy(session, obj, {c.CKA_TOKEN: False})
    read = {attribute: p11.get(session, copy, attribute) for attribute in group}
    assert read == group
    kinds = {
        c.CKK_DH: c.CKM_DH_PKCS_KEY_PAIR_GEN,
        c.CKK_X9_42_DH: c.CKM_X9_42_DH_KEY_PAIR_GEN,
        c.CKK_DSA: c.CKM_DSA_KEY_PAIR_GEN,
    }
    public, _ = p11.generate_pair(session, mechanism(kinds[key_type]), read, {})
    assert p11.get(session, public, c.CKA_PRIME) == group[c.CKA_PRIME]


@pytest.mark.parametrize(
    ("kind", "bits"),
    [
        (c.CKM_DSA_PARAMETER_GEN, {c.CKA_PRIME_BITS: 1024}),
        (c.CKM_DSA_PARAMETER_GEN, {c.CKA_PRIME_BITS: 2048, c.CKA_SUBPRIME_BITS: 256}),
        (c.CKM_X9_42_DH_PARAMETER_GEN, {c.CKA_PRIME_BITS: 2048, c.CKA_SUBPRIME_BITS: 256}),
        (c.CKM_DH_PKCS_PARAMETER_GEN, {c.CKA_PRIME_BITS: 1024}),
    ],
)
def test_new_domain_parameters(
    p11: Client, token: Any, session: int, kind: int, bits: dict[int, Value]
) -> None:
    configure(p11, "[policy]\nweak_keys = true\n")
    session = p11.open(token.slot)
    p11.login(session, c.CKU_USER, token.user_pin)
    obj = p11.generate(session, mechanism(kind), bits)
    assert p11.get(session, obj, c.CKA_LOCAL) == b"\1"
    assert number(p11.get(session, obj, c.CKA_CLASS)) == c.CKO_DOMAIN_PARAMETERS
    given: dict[int, Value] = {}
    for attribute in (c.CKA_PRIME, c.CKA_BASE, c.CKA_SUBPRIME):
        if attribute != c.CKA_SUBPRIME or kind != c.CKM_DH_PKCS_PARAMETER_GEN:
            given[attribute] = p11.get(session, obj, attribute)
    prime = int.from_bytes(given[c.CKA_PRIME], "big")  # type: ignore[arg-type]
    assert prime.bit_length() == bits[c.CKA_PRIME_BITS]
    assert b"is prime" in openssl("prime", str(prime))
    key_type = number(p11.get(session, obj, c.CKA_KEY_TYPE))
    template = {c.CKA_CLASS: c.CKO_DOMAIN_PARAMETERS, c.CKA_KEY_TYPE: key_type}
    p11.create(session, template | given)


def test_lengths_that_are_not_generated(p11: Client, session: int) -> None:
    for kind, bits in (
        (c.CKM_DSA_PARAMETER_GEN, {c.CKA_PRIME_BITS: 1024}),
        (c.CKM_DSA_PARAMETER_GEN, {c.CKA_PRIME_BITS: 2049}),
        (c.CKM_DSA_PARAMETER_GEN, {c.CKA_PRIME_BITS: 2048, c.CKA_SUBPRIME_BITS: 160}),
        (c.CKM_DSA_PARAMETER_GEN, {c.CKA_PRIME_BITS: 2**63}),
        (c.CKM_DH_PKCS_PARAMETER_GEN, {c.CKA_PRIME_BITS: 1024}),
        (c.CKM_DH_PKCS_PARAMETER_GEN, {c.CKA_PRIME_BITS: 2049}),
        (c.CKM_DH_PKCS_PARAMETER_GEN, {c.CKA_PRIME_BITS: 0}),
        (c.CKM_X9_42_DH_PARAMETER_GEN, {c.CKA_PRIME_BITS: 1024, c.CKA_SUBPRIME_BITS: 160}),
        (c.CKM_X9_42_DH_PARAMETER_GEN, {c.CKA_PRIME_BITS: 2048, c.CKA_SUBPRIME_BITS: 1}),
    ):
        with refused(c.CKR_ATTRIBUTE_VALUE_INVALID):
            p11.generate(session, mechanism(kind), bits)
    for kind in (c.CKM_DSA_PARAMETER_GEN, c.CKM_DH_PKCS_PARAMETER_GEN):
        with refused(c.CKR_TEMPLATE_INCOMPLETE):
            p11.generate(session, mechanism(kind), {})
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        p11.generate(session, mechanism(c.CKM_X9_42_DH_PARAMETER_GEN), {c.CKA_PRIME_BITS: 2048})


def test_other_threads_go_on_while_parameters_are_made(p11: Client, session: int) -> None:
    """A generation of seconds does not stand in the way of short calls in another thread."""
    other = p11.open(int(p11.session_info(session).slotID))

    def generate() -> None:
        for _ in range(3):
            p11.generate(session, mechanism(c.CKM_DSA_PARAMETER_GEN), {c.CKA_PRIME_BITS: 2048})

    thread = threading.Thread(target=generate)
    thread.start()
    calls = 0
    while thread.is_alive():
        p11.session_info(other)
        calls += 1
        time.sleep(0.001)
    thread.join()
    assert calls > 20


HOSTILE = {
    "one octet": {c.CKA_PRIME: b"\x17"},
    "empty prime": {c.CKA_PRIME: b"\0"},
    "even": {c.CKA_PRIME: (PRIME - 1).to_bytes(256, "big")},
    "composite": {c.CKA_PRIME: (PRIME - 2).to_bytes(256, "big")},
    "ones": {c.CKA_PRIME: b"\xff" * 256},
    "short": {c.CKA_PRIME: (2**1023 - 1).to_bytes(128, "big")},
    "large": {c.CKA_PRIME: b"\xff" * 1025},
    "huge": {c.CKA_PRIME: b"\xff" * 60000},
    "unknown of 4096 bits": {c.CKA_PRIME: b"\xff" * 512},
    "base 0": {c.CKA_BASE: b"\0"},
    "base 1": {c.CKA_BASE: b"\1"},
    "base p - 1": {c.CKA_BASE: (PRIME - 1).to_bytes(256, "big")},
    "base p": {c.CKA_BASE: (PRIME).to_bytes(256, "big")},
    "huge base": {c.CKA_BASE: b"\xff" * 60000},
}


@pytest.mark.parametrize("wrong", HOSTILE)
def test_hostile_parameters(p11: Client, session: int, wrong: str) -> None:
    """Whatever the parameters, they are refused within a moment."""
    start = time.monotonic()
    for key_type, group, kind in (
        (c.CKK_DH, groups.DH, c.CKM_DH_PKCS_KEY_PAIR_GEN),
        (c.CKK_X9_42_DH, groups.X942, c.CKM_X9_42_DH_KEY_PAIR_GEN),
        (c.CKK_DSA, groups.DSA, c.CKM_DSA_KEY_PAIR_GEN),
    ):
        given = {c.CKA_KEY_TYPE: key_type, **group, **HOSTILE[wrong]}
        for object_class in (c.CKO_DOMAIN_PARAMETERS, c.CKO_PUBLIC_KEY, c.CKO_PRIVATE_KEY):
            value = {} if object_class == c.CKO_DOMAIN_PARAMETERS else {c.CKA_VALUE: b"\5"}
            with refused(c.CKR_DOMAIN_PARAMS_INVALID):
                p11.create(session, {c.CKA_CLASS: object_class, **given, **value})
        with refused(c.CKR_DOMAIN_PARAMS_INVALID):
            p11.generate_pair(session, mechanism(kind), given, {})
    assert time.monotonic() - start < 20


def test_hostile_subprimes(p11: Client, session: int) -> None:
    prime, order = (int.from_bytes(groups.DSA[a], "big") for a in (c.CKA_PRIME, c.CKA_SUBPRIME))
    for subprime in (0, 1, 2, order + 2, 2 * order, prime - 1, prime, 2**100000):
        given = {
            **groups.DSA,
            c.CKA_SUBPRIME: subprime.to_bytes((subprime.bit_length() + 8) // 8, "big"),
        }
        for kind in (c.CKM_X9_42_DH_KEY_PAIR_GEN, c.CKM_DSA_KEY_PAIR_GEN):
            with refused(c.CKR_DOMAIN_PARAMS_INVALID):
                p11.generate_pair(session, mechanism(kind), given, {})
    # A base that generates another subgroup.
    for base in (2, prime - int.from_bytes(groups.DSA[c.CKA_BASE], "big")):
        given = {**groups.DSA, c.CKA_BASE: base.to_bytes(256, "big")}
        for kind in (c.CKM_X9_42_DH_KEY_PAIR_GEN, c.CKM_DSA_KEY_PAIR_GEN):
            with refused(c.CKR_DOMAIN_PARAMS_INVALID):
                p11.generate_pair(session, mechanism(kind), given, {})


def openssl_group(name: str) -> bytes:
    """The prime of a named group."""
    made = openssl("genpkey", "-algorithm", "DH", "-pkeyopt", f"group:{name}", "-text")
    digits = re.search(rb"prime P:\s+([0-9a-f:\s]+)", made) or re.search(
        rb"prime:\s+([0-9a-f:\s]+)", made
    )
    if digits is not None:
        return bytes.fromhex(re.sub(rb"[\s:]", b"", digits[1]).decode()).lstrip(b"\0")
    parsed = openssl("asn1parse", data=made)
    found = re.findall(rb"INTEGER\s+:([0-9A-F]{200,})", parsed)
    return bytes.fromhex(found[0].decode())


@pytest.mark.parametrize(
    "name",
    [f"ffdhe{bits}" for bits in (2048, 3072, 4096, 6144, 8192)]
    + [f"modp_{bits}" for bits in (2048, 3072, 4096, 6144, 8192)],
)
def test_well_known_groups(p11: Client, session: int, name: str) -> None:
    """A pair and a secret, without a proof of the group that would take seconds to minutes."""
    prime = openssl_group(name)
    p = int.from_bytes(prime, "big")
    start = time.monotonic()
    for group in (
        {c.CKA_PRIME: prime, c.CKA_BASE: b"\2"},
        {
            c.CKA_PRIME: prime,
            c.CKA_BASE: b"\2",
            c.CKA_SUBPRIME: (p >> 1).to_bytes(len(prime), "big"),
        },
    ):
        _, private = pair(p11, session, group)
        other, _ = pair(p11, session, group)
        y = p11.get(session, other, c.CKA_VALUE)
        mech = x942(y) if c.CKA_SUBPRIME in group else pkcs(y)
        x = int.from_bytes(p11.get(session, private, c.CKA_VALUE), "big")
        found = derived(p11, session, private, mech, 32)
        assert found == pow(int.from_bytes(y, "big"), x, p).to_bytes(len(prime), "big")[-32:]
    assert time.monotonic() - start < 10
    with refused(c.CKR_DOMAIN_PARAMS_INVALID):  # another base makes large ones unknown
        pair(p11, session, {c.CKA_PRIME: openssl_group("ffdhe4096"), c.CKA_BASE: b"\3"})
