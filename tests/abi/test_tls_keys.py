"""TLS through C, held against the PRF of the openssl command and a whole handshake's arithmetic."""

from __future__ import annotations

import subprocess
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from abi.client import (
    NULL,
    Client,
    Value,
    ffi,
    mechanism,
    number,
    octets,
    refused,
    struct,
    template,
)
from abi.key_helpers import generated, named, secret
from hypothesis import given, settings
from hypothesis import strategies as st

from pypkcs11.standard import constants as c

CLIENT, SERVER = b"client random".ljust(32, b"!"), b"server random".ljust(32, b"?")
SECRET = b"\3\3" + bytes(range(46))
READABLE = {"SENSITIVE": False, "EXTRACTABLE": True}
DIGESTS = {
    c.CKM_SHA256: "SHA256",
    c.CKM_SHA384: "SHA384",
    c.CKM_SHA512: "SHA512",
    c.CKM_TLS_PRF: "MD5-SHA1",
}


def openssl_prf(digest: int, key: bytes, seed: bytes, length: int) -> bytes:
    """The PRF of TLS as another implementation has it; the label is part of the seed."""
    options = (f"digest:{DIGESTS[digest]}", f"hexsecret:{key.hex()}", f"hexseed:{seed.hex()}")
    arguments = [word for option in options for word in ("-kdfopt", option)]
    command = ["openssl", "kdf", "-keylen", str(length), *arguments, "TLS1-PRF"]
    ran = subprocess.run(command, capture_output=True, check=True, text=True)
    return bytes.fromhex(ran.stdout.strip().replace(":", ""))


def randoms(made: Any) -> tuple[Any, Any]:
    info, kept = made.RandomInfo, (octets(CLIENT), octets(SERVER))
    info.pClientRandom, info.pServerRandom = kept
    info.ulClientRandomLen, info.ulServerRandomLen = len(CLIENT), len(SERVER)
    return kept


#: The randoms that mechanisms point to, for as long as they do.
_kept: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


class Parameter:
    """A mechanism with what its parameter points to."""

    def __init__(self, kind: int, name: str, random: bool = True, **fields: Any) -> None:
        self.c = struct(name, **fields)
        self.mechanism = mechanism(kind, self.c)
        if random:
            _kept[self.mechanism] = randoms(self.c)


OLD_MASTER, OLD_KEYS = "CK_SSL3_MASTER_KEY_DERIVE_PARAMS", "CK_SSL3_KEY_MAT_PARAMS"


def master(kind: int, digest: int = c.CKM_SHA256, version: Any = NULL) -> Parameter:
    if digest == c.CKM_TLS_PRF:
        return Parameter(kind, OLD_MASTER, pVersion=version)
    name = "CK_TLS12_MASTER_KEY_DERIVE_PARAMS"
    return Parameter(kind, name, pVersion=version, prfHashMechanism=digest)


def extended(kind: int, digest: int, version: Any = NULL) -> Parameter:
    return Parameter(
        kind,
        "CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS",
        random=False,
        prfHashMechanism=digest,
        pSessionHash=b"hash of all messages",
        ulSessionHashLen=20,
        pVersion=version,
    )


class Keys(Parameter):
    """CK_TLS12_KEY_MAT_PARAMS, or that of TLS 1.0, and what it returns."""

    def __init__(
        self,
        kind: int = c.CKM_TLS12_KEY_AND_MAC_DERIVE,
        digest: int = c.CKM_SHA256,
        mac: int = 256,
        key: int = 128,
        iv: int = 128,
        **fields: Any,
    ) -> None:
        self.ivs = [ffi.new("CK_BYTE[]", b"\xa5" * 32), ffi.new("CK_BYTE[]", b"\xa5" * 32)]
        self.out = ffi.new("CK_SSL3_KEY_MAT_OUT *", [77, 77, 77, 77, *self.ivs])
        sizes = {"ulMacSizeInBits": mac, "ulKeySizeInBits": key, "ulIVSizeInBits": iv}
        fields = {"pReturnedKeyMaterial": self.out, **sizes, **fields}
        if digest == c.CKM_TLS_PRF:
            super().__init__(kind, OLD_KEYS, **fields)
        else:
            super().__init__(kind, "CK_TLS12_KEY_MAT_PARAMS", prfHashMechanism=digest, **fields)

    @property
    def handles(self) -> list[int]:
        out = self.out
        return [out.hClientMacSecret, out.hServerMacSecret, out.hClientKey, out.hServerKey]

    def derive(
        self, p11: Client, session: int, base: int, attributes: dict[int, Value]
    ) -> list[int]:
        p11.do("C_DeriveKey", session, self.mechanism, base, *template(attributes), NULL)
        return self.handles


def base_key(p11: Client, session: int, value: bytes = SECRET, **more: Value) -> int:
    return secret(p11, session, value, c.CKK_GENERIC_SECRET, **{"SENSITIVE": False, **more})


# -- pre-master and master secrets ------------------------------------------------------------


@pytest.mark.parametrize("kind", [c.CKM_SSL3_PRE_MASTER_KEY_GEN, c.CKM_TLS_PRE_MASTER_KEY_GEN])
def test_pre_master_secrets(p11: Client, session: int, kind: int) -> None:
    mech = mechanism(kind, struct("CK_VERSION", major=3, minor=3))
    made = [
        p11.get(session, p11.generate(session, mech, named({**READABLE, **more})), c.CKA_VALUE)
        for more in ({}, {"VALUE_LEN": 48})
    ]
    assert all(len(value) == 48 and value[:2] == b"\3\3" for value in made)
    assert len(set(made)) == 2
    key = p11.generate(session, mech, {})
    assert p11.get(session, key, c.CKA_DERIVE) == p11.get(session, key, c.CKA_LOCAL) == b"\1"
    assert number(p11.get(session, key, c.CKA_KEY_TYPE)) == c.CKK_GENERIC_SECRET
    assert number(p11.get(session, key, c.CKA_KEY_GEN_MECHANISM)) == kind
    for wrong in ({c.CKA_VALUE_LEN: 47}, {c.CKA_KEY_TYPE: c.CKK_AES}):
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            p11.generate(session, mech, wrong)
    for bad in (None, b"\3", b"\3\3\3"):
        with refused(c.CKR_MECHANISM_PARAM_INVALID):
            p11.generate(session, mechanism(kind, bad), {})


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        (c.CKM_TLS12_MASTER_KEY_DERIVE, c.CKM_SHA256),
        (c.CKM_TLS12_MASTER_KEY_DERIVE, c.CKM_SHA384),
        (c.CKM_TLS_MASTER_KEY_DERIVE, c.CKM_TLS_PRF),
    ],
)
def test_master_secrets(p11: Client, session: int, kind: int, digest: int) -> None:
    version = ffi.new("CK_VERSION *", (9, 9))
    parameter = master(kind, digest, version)
    key = p11.derive(session, parameter.mechanism, base_key(p11, session), named(READABLE))
    expected = openssl_prf(digest, SECRET, b"master secret" + CLIENT + SERVER, 48)
    assert p11.get(session, key, c.CKA_VALUE) == expected
    assert (version.major, version.minor) == (3, 3)
    with refused(c.CKR_KEY_SIZE_RANGE):
        p11.derive(session, parameter.mechanism, base_key(p11, session, SECRET[1:]), {})
    p11.derive(session, master(kind, digest).mechanism, base_key(p11, session), {})  # no version
    version.major = 9
    for wrong in ({c.CKA_VALUE_LEN: 47}, {c.CKA_KEY_TYPE: c.CKK_AES}):
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            p11.derive(session, parameter.mechanism, base_key(p11, session), wrong)
    assert version.major == 9, "nothing is returned by a call that fails"


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        (c.CKM_TLS12_MASTER_KEY_DERIVE_DH, c.CKM_SHA256),
        (c.CKM_TLS12_MASTER_KEY_DERIVE_DH, c.CKM_SHA512),
        (c.CKM_TLS_MASTER_KEY_DERIVE_DH, c.CKM_TLS_PRF),
    ],
)
@pytest.mark.parametrize("size", [31, 32, 66])
def test_master_secrets_of_an_agreement(
    p11: Client, session: int, kind: int, digest: int, size: int
) -> None:
    shared = bytes(range(size))
    base = base_key(p11, session, shared)
    key = p11.derive(session, master(kind, digest).mechanism, base, named(READABLE))
    expected = openssl_prf(digest, shared, b"master secret" + CLIENT + SERVER, 48)
    assert p11.get(session, key, c.CKA_VALUE) == expected
    version = ffi.new("CK_VERSION *", (9, 9))
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        p11.derive(session, master(kind, digest, version).mechanism, base, {})


def test_extended_master_secrets(p11: Client, session: int) -> None:
    seed = b"extended master secret" + b"hash of all messages"
    version = ffi.new("CK_VERSION *", (9, 9))
    for kind, value, where in (
        (c.CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE, SECRET, version),
        (c.CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE_DH, SECRET[:32], NULL),
    ):
        parameter = extended(kind, c.CKM_SHA384, where)
        base = base_key(p11, session, value)
        key = p11.derive(session, parameter.mechanism, base, named(READABLE))
        expected = openssl_prf(c.CKM_SHA384, value, seed, 48)
        assert p11.get(session, key, c.CKA_VALUE) == expected
    assert (version.major, version.minor) == (3, 3)
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        kind = c.CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE
        p11.derive(session, extended(kind, c.CKM_AES_ECB).mechanism, base_key(p11, session), {})


def test_what_a_master_secret_may_do(p11: Client, session: int) -> None:
    """The mechanism contributes CKA_ALLOWED_MECHANISMS (section 6.40.4)."""
    parameter = master(c.CKM_TLS12_MASTER_KEY_DERIVE)
    key = p11.derive(session, parameter.mechanism, base_key(p11, session), {})
    found = p11.get(session, key, c.CKA_ALLOWED_MECHANISMS)
    allowed = {number(found[n : n + 8]) for n in range(0, len(found), 8)}
    assert allowed == {
        c.CKM_TLS12_KEY_AND_MAC_DERIVE,
        c.CKM_TLS12_KEY_SAFE_DERIVE,
        c.CKM_TLS_KDF,
        c.CKM_TLS_MAC,
        c.CKM_TLS12_KDF,
        c.CKM_TLS12_MAC,
    }
    with refused(c.CKR_MECHANISM_INVALID):
        p11.derive(session, parameter.mechanism, key, {})
    data = struct("CK_KEY_DERIVATION_STRING_DATA", pData=b"x", ulLen=1)
    with refused(c.CKR_MECHANISM_INVALID):
        p11.derive(session, mechanism(c.CKM_XOR_BASE_AND_DATA, data), key, {})
    other = {c.CKA_ALLOWED_MECHANISMS: (c.CKM_XOR_BASE_AND_DATA,)}
    with refused(c.CKR_TEMPLATE_INCONSISTENT):
        p11.derive(session, parameter.mechanism, base_key(p11, session), other)


# -- keys of a connection ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        (c.CKM_TLS12_KEY_AND_MAC_DERIVE, c.CKM_SHA256),
        (c.CKM_TLS12_KEY_AND_MAC_DERIVE, c.CKM_SHA384),
        (c.CKM_TLS12_KEY_SAFE_DERIVE, c.CKM_SHA256),
        (c.CKM_TLS_KEY_AND_MAC_DERIVE, c.CKM_TLS_PRF),
    ],
)
@pytest.mark.parametrize(
    ("mac", "key", "iv"), [(256, 128, 128), (160, 256, 32), (0, 256, 96), (160, 0, 0)]
)
def test_keys_and_ivs(
    p11: Client, session: int, kind: int, digest: int, mac: int, key: int, iv: int
) -> None:
    parameter = Keys(kind, digest, mac, key, iv)
    asked: dict[str, Value] = {**READABLE, "LABEL": "tls"}
    if key:
        asked |= {"KEY_TYPE": c.CKK_AES, "VALUE_LEN": key // 8}
    handles = parameter.derive(p11, session, base_key(p11, session), named(asked))
    block = openssl_prf(digest, SECRET, b"key expansion" + SERVER + CLIENT, 200)
    for handle, bits in zip(handles, (mac, mac, key, key), strict=True):
        size = bits // 8
        assert bool(handle) == bool(size)
        if size:
            assert p11.get(session, handle, c.CKA_VALUE) == block[:size]
            assert p11.get(session, handle, c.CKA_LABEL) == b"tls"
        block = block[size:]
    size = 0 if kind == c.CKM_TLS12_KEY_SAFE_DERIVE else iv // 8
    for place in parameter.ivs:
        assert bytes(ffi.buffer(place, 32)) == block[:size] + b"\xa5" * (32 - size)
        block = block[size:]


def test_what_the_keys_of_a_connection_are(p11: Client, session: int) -> None:
    born = p11.generate(
        session,
        mechanism(c.CKM_GENERIC_SECRET_KEY_GEN),
        named({"VALUE_LEN": 48, "SENSITIVE": True, "EXTRACTABLE": False, "DERIVE": True}),
    )
    aes = named({"KEY_TYPE": c.CKK_AES})
    for base, expected in ((born, (1, 0, 1, 1)), (base_key(p11, session), (0, 1, 0, 0))):
        handles = Keys().derive(p11, session, base, aes)
        kinds = (c.CKA_SENSITIVE, c.CKA_EXTRACTABLE, c.CKA_ALWAYS_SENSITIVE)
        for handle in handles:
            found = [p11.get(session, handle, a)[0] for a in (*kinds, c.CKA_NEVER_EXTRACTABLE)]
            assert tuple(found) == expected
        for contrary in (
            {c.CKA_SENSITIVE: not expected[0]},
            {c.CKA_EXTRACTABLE: not expected[1]},
        ):
            keys = Keys()
            with refused(c.CKR_TEMPLATE_INCONSISTENT):
                keys.derive(p11, session, base, aes | contrary)
            assert keys.handles == [77] * 4
        usages = {
            name: [p11.get(session, handle, getattr(c, f"CKA_{name}")) == b"\1" for handle in pair]
            for pair in (handles[::2],)
            for name in ("SIGN", "VERIFY", "ENCRYPT", "DECRYPT", "DERIVE")
        }
        assert usages["SIGN"][0] and usages["VERIFY"][0] and not usages["ENCRYPT"][0]
        assert all(usages[name] == [False, True] for name in ("ENCRYPT", "DECRYPT", "DERIVE"))
        kinds = [number(p11.get(session, handle, c.CKA_KEY_TYPE)) for handle in handles]
        assert kinds == [c.CKK_GENERIC_SECRET] * 2 + [c.CKK_AES] * 2


def test_keys_of_a_connection_that_are_refused(p11: Client, session: int) -> None:
    base = base_key(p11, session)
    aes = named({"KEY_TYPE": c.CKK_AES})
    before = len(p11.find(session, {}))
    for keys, rv in (
        (Keys(bIsExport=True), c.CKR_MECHANISM_PARAM_INVALID),
        (Keys(mac=7), c.CKR_MECHANISM_PARAM_INVALID),
        (Keys(iv=1 << 40), c.CKR_MECHANISM_PARAM_INVALID),
        (Keys(digest=c.CKM_AES_ECB), c.CKR_MECHANISM_PARAM_INVALID),
        (Keys(pReturnedKeyMaterial=NULL), c.CKR_MECHANISM_PARAM_INVALID),
        (Keys(key=136), c.CKR_ATTRIBUTE_VALUE_INVALID),
    ):
        with refused(rv):
            keys.derive(p11, session, base, aes)
        assert keys.handles == [77] * 4
    keys = Keys()
    keys.out.pIVServer = NULL
    with refused(c.CKR_MECHANISM_PARAM_INVALID):
        keys.derive(p11, session, base, aes)
    safe = Keys(c.CKM_TLS12_KEY_SAFE_DERIVE)
    safe.out.pIVServer = safe.out.pIVClient = NULL
    for handle in safe.derive(p11, session, base, aes):
        p11.do("C_DestroyObject", session, handle)
    with refused(c.CKR_TEMPLATE_INCONSISTENT):
        Keys().derive(p11, session, base, aes | {c.CKA_VALUE_LEN: 32})
    with refused(c.CKR_KEY_TYPE_INCONSISTENT):
        Keys().derive(p11, session, generated(p11, session, DERIVE=True), aes)
    assert len(p11.find(session, {})) == before + 1


# -- other output of the PRF ------------------------------------------------------------------


@pytest.mark.parametrize("kind", [c.CKM_TLS_KDF, c.CKM_TLS12_KDF])
@pytest.mark.parametrize("digest", DIGESTS)
def test_exported_keying_material(p11: Client, session: int, kind: int, digest: int) -> None:
    base = base_key(p11, session)
    asked = named({"VALUE_LEN": 60, **READABLE})
    for context, encoded in ((None, b""), (b"", b"\0\0"), (b"context", b"\0\7context")):
        parameter = Parameter(
            kind,
            "CK_TLS_KDF_PARAMS",
            prfMechanism=digest,
            pLabel=b"EXPORTER-x",
            ulLabelLength=10,
            pContextData=NULL if context is None else context,
            ulContextDataLength=len(context or b""),
        )
        key = p11.derive(session, parameter.mechanism, base, asked)
        seed = b"EXPORTER-x" + CLIENT + SERVER + encoded
        assert p11.get(session, key, c.CKA_VALUE) == openssl_prf(digest, SECRET, seed, 60)
    with refused(c.CKR_TEMPLATE_INCOMPLETE):
        p11.derive(session, parameter.mechanism, base, {})
    hidden = base_key(p11, session, SENSITIVE=True, EXTRACTABLE=False)
    for reveal in ({c.CKA_SENSITIVE: False}, {c.CKA_EXTRACTABLE: True}):
        with refused(c.CKR_TEMPLATE_INCONSISTENT):
            p11.derive(session, parameter.mechanism, hidden, {c.CKA_VALUE_LEN: 16, **reveal})
    for base_, expected in ((hidden, b"\1\0"), (base, b"\0\1")):
        key = p11.derive(session, parameter.mechanism, base_, {c.CKA_VALUE_LEN: 16})
        found = p11.get(session, key, c.CKA_SENSITIVE) + p11.get(session, key, c.CKA_EXTRACTABLE)
        assert found == expected


def test_output_of_the_old_prf(p11: Client, session: int) -> None:
    out, length = ffi.new("CK_BYTE[]", b"\xa5" * 40), ffi.new("CK_ULONG *", 36)
    parameter = Parameter(
        c.CKM_TLS_PRF,
        "CK_TLS_PRF_PARAMS",
        random=False,
        pSeed=b"seed",
        ulSeedLen=4,
        pLabel=b"client finished",
        ulLabelLen=15,
        pOutput=out,
        pulOutputLen=length,
    )
    before = len(p11.find(session, {}))
    base = base_key(p11, session)
    p11.do("C_DeriveKey", session, parameter.mechanism, base, NULL, 0, NULL)
    expected = openssl_prf(c.CKM_TLS_PRF, SECRET, b"client finishedseed", 36)
    assert bytes(ffi.buffer(out, 40)) == expected + b"\xa5" * 4
    assert length[0] == 36
    assert len(p11.find(session, {})) == before + 1
    for bad in (0, 1 << 30):
        length[0] = bad
        rv = p11.C_DeriveKey(session, parameter.mechanism, base, NULL, 0, NULL)
        assert rv == c.CKR_MECHANISM_PARAM_INVALID
    parameter.c.pOutput = NULL
    rv = p11.C_DeriveKey(session, parameter.mechanism, base, NULL, 0, NULL)
    assert rv == c.CKR_MECHANISM_PARAM_INVALID


# -- the MAC of finished messages -------------------------------------------------------------


def mac_of(kind: int, digest: int, length: int = 12, sender: int = 2) -> Any:
    fields = {"ulMacLength": length, "ulServerOrClient": sender}
    return mechanism(kind, struct("CK_TLS_MAC_PARAMS", prfHashMechanism=digest, **fields))


@pytest.mark.parametrize("kind", [c.CKM_TLS_MAC, c.CKM_TLS12_MAC])
@pytest.mark.parametrize("digest", DIGESTS)
@pytest.mark.parametrize(("sender", "label"), [(1, b"server finished"), (2, b"client finished")])
def test_finished_messages(
    p11: Client, session: int, kind: int, digest: int, sender: int, label: bytes
) -> None:
    key = base_key(p11, session)
    for length in (12, 48):
        mech = mac_of(kind, digest, length, sender)
        mac = p11.sign(session, mech, key, b"hash of messages")
        expected = openssl_prf(digest, SECRET, label + b"hash of messages", length)
        assert mac == expected
        p11.verify(session, mech, key, mac, b"hash of ", b"messages")
        with refused(c.CKR_SIGNATURE_INVALID):
            p11.verify(session, mech, key, mac[:-1] + bytes([mac[-1] ^ 1]), b"hash of messages")
        with refused(c.CKR_SIGNATURE_LEN_RANGE):
            p11.verify(session, mech, key, mac[:-1], b"hash of messages")


def test_a_finished_message_in_any_parts(p11: Client, session: int) -> None:
    key, mech = base_key(p11, session), mac_of(c.CKM_TLS_MAC, c.CKM_SHA256)
    whole = p11.sign(session, mech, key, SECRET)

    @settings(max_examples=10)
    @given(st.integers(0, 48), st.integers(0, 48))
    def check(first: int, second: int) -> None:
        first, second = sorted((first, second))
        parts = SECRET[:first], SECRET[first:second], SECRET[second:]
        assert p11.sign(session, mech, key, *parts) == whole

    check()


def test_macs_that_are_refused(p11: Client, session: int) -> None:
    key = base_key(p11, session)
    for mech in (
        mac_of(c.CKM_TLS_MAC, c.CKM_SHA256, 11),
        mac_of(c.CKM_TLS_MAC, c.CKM_SHA256, 1 << 20),
        mac_of(c.CKM_TLS_MAC, c.CKM_SHA256, sender=0),
        mac_of(c.CKM_TLS_MAC, c.CKM_SHA256, sender=3),
        mac_of(c.CKM_TLS_MAC, c.CKM_SHA256_HMAC),
        mechanism(c.CKM_TLS_MAC),
    ):
        assert p11.C_SignInit(session, mech, key) == c.CKR_MECHANISM_PARAM_INVALID
        assert p11.C_VerifyInit(session, mech, key) == c.CKR_MECHANISM_PARAM_INVALID
    rv = p11.C_SignInit(session, mac_of(c.CKM_TLS_MAC, c.CKM_SHA256), generated(p11, session))
    assert rv == c.CKR_KEY_TYPE_INCONSISTENT


# -- all of it --------------------------------------------------------------------------------


def test_a_handshake_whose_secrets_stay_in_the_token(p11: Client, session: int) -> None:
    """What a client does whose key exchange is by RSA: every secret is sensitive throughout."""
    version = struct("CK_VERSION", major=3, minor=3)
    hidden = named({"SENSITIVE": True, "EXTRACTABLE": False})
    pre_master = p11.generate(session, mechanism(c.CKM_SSL3_PRE_MASTER_KEY_GEN, version), hidden)
    secret_ = p11.derive(
        session, master(c.CKM_TLS12_MASTER_KEY_DERIVE).mechanism, pre_master, hidden
    )
    keys = Keys(iv=0)
    _, _, mine, theirs = keys.derive(p11, session, secret_, named({"KEY_TYPE": c.CKK_AES}))
    mac = p11.sign(session, mac_of(c.CKM_TLS_MAC, c.CKM_SHA256), secret_, b"hash")
    assert len(mac) == 12
    text = b"sixteen octets.."
    ciphertext = p11.encrypt(session, mechanism(c.CKM_AES_ECB), mine, text)
    assert p11.decrypt(session, mechanism(c.CKM_AES_ECB), mine, ciphertext) == text
    assert p11.encrypt(session, mechanism(c.CKM_AES_ECB), theirs, text) != ciphertext
    for key in (pre_master, secret_, *keys.handles):
        with refused(c.CKR_ATTRIBUTE_SENSITIVE):
            p11.get(session, key, c.CKA_VALUE)
        assert p11.get(session, key, c.CKA_ALWAYS_SENSITIVE) == b"\1"
