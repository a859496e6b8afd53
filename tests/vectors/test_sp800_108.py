"""Key derivation by SP 800-108, and the PRFs of TLS, against NIST's and others' answers."""

from __future__ import annotations

from typing import Any

import pytest
from unit.mechanisms.keys import secret
from vectors.readers import cases

from pypkcs11.mechanisms.parameters import PrfData, Sp800FeedbackKdf, Sp800Kdf
from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.mechanisms.tls_prf import prf
from pypkcs11.standard import constants as c

MECHANISMS = mechanisms()

PRFS = {
    "CMAC_AES128": (c.CKM_AES_CMAC, c.CKK_AES),
    "CMAC_AES192": (c.CKM_AES_CMAC, c.CKK_AES),
    "CMAC_AES256": (c.CKM_AES_CMAC, c.CKK_AES),
    "HMAC_SHA1": (c.CKM_SHA_1_HMAC, c.CKK_GENERIC_SECRET),
    "HMAC_SHA224": (c.CKM_SHA224_HMAC, c.CKK_SHA224_HMAC),
    "HMAC_SHA256": (c.CKM_SHA256_HMAC, c.CKK_GENERIC_SECRET),
    "HMAC_SHA384": (c.CKM_SHA384_HMAC, c.CKK_SHA384_HMAC),
    "HMAC_SHA512": (c.CKM_SHA512_HMAC, c.CKK_GENERIC_SECRET),
    "HMAC_SHA3_384": (c.CKM_SHA3_384_HMAC, c.CKK_SHA3_384_HMAC),
}
ITERATION = PrfData(c.CK_SP800_108_ITERATION_VARIABLE)


def data(*octets: bytes) -> list[PrfData]:
    return [PrfData(c.CK_SP800_108_BYTE_ARRAY, data=part) for part in octets if part]


def derive(
    mechanism: int, prf_name: str, key: bytes, items: list[PrfData], length: int, iv: bytes = b""
) -> bytes:
    row = MECHANISMS[mechanism]
    prf_mechanism, key_type = PRFS[prf_name]

    def unused(*_: Any) -> None:
        raise AssertionError

    made = Sp800FeedbackKdf if mechanism == c.CKM_SP800_108_FEEDBACK_KDF else Sp800Kdf
    parameter = made(prf_mechanism, tuple(items), iv, (), unused, unused)
    assert row.derive_many
    material = row.derive_many(secret(key_type, key), parameter, [length], [])
    value = material.values[0][c.CKA_VALUE]
    assert isinstance(value, bytes)
    return value


def test_counter_mode() -> None:
    """All of NIST's answers but those of triple DES."""
    done = set()
    section: dict[str, str] = {}
    for case in cases("KDF/nist-800-108-KBKDF-CTR.txt", "count"):
        section |= {name: case[name] for name in ("prf", "ctrlocation", "rlen") if name in case}
        if section["prf"] not in PRFS:
            continue
        width = int(section["rlen"].removesuffix("_BITS"))
        counter = ITERATION._replace(width=width)
        if section["ctrlocation"] == "MIDDLE_FIXED":
            before = bytes.fromhex(case["databeforectrdata"])
            after = bytes.fromhex(case["dataafterctrdata"])
            items = [*data(before), counter, *data(after)]
        else:
            fixed = data(bytes.fromhex(case["fixedinputdata"]))
            first = section["ctrlocation"] == "BEFORE_FIXED"
            items = [counter, *fixed] if first else [*fixed, counter]
        key, expected = bytes.fromhex(case["ki"]), bytes.fromhex(case["ko"])
        mechanism = c.CKM_SP800_108_COUNTER_KDF
        assert derive(mechanism, section["prf"], key, items, len(expected)) == expected
        done.add((section["prf"], section["ctrlocation"], width, case["count"]))
    assert len(done) == 8 * 3 * 4 * 40


#: NIST's automated validation (ACVP, KDF 1.0): PRF, where the counter is and of how many bits, key,
#: fixed data, IV, output.
FEEDBACK = [
    (
        "HMAC_SHA512 after 16",
        "541F4AE0AB02594E810954C1928A2535",
        "97225EB3A9CD0512E2B9073DBAD45C60",
        "",
        "513D849444C76A2B5C61F30573ABE4000E6DC9437FECCDB54B45C695790BAF01"
        "93442B0F8CF12CAF3CA7D26E3C8171F112E53AB0DAD56D20079CADE919E9535B"
        "00EF1042279FD347207C421D96CB7A4C949B07BF67B32B04D3615736F2BF7311"
        "A793F61DF9D58041D7A2ED2BEDF9465B2EF2DBDBC1FE6D7E8CE12FEC19737EF4",
    ),
    (
        "HMAC_SHA512 before 16",
        "CF4F9FD6D5038A0C940B74AEC07DF42A",
        "93338BFA4BE9AD24476ABF5D01A3A655",
        "4C103AF57A4C34DFDA4B6E910C23D85A3FBA2185DF8638F75FA66AC0706FD746"
        "4879ED34C2D505B5B96B8184E10DCAB22B2FCCD9EAEECE3A44FCCA8001ED4A5B",
        "0B2F52055343AB8062A2A2257C67648C1ED1D5ED6C6250ACC3FADB6D9BF286D0"
        "051723C1F33951B980688D3FD14A13B6E529358D1F6807C49D5BB909B706C4CF"
        "9F54DB26F447919EC1C505255568AB73D0D951D89BC2C96F0172D9D22C430A0F"
        "A0E67D6AD85ACBBA67B7DCF8BF3F5AD43D4E8F5A6FA822337C6C6AA8CBB6DB38",
    ),
    (
        "HMAC_SHA512 first 8",
        "D6EECA83E893496D3CFC84C0C79E8C11",
        "570E66A1CA83E6B9FD1D767DE257DF7A",
        "E6D2DCAFAE384E8444D9F46DEC8B3C173690007323B0317676DC5E38BBB9C9A4"
        "3122309A3AEBDC58818951FCFA5C965C563236ABFB119D176C169B8A91D00E95",
        "3F7B3915AD1C4E6BFF18A350EC34FE78089F0EABDC22C4A139C71F441ADF19C3"
        "3FA5BDB67C618F597E6B805E4F9A6B2BC66D41C386DDD0557853F812C672A935"
        "674F58135DEFB5E4F03FCCF449D0BECF2EED",
    ),
]
PIPELINE = [
    (
        "HMAC_SHA3_384 after 24",
        "8AA54D69DD1B91E91DA09E012DF3A4E9",
        "BB722082D793C889F001C588F835E2D4",
        "",
        "1F21E10F6829D228E5D851F4F2CAC6C66CB51CD6C7127D508A1DF3B052AE4848"
        "4AAFC7123580DEEC21A90F0B024DE507CBC41C95FB96324FE98D4775BB51983F"
        "CB7A95B9CE8938D61E6D3EE97389306BE54E423720BA05865BCD03120D94C176",
    ),
    (
        "HMAC_SHA3_384 before 16",
        "7CDA645BBBF2BA163B1DC487A1EB9C76",
        "ADF679152579E1DCBEF18B2C049B2E55",
        "",
        "73F3180ECA461BC3C8EB11523F4869B8E4B71365B7A484A22B8DB4D37BEA7EE3"
        "EDA61D1DDA126C5B33F8FD11F641523EB126E4F1FD5043784B98D2F5E007834F"
        "83A656E2C3BE84B2BF1DD007CA1194C86167A9D75C0317005399A31548E342D1",
    ),
    (
        "HMAC_SHA3_384 first 16",
        "BC626DB65EB56A621EA8595321D68284",
        "E391C59511159555A43983445689D165",
        "",
        "30897ABA4B6DC270BE990D0409163CBF85E0A2DC42D635E1582B4ED528A0CBDA"
        "7A6E06871B524728821BFBF325B9E19EAA87C40181EFF9409E11E1CD0077FE28"
        "476BDE4B0FB2766AEBE460EAA1E927D0A106FC2FABB82DDEB8803D210F928A99",
    ),
    (  # of the older validation (CAVS)
        "CMAC_AES128 before 32",
        "34f0c2542bfe13c7149b68c8a1ef636b",
        "daefcc52d6e32e1614109268933087fce3d64a5a6f111ba1a8d343a1e388a175"
        "2aaea93853be52864997a81c84b04c4f3ff3bd",
        "",
        "fc0eae673e7db3c4660668e187bcd81d5ca9b89213d8d741e71c9bab89bb4fb3"
        "c4df541d89a8117f0f56b0f15111ae28abf81fb7d7349fbbcaf01137e4d73527",
    ),
]


@pytest.mark.parametrize(
    ("mechanism", "case"),
    [
        *((c.CKM_SP800_108_FEEDBACK_KDF, case) for case in FEEDBACK),
        *((c.CKM_SP800_108_DOUBLE_PIPELINE_KDF, case) for case in PIPELINE),
    ],
)
def test_other_modes(mechanism: int, case: tuple[str, ...]) -> None:
    kind, *numbers = case
    key, fixed, iv, expected = map(bytes.fromhex, numbers)
    prf_name, place, width = kind.split()
    counter = PrfData(c.CK_SP800_108_COUNTER, width=int(width))
    items = {
        "first": [counter, ITERATION, *data(fixed)],
        "before": [ITERATION, counter, *data(fixed)],
        "after": [ITERATION, *data(fixed), counter],
    }[place]
    assert derive(mechanism, prf_name, key, items, len(expected), iv) == expected


@pytest.mark.parametrize(
    ("digest", "key", "label", "seed", "expected"),
    [
        (
            c.CKM_TLS_PRF,
            "BCBD1EFDA490B9D541BA9DF50FE9A451DD0313",
            b"",
            "255230A341E671BC31B1",
            "2291E19459725562F106F63FE2F81E73BA23F04A",
        ),
        (
            c.CKM_TLS_PRF,
            "2212169D33FADC6FF94A3E5E0020587953CF1964",
            b"",
            "FCD5C9637A21E43F3CFF6ECF65B6E2F97933779F101AD6",
            "1E1C646C2BFBDC62FA4C81F1D0781F5F269D3F45E5C33CAC8A2640226C8C5D16",
        ),
        (
            c.CKM_SHA224,
            "e18828740352b530d69b34c6597dea2e",
            b"test label",
            "f5a3fe6d34e2e28560fdcaf6823f9091",
            "224d8af3c0453393a9779789d21cf7da5ee62ae6b617873d489428efc8dd58d1"
            "566e7029e2ca3a5ecd355dc64d4d927e2fbd78c4233e8604b14749a77a92a70f"
            "ddf614bc0df623d798604e4ca5512794d802a258e82f86cf",
        ),
        (
            c.CKM_SHA256,
            "9bbe436ba940f017b17652849a71db35",
            b"test label",
            "a0ba9f936cda311827a6f796ffd5198c",
            "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a"
            "6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab"
            "4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"
            "87347b66",
        ),
        (
            c.CKM_SHA384,
            "b80b733d6ceefcdc71566ea48e5567df",
            b"test label",
            "cd665cf6a8447dd6ff8b27555edb7465",
            "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cd"
            "e9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700884f9dc236f80edd"
            "8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425"
            "9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee6"
            "91c8f3a26854308d5eaa3be85e0990703d73e56f",
        ),
    ],
)
def test_the_prfs_of_tls(digest: int, key: str, label: bytes, seed: str, expected: str) -> None:
    """Answers that implementers of TLS have exchanged."""
    output = bytes.fromhex(expected)
    assert prf(digest, bytes.fromhex(key), label, bytes.fromhex(seed), len(output)) == output
