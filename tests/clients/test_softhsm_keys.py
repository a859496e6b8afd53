"""Keys go to SoftHSM v2 and come from there: wrapped by one module, unwrapped by the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
from abi import groups
from abi.client import Value, mechanism, octets, struct
from abi.key_helpers import P256, aes_template, ecdh, named, oaep, rsa_pair, secret, string_data
from abi.samples import ODD
from clients.modules import Place, opened

from pypkcs11.standard import constants as c

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")


@pytest.fixture(scope="module")
def places(
    library: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Place, Place]]:
    """This module and SoftHSM, each with a fresh token."""
    directory = tmp_path_factory.mktemp("softhsm")
    (directory / "theirs").mkdir()
    configuration = directory / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {directory / 'theirs'}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(configuration))
        patch.setenv("PYPKCS11_TOKEN_DIR", str(directory / "ours"))
        patch.delenv("PYPKCS11_CONF", raising=False)
        with opened(library) as ours, opened(SOFTHSM) as theirs:
            yield ours, theirs


def both_ways(places: tuple[Place, Place]) -> tuple[tuple[Place, Place], tuple[Place, Place]]:
    ours, theirs = places
    return (ours, theirs), (theirs, ours)


#: What SoftHSM 2.6.1 both wraps and unwraps with.
MECHANISMS = {
    "AES_KEY_WRAP": (c.CKM_AES_KEY_WRAP, None),
    "AES_KEY_WRAP_PAD": (c.CKM_AES_KEY_WRAP_PAD, None),
}


@pytest.mark.parametrize("name", MECHANISMS)
def test_secret_keys(name: str, places: tuple[Place, Place]) -> None:
    kind, parameter = MECHANISMS[name]
    mech, kek, value = mechanism(kind, parameter), os.urandom(32), os.urandom(32)
    for here, there in both_ways(places):
        wrapping = secret(*here, kek, WRAP=True)
        wrapped = here.p11.wrap(here.session, mech, wrapping, secret(*here, value))
        unwrapping = secret(*there, kek, UNWRAP=True)
        template = aes_template(SENSITIVE=False, EXTRACTABLE=True)
        key = there.p11.unwrap(there.session, mech, unwrapping, wrapped, template)
        assert there.p11.get(there.session, key, c.CKA_VALUE) == value


@pytest.mark.parametrize("of", ["RSA", "EC"])
def test_private_keys(of: str, places: tuple[Place, Place]) -> None:
    kind, parameter = MECHANISMS["AES_KEY_WRAP_PAD"]
    mech, kek = mechanism(kind, parameter), os.urandom(32)
    for here, there in both_ways(places):
        extractable = named({"EXTRACTABLE": True, "SIGN": True})
        if of == "RSA":
            public, private = rsa_pair(*here, {}, extractable)
            template: dict[int, Value] = {c.CKA_KEY_TYPE: c.CKK_RSA}
            signing = mechanism(c.CKM_SHA256_RSA_PKCS)
        else:
            params: dict[int, Value] = {c.CKA_EC_PARAMS: P256}
            make = mechanism(c.CKM_EC_KEY_PAIR_GEN)
            public, private = here.p11.generate_pair(here.session, make, params, extractable)
            template = {c.CKA_KEY_TYPE: c.CKK_EC}
            signing = mechanism(c.CKM_ECDSA)
        wrapped = here.p11.wrap(here.session, mech, secret(*here, kek, WRAP=True), private)
        unwrapping = secret(*there, kek, UNWRAP=True)
        template |= {c.CKA_CLASS: c.CKO_PRIVATE_KEY, c.CKA_SIGN: True}
        key = there.p11.unwrap(there.session, mech, unwrapping, wrapped, template)
        data = os.urandom(32)
        signature = there.p11.sign(there.session, signing, key, data)
        here.p11.verify(here.session, signing, public, signature, data)


@pytest.mark.parametrize("name", ["RSA_PKCS", "RSA_PKCS_OAEP"])
def test_secret_keys_under_rsa_keys(name: str, places: tuple[Place, Place]) -> None:
    parameter = oaep(c.CKM_SHA_1, c.CKG_MGF1_SHA1) if name == "RSA_PKCS_OAEP" else None
    mech, value = mechanism(getattr(c, f"CKM_{name}"), parameter), os.urandom(32)
    for here, there in both_ways(places):
        public, private = rsa_pair(*there, named({"WRAP": True}), named({"UNWRAP": True}))
        numbers = {
            a: there.p11.get(there.session, public, a)
            for a in (c.CKA_MODULUS, c.CKA_PUBLIC_EXPONENT)
        }
        foreign = here.p11.create(
            here.session,
            {c.CKA_CLASS: c.CKO_PUBLIC_KEY, c.CKA_KEY_TYPE: c.CKK_RSA, c.CKA_WRAP: True, **numbers},
        )
        wrapped = here.p11.wrap(here.session, mech, foreign, secret(*here, value))
        template = aes_template(SENSITIVE=False, EXTRACTABLE=True)
        key = there.p11.unwrap(there.session, mech, private, wrapped, template)
        assert there.p11.get(there.session, key, c.CKA_VALUE) == value


def test_derived_keys(places: tuple[Place, Place]) -> None:
    value, data = os.urandom(32), os.urandom(32)
    encrypt = mechanism(c.CKM_AES_ECB_ENCRYPT_DATA, string_data(data))
    readable = named(
        {
            "CLASS": c.CKO_SECRET_KEY,
            "KEY_TYPE": c.CKK_GENERIC_SECRET,
            "SENSITIVE": False,
            "EXTRACTABLE": True,
            "VALUE_LEN": 20,
        }
    )
    found = set()
    for place in places:
        base = secret(*place, value, DERIVE=True)
        key = place.p11.derive(place.session, encrypt, base, readable)
        found.add(place.p11.get(place.session, key, c.CKA_VALUE))
    assert len(found) == 1

    params: dict[int, Value] = {c.CKA_EC_PARAMS: P256}
    make, pairs, points = mechanism(c.CKM_EC_KEY_PAIR_GEN), [], []
    for place in places:
        pair = place.p11.generate_pair(place.session, make, params, {c.CKA_DERIVE: True})
        pairs.append(pair)
        points.append(place.p11.get(place.session, pair[0], c.CKA_EC_POINT))
    found = set()
    for place, pair, point in zip(places, pairs, reversed(points), strict=True):
        agree = mechanism(c.CKM_ECDH1_DERIVE, ecdh(point))
        key = place.p11.derive(place.session, agree, pair[1], readable)
        found.add(place.p11.get(place.session, key, c.CKA_VALUE))
    assert len(found) == 1


def test_signatures_with_dsa(places: tuple[Place, Place]) -> None:
    kek = os.urandom(32)
    wrap = mechanism(c.CKM_AES_KEY_WRAP_PAD)
    numbers = (c.CKA_PRIME, c.CKA_SUBPRIME, c.CKA_BASE, c.CKA_VALUE)
    for here, there in both_ways(places):
        made = here.p11.generate_pair(
            here.session,
            mechanism(c.CKM_DSA_KEY_PAIR_GEN),
            {**groups.DSA},
            named({"EXTRACTABLE": True, "SIGN": True}),
        )
        public = there.p11.create(
            there.session,
            {c.CKA_CLASS: c.CKO_PUBLIC_KEY, c.CKA_KEY_TYPE: c.CKK_DSA, c.CKA_VERIFY: True}
            | {number: here.p11.get(here.session, made[0], number) for number in numbers},
        )
        wrapped = here.p11.wrap(here.session, wrap, secret(*here, kek, WRAP=True), made[1])
        private = there.p11.unwrap(
            there.session,
            wrap,
            secret(*there, kek, UNWRAP=True),
            wrapped,
            {c.CKA_CLASS: c.CKO_PRIVATE_KEY, c.CKA_KEY_TYPE: c.CKK_DSA, c.CKA_SIGN: True},
        )
        data = os.urandom(32)
        for kind in (c.CKM_DSA, c.CKM_DSA_SHA1, c.CKM_DSA_SHA256):
            mech = mechanism(kind)
            signature = here.p11.sign(here.session, mech, made[1], data)
            there.p11.verify(there.session, mech, public, signature, data)
            signature = there.p11.sign(there.session, mech, private, data)
            here.p11.verify(here.session, mech, made[0], signature, data)


def test_secrets_of_diffie_hellman(places: tuple[Place, Place]) -> None:
    """The same secret, its leading zeros and its shortening included."""
    prime = int.from_bytes(groups.FFDHE2048, "big")
    theirs = pow(2, 0x1234567 << 200, prime)
    lengths = {}
    value = 1 << 230
    while len(lengths) < 2:
        lengths[pow(theirs, value, prime) >> 2040 == 0] = value
        value += 1
    readable = named({"CLASS": c.CKO_SECRET_KEY, "SENSITIVE": False, "EXTRACTABLE": True})
    agree = mechanism(c.CKM_DH_PKCS_DERIVE, theirs.to_bytes(256, "big"))
    for value in lengths.values():
        secret_value = pow(theirs, value, prime).to_bytes(256, "big")
        for place in places:
            key = place.p11.create(
                place.session,
                {
                    c.CKA_CLASS: c.CKO_PRIVATE_KEY,
                    c.CKA_KEY_TYPE: c.CKK_DH,
                    c.CKA_DERIVE: True,
                    c.CKA_VALUE: value.to_bytes(29, "big"),
                    **groups.DH,
                },
            )
            for key_type, length in (
                (c.CKK_GENERIC_SECRET, 256),
                (c.CKK_GENERIC_SECRET, 255),
                (c.CKK_GENERIC_SECRET, 20),
                (c.CKK_AES, 32),
            ):
                template = readable | {c.CKA_KEY_TYPE: key_type, c.CKA_VALUE_LEN: length}
                new = place.p11.derive(place.session, agree, key, template)
                found = place.p11.get(place.session, new, c.CKA_VALUE)
                assert found == secret_value[-length:]


def test_diffie_hellman_between_the_two(places: tuple[Place, Place]) -> None:
    """Each makes a pair of the other's parameters, and both derive."""
    readable = named(
        {
            "CLASS": c.CKO_SECRET_KEY,
            "KEY_TYPE": c.CKK_GENERIC_SECRET,
            "VALUE_LEN": 64,
            "SENSITIVE": False,
            "EXTRACTABLE": True,
        }
    )
    make, pairs = mechanism(c.CKM_DH_PKCS_KEY_PAIR_GEN), []
    for place in places:
        pairs.append(
            place.p11.generate_pair(place.session, make, {**groups.DH}, {c.CKA_DERIVE: True})
        )
    found = set()
    for place, pair, other, there in zip(
        places, pairs, reversed(pairs), reversed(places), strict=True
    ):
        public = there.p11.get(there.session, other[0], c.CKA_VALUE)
        agree = mechanism(c.CKM_DH_PKCS_DERIVE, public)
        key = place.p11.derive(place.session, agree, pair[1], readable)
        found.add(place.p11.get(place.session, key, c.CKA_VALUE))
    assert len(found) == 1


#: Keys of triple DES: octets, by type. Single DES is in SoftHSM's list, but OpenSSL 3, which it is
#: built on, does not have it unless its configuration loads old algorithms.
DES = {c.CKK_DES2: 16, c.CKK_DES3: 24}
DES_IV = bytes(range(8))
des_types = pytest.mark.parametrize("key_type", DES, ids=["DES2", "DES3"])


def des_keys(places: tuple[Place, ...], key_type: int, value: bytes) -> list[int]:
    """The same key in each place."""
    uses = {"ENCRYPT": True, "DECRYPT": True, "SIGN": True, "VERIFY": True}
    return [secret(*place, value, key_type, **uses) for place in places]


@des_types
@pytest.mark.parametrize("mode", ["ECB", "CBC", "CBC_PAD"])
def test_des_ciphertexts(places: tuple[Place, Place], mode: str, key_type: int) -> None:
    mech = mechanism(getattr(c, f"CKM_DES3_{mode}"), None if mode == "ECB" else DES_IV)
    data = os.urandom(1000 if mode != "CBC_PAD" else 1003)
    keys = des_keys(places, key_type, ODD[: DES[key_type]])
    sealed = {
        place.p11.encrypt(place.session, mech, key, data[:13], data[13:])
        for place, key in zip(places, keys, strict=True)
    }
    assert len(sealed) == 1
    for place, key in zip(places, keys, strict=True):
        assert place.p11.decrypt(place.session, mech, key, *sealed) == data


@des_types
def test_des_macs(places: tuple[Place, Place], key_type: int) -> None:
    mech = mechanism(c.CKM_DES3_CMAC)
    keys = des_keys(places, key_type, ODD[: DES[key_type]])
    for (here, one), (there, other) in permutations(zip(places, keys, strict=True)):
        mac = here.p11.sign(here.session, mech, one, b"a message")
        there.p11.verify(there.session, mech, other, mac, b"a message")


@des_types
def test_des_keys_have_the_same_attributes(places: tuple[Place, Place], key_type: int) -> None:
    """A key that one module makes, the other takes, and both show the same check value."""
    generate = c.CKM_DES2_KEY_GEN if key_type == c.CKK_DES2 else c.CKM_DES3_KEY_GEN
    readable = named({"SENSITIVE": False, "EXTRACTABLE": True})
    for here, there in both_ways(places):
        key = here.p11.generate(here.session, mechanism(generate), readable)
        value = here.p11.get(here.session, key, c.CKA_VALUE)
        copy = secret(*there, value, key_type, SENSITIVE=False)
        for attribute in (c.CKA_VALUE, c.CKA_KEY_TYPE, c.CKA_CHECK_VALUE):
            mine = here.p11.get(here.session, key, attribute)
            assert there.p11.get(there.session, copy, attribute) == mine


@pytest.mark.parametrize("mode", ["ECB", "CBC"])
@des_types
def test_keys_derived_by_des(places: tuple[Place, Place], mode: str, key_type: int) -> None:
    data = os.urandom(32)
    parameter = struct(
        "CK_DES_CBC_ENCRYPT_DATA_PARAMS", iv=list(DES_IV), pData=octets(data), length=32
    )
    given = string_data(data) if mode == "ECB" else parameter
    mech = mechanism(getattr(c, f"CKM_DES3_{mode}_ENCRYPT_DATA"), given)
    for made, length in ((c.CKK_GENERIC_SECRET, 20), (c.CKK_DES3, None)):
        template = named({"CLASS": c.CKO_SECRET_KEY, "KEY_TYPE": made, "SENSITIVE": False})
        template |= {c.CKA_EXTRACTABLE: True} | ({c.CKA_VALUE_LEN: length} if length else {})
        found = set()
        for place in places:
            base = secret(*place, ODD[: DES[key_type]], key_type, DERIVE=True)
            key = place.p11.derive(place.session, mech, base, template)
            found.add(place.p11.get(place.session, key, c.CKA_VALUE))
        assert len(found) == 1


def test_raw_rsa(places: tuple[Place, Place]) -> None:
    """Signatures and ciphertexts of one module, verified and decrypted by the other."""
    raw = mechanism(c.CKM_RSA_X_509)
    usage = {"SIGN": True, "DECRYPT": True, "EXTRACTABLE": True, "SENSITIVE": False}
    names = ("PRIVATE_EXPONENT", "PRIME_1", "PRIME_2", "EXPONENT_1", "EXPONENT_2", "COEFFICIENT")
    data = b"\0" + os.urandom(255)
    for (here, session), there in both_ways(places):
        public, private = rsa_pair(here, session, {}, named(usage))
        half = {
            c.CKA_KEY_TYPE: c.CKK_RSA,
            c.CKA_MODULUS: here.get(session, public, c.CKA_MODULUS),
            c.CKA_PUBLIC_EXPONENT: here.get(session, public, c.CKA_PUBLIC_EXPONENT),
        }
        numbers = named({n: here.get(session, private, getattr(c, f"CKA_{n}")) for n in names})
        their_public = there.p11.create(
            there.session,
            {**half, **named({"CLASS": c.CKO_PUBLIC_KEY, "ENCRYPT": True, "VERIFY": True})},
        )
        their_private = there.p11.create(
            there.session,
            {**half, **numbers, **named({"CLASS": c.CKO_PRIVATE_KEY, **usage})},
        )
        signature = here.sign(session, raw, private, data)
        assert there.p11.sign(there.session, raw, their_private, data) == signature
        there.p11.verify(there.session, raw, their_public, signature, data)
        sealed = there.p11.encrypt(there.session, raw, their_public, data)
        assert here.encrypt(session, raw, public, data) == sealed
        assert here.decrypt(session, raw, private, sealed) == data
        assert there.p11.decrypt(there.session, raw, their_private, sealed) == data
