"""What applications see of the rules for templates, one rule at a time."""

from __future__ import annotations

from typing import Any

import pytest

from pypkcs11.core.templates import (
    Origin,
    build,
    copied,
    finish,
    is_hidden,
    modified,
    secret_types,
    split,
)
from pypkcs11.standard import constants as C  # noqa: N812
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.standard.values import Value

AES = ((C.CKA_CLASS, C.CKO_SECRET_KEY), (C.CKA_KEY_TYPE, C.CKK_AES), (C.CKA_VALUE, b"k" * 16))
AES_GIVEN = {C.CKA_CLASS: C.CKO_SECRET_KEY, C.CKA_KEY_TYPE: C.CKK_AES}
DATA = ((C.CKA_CLASS, C.CKO_DATA),)
RSA_PRIVATE = (
    (C.CKA_CLASS, C.CKO_PRIVATE_KEY),
    (C.CKA_KEY_TYPE, C.CKK_RSA),
    (C.CKA_MODULUS, b"\xc1" * 128),
    (C.CKA_PRIVATE_EXPONENT, b"\xb1" * 128),
)
RSA_PUBLIC = (
    (C.CKA_CLASS, C.CKO_PUBLIC_KEY),
    (C.CKA_KEY_TYPE, C.CKK_RSA),
    (C.CKA_MODULUS, b"\xc1" * 128),
    (C.CKA_PUBLIC_EXPONENT, b"\1\0\1"),
)
X509 = (
    (C.CKA_CLASS, C.CKO_CERTIFICATE),
    (C.CKA_CERTIFICATE_TYPE, C.CKC_X_509),
    (C.CKA_VALUE, b"certificate"),
)
TRUST = (
    (C.CKA_CLASS, C.CKO_TRUST),
    (C.CKA_ISSUER, b"issuer"),
    (C.CKA_SERIAL_NUMBER, b"\2\1\1"),
)

Items = tuple[tuple[int, Any], ...]


def create(*template: tuple[int, Any], private: bool = True, so: bool = False) -> dict[int, Value]:
    return build(template, Origin.CREATE, private=private, so=so)


def generate(*template: tuple[int, Any]) -> dict[int, Value]:
    return build(template, Origin.GENERATE, given=AES_GIVEN, private=True, so=False)


def made(*template: tuple[int, Any], so: bool = False) -> dict[int, Value]:
    attributes = create(*template, so=so)
    finish(attributes, Origin.CREATE, None)
    return attributes


def refused(rv: int) -> Any:
    return pytest.raises(CryptokiError, check=lambda error: error.rv == rv)


class TestDefaults:
    def test_secret_key(self) -> None:
        attributes = create(*AES)
        expected = {
            C.CKA_TOKEN: False,
            C.CKA_PRIVATE: True,
            C.CKA_MODIFIABLE: True,
            C.CKA_COPYABLE: True,
            C.CKA_DESTROYABLE: True,
            C.CKA_LABEL: b"",
            C.CKA_ID: b"",
            C.CKA_START_DATE: b"",
            C.CKA_END_DATE: b"",
            C.CKA_SENSITIVE: False,
            C.CKA_EXTRACTABLE: False,
            C.CKA_ENCRYPT: True,
            C.CKA_DECRYPT: True,
            C.CKA_SIGN: True,
            C.CKA_VERIFY: True,
            C.CKA_WRAP: True,
            C.CKA_UNWRAP: True,
            C.CKA_DERIVE: False,
            C.CKA_TRUSTED: False,
            C.CKA_WRAP_WITH_TRUSTED: False,
            C.CKA_ALLOWED_MECHANISMS: (),
            C.CKA_WRAP_TEMPLATE: (),
            C.CKA_UNWRAP_TEMPLATE: (),
        }
        assert attributes | expected == attributes

    def test_private_and_public_key(self) -> None:
        private, public = create(*RSA_PRIVATE), create(*RSA_PUBLIC)
        for type in (C.CKA_DECRYPT, C.CKA_SIGN, C.CKA_SIGN_RECOVER, C.CKA_UNWRAP, C.CKA_PRIVATE):
            assert private[type] is True
        for type in (C.CKA_SENSITIVE, C.CKA_EXTRACTABLE, C.CKA_ALWAYS_AUTHENTICATE, C.CKA_DERIVE):
            assert private[type] is False
        for type in (C.CKA_ENCRYPT, C.CKA_VERIFY, C.CKA_VERIFY_RECOVER, C.CKA_WRAP):
            assert public[type] is True
        assert public[C.CKA_PRIVATE] is False
        assert private[C.CKA_SUBJECT] == public[C.CKA_SUBJECT] == b""

    @pytest.mark.parametrize("template", [AES, RSA_PRIVATE, DATA])
    def test_private_as_the_login_is(self, template: Items) -> None:
        assert create(*template, private=True)[C.CKA_PRIVATE] is True
        assert create(*template, private=False)[C.CKA_PRIVATE] is False
        given = create(*template, (C.CKA_PRIVATE, False), private=True)
        assert given[C.CKA_PRIVATE] is False

    @pytest.mark.parametrize("template", [RSA_PUBLIC, X509, TRUST])
    def test_public_whoever_is_logged_in(self, template: Items) -> None:
        assert create(*template, private=True)[C.CKA_PRIVATE] is False

    @pytest.mark.parametrize("origin", [Origin.UNWRAP, Origin.ENCAPSULATE])
    def test_extractable_when_unwrapped(self, origin: Origin) -> None:
        attributes = build(AES[:2], origin, private=True, so=False)
        assert attributes[C.CKA_EXTRACTABLE] is True
        attributes = build((*AES[:2], (C.CKA_EXTRACTABLE, False)), origin, private=True, so=False)
        assert attributes[C.CKA_EXTRACTABLE] is False

    def test_defaults_are_nobodys_own(self) -> None:
        create(*AES)[C.CKA_LABEL] = b"changed"
        assert create(*AES)[C.CKA_LABEL] == b""


class TestBuild:
    def test_complete(self) -> None:
        for left_out in range(len(AES)):
            with refused(C.CKR_TEMPLATE_INCOMPLETE):
                create(*AES[:left_out], *AES[left_out + 1 :])
        with refused(C.CKR_TEMPLATE_INCOMPLETE):
            generate()
        assert generate((C.CKA_VALUE_LEN, 32))[C.CKA_KEY_TYPE] == C.CKK_AES

    @pytest.mark.parametrize("key_type", [C.CKK_ML_DSA, C.CKK_ML_KEM])
    def test_seed_or_value(self, key_type: int) -> None:
        key = (
            (C.CKA_CLASS, C.CKO_PRIVATE_KEY),
            (C.CKA_KEY_TYPE, key_type),
            (C.CKA_PARAMETER_SET, 2),
        )
        with refused(C.CKR_TEMPLATE_INCOMPLETE):
            create(*key)
        create(*key, (C.CKA_SEED, b"s" * 32))
        create(*key, (C.CKA_VALUE, b"v"))
        create(*key, (C.CKA_SEED, b"s" * 32), (C.CKA_VALUE, b"v"))

    def test_unknown_attributes(self) -> None:
        for type in (0x12345, C.CKA_VENDOR_DEFINED | 1):
            with refused(C.CKR_ATTRIBUTE_TYPE_INVALID):
                create(*AES, (type, b""))
        with refused(C.CKR_TEMPLATE_INCONSISTENT):
            create(*AES, (C.CKA_MODULUS, b"\1"))

    @pytest.mark.parametrize(
        "type",
        [
            C.CKA_LOCAL,
            C.CKA_UNIQUE_ID,
            C.CKA_KEY_GEN_MECHANISM,
            C.CKA_ALWAYS_SENSITIVE,
            C.CKA_NEVER_EXTRACTABLE,
        ],
    )
    @pytest.mark.parametrize("origin", Origin)
    def test_what_the_token_says(self, type: int, origin: Origin) -> None:
        value: Any = {C.CKA_UNIQUE_ID: b"id", C.CKA_KEY_GEN_MECHANISM: 1}.get(type, True)
        with refused(C.CKR_ATTRIBUTE_READ_ONLY):
            build((*AES[:2], (type, value)), origin, private=True, so=False)

    def test_values(self) -> None:
        for type, value in (
            (C.CKA_SIGN, 1),
            (C.CKA_SIGN, b"\1"),
            (C.CKA_LABEL, True),
            (C.CKA_START_DATE, b"2026112"),
            (C.CKA_START_DATE, b"2026-1-1"),
            (C.CKA_ALLOWED_MECHANISMS, (b"x",)),
            (C.CKA_WRAP_TEMPLATE, ((C.CKA_SIGN, 7),)),
            (C.CKA_WRAP_TEMPLATE, ((0x12345, b""),)),
        ):
            with refused(C.CKR_ATTRIBUTE_VALUE_INVALID):
                create(*AES, (type, value))
        with refused(C.CKR_ATTRIBUTE_VALUE_INVALID):
            create(*X509, (C.CKA_CERTIFICATE_CATEGORY, 4))
        inner = ((C.CKA_SIGN, True), (C.CKA_ALLOWED_MECHANISMS, (C.CKM_AES_CBC,)))
        assert create(*AES, (C.CKA_WRAP_TEMPLATE, inner))[C.CKA_WRAP_TEMPLATE] == inner
        assert create(*AES, (C.CKA_START_DATE, b"20261121"))[C.CKA_START_DATE] == b"20261121"

    def test_twice(self) -> None:
        assert create(*AES, (C.CKA_SIGN, False), (C.CKA_SIGN, False))[C.CKA_SIGN] is False
        with refused(C.CKR_TEMPLATE_INCONSISTENT):
            create(*AES, (C.CKA_SIGN, False), (C.CKA_SIGN, True))

    def test_against_the_mechanism(self) -> None:
        generate((C.CKA_CLASS, C.CKO_SECRET_KEY), (C.CKA_VALUE_LEN, 16))
        for contradiction in (
            (C.CKA_KEY_TYPE, C.CKK_DES3),
            (C.CKA_CLASS, C.CKO_PRIVATE_KEY),
        ):
            with refused(C.CKR_TEMPLATE_INCONSISTENT):
                generate(contradiction, (C.CKA_VALUE_LEN, 16))

    def test_given_template_does_not_trust(self) -> None:
        given = {**AES_GIVEN, C.CKA_TRUSTED: True}
        with refused(C.CKR_ATTRIBUTE_READ_ONLY):
            build((), Origin.UNWRAP, given=given, private=True, so=False)

    @pytest.mark.parametrize("template", [AES, X509, RSA_PUBLIC])
    def test_trust_is_the_officers(self, template: Items) -> None:
        with refused(C.CKR_ATTRIBUTE_READ_ONLY):
            create(*template, (C.CKA_TRUSTED, True))
        assert create(*template, (C.CKA_TRUSTED, False))[C.CKA_TRUSTED] is False
        assert create(*template, (C.CKA_TRUSTED, True), so=True)[C.CKA_TRUSTED] is True

    def test_always_authenticate_is_for_private_objects(self) -> None:
        with refused(C.CKR_TEMPLATE_INCONSISTENT):
            create(*RSA_PRIVATE, (C.CKA_ALWAYS_AUTHENTICATE, True), (C.CKA_PRIVATE, False))
        create(*RSA_PRIVATE, (C.CKA_ALWAYS_AUTHENTICATE, True))

    def test_trust_needs_the_certificates_hash(self) -> None:
        create(*TRUST, (C.CKA_TRUST_SERVER_AUTH, C.CKT_NOT_TRUSTED))
        trusted = (*TRUST, (C.CKA_TRUST_SERVER_AUTH, C.CKT_TRUST_ANCHOR))
        with refused(C.CKR_TEMPLATE_INCOMPLETE):
            create(*trusted)
        create(*trusted, (C.CKA_HASH_OF_CERTIFICATE, b"h" * 20))

    @pytest.mark.parametrize("object_class", [C.CKO_MECHANISM, C.CKO_PROFILE, C.CKO_HW_FEATURE, 77])
    def test_classes_that_nobody_creates(self, object_class: int) -> None:
        with refused(C.CKR_ATTRIBUTE_VALUE_INVALID):
            create((C.CKA_CLASS, object_class), (C.CKA_HW_FEATURE_TYPE, C.CKH_CLOCK))

    def test_both_numbers_of_the_encapsulation_template(self) -> None:
        inner = ((C.CKA_SIGN, True),)
        attributes = create(*RSA_PUBLIC, (0x4000062A, inner))
        assert attributes[C.CKA_ENCAPSULATE_TEMPLATE] == inner
        assert 0x4000062A not in attributes


class TestFinish:
    def test_generated(self) -> None:
        attributes = generate((C.CKA_VALUE_LEN, 16), (C.CKA_SENSITIVE, True))
        finish(attributes, Origin.GENERATE, C.CKM_AES_KEY_GEN)
        assert attributes[C.CKA_LOCAL] is True
        assert attributes[C.CKA_KEY_GEN_MECHANISM] == C.CKM_AES_KEY_GEN
        assert attributes[C.CKA_ALWAYS_SENSITIVE] is True
        assert attributes[C.CKA_NEVER_EXTRACTABLE] is True
        attributes = generate((C.CKA_VALUE_LEN, 16), (C.CKA_EXTRACTABLE, True))
        finish(attributes, Origin.GENERATE, C.CKM_AES_KEY_GEN)
        assert attributes[C.CKA_ALWAYS_SENSITIVE] is False
        assert attributes[C.CKA_NEVER_EXTRACTABLE] is False

    @pytest.mark.parametrize("origin", [o for o in Origin if o is not Origin.GENERATE])
    def test_come_from_outside(self, origin: Origin) -> None:
        attributes = create(*AES, (C.CKA_SENSITIVE, True))
        finish(attributes, origin, C.CKM_AES_KEY_GEN)
        assert attributes[C.CKA_LOCAL] is False
        assert attributes[C.CKA_KEY_GEN_MECHANISM] == C.CK_UNAVAILABLE_INFORMATION
        assert attributes[C.CKA_ALWAYS_SENSITIVE] is False
        assert attributes[C.CKA_NEVER_EXTRACTABLE] is False

    def test_derived_as_its_base(self) -> None:
        base: dict[int, Value] = {C.CKA_ALWAYS_SENSITIVE: True, C.CKA_NEVER_EXTRACTABLE: True}
        attributes = create(*AES, (C.CKA_SENSITIVE, True))
        finish(attributes, Origin.DERIVE, None, base=base)
        assert attributes[C.CKA_ALWAYS_SENSITIVE] is True
        assert attributes[C.CKA_NEVER_EXTRACTABLE] is True
        finish(attributes, Origin.DERIVE, None, base={})
        assert attributes[C.CKA_ALWAYS_SENSITIVE] is False

    def test_public_key_and_data(self) -> None:
        assert C.CKA_ALWAYS_SENSITIVE not in made(*RSA_PUBLIC)
        assert made(*RSA_PUBLIC)[C.CKA_LOCAL] is False
        data = made(*DATA)
        assert C.CKA_LOCAL not in data
        assert data[C.CKA_UNIQUE_ID] != made(*DATA)[C.CKA_UNIQUE_ID]
        unique_id = data[C.CKA_UNIQUE_ID]
        assert isinstance(unique_id, bytes)
        assert len(unique_id) == 32


class TestCopied:
    def test_exact(self) -> None:
        original = made(*AES, (C.CKA_EXTRACTABLE, True))
        copy = copied(original, (), so=False)
        assert copy.pop(C.CKA_UNIQUE_ID) != original.pop(C.CKA_UNIQUE_ID)
        assert copy == original

    @pytest.mark.parametrize(
        ("type", "value"),
        [
            (C.CKA_TOKEN, True),
            (C.CKA_MODIFIABLE, False),
            (C.CKA_DESTROYABLE, False),
            (C.CKA_COPYABLE, False),
            (C.CKA_LABEL, b"new"),
            (C.CKA_SENSITIVE, True),
            (C.CKA_SIGN, False),
            (C.CKA_WRAP_WITH_TRUSTED, True),
        ],
    )
    def test_may_change(self, type: int, value: Value) -> None:
        assert copied(made(*AES), ((type, value),), so=False)[type] == value

    @pytest.mark.parametrize(
        ("type", "value"),
        [
            (C.CKA_CLASS, C.CKO_SECRET_KEY),
            (C.CKA_VALUE, b"k" * 16),
            (C.CKA_LOCAL, True),
            (C.CKA_EXTRACTABLE, True),
            (C.CKA_TRUSTED, True),
            (C.CKA_ALLOWED_MECHANISMS, ()),
        ],
    )
    def test_may_not_change(self, type: int, value: Value) -> None:
        with refused(C.CKR_ATTRIBUTE_READ_ONLY):
            copied(made(*AES), ((type, value),), so=False)

    def test_history_goes_along(self) -> None:
        original = generate((C.CKA_VALUE_LEN, 16))
        finish(original, Origin.GENERATE, C.CKM_AES_KEY_GEN)
        copy = copied(original, ((C.CKA_SENSITIVE, True),), so=False)
        assert copy[C.CKA_LOCAL] is True
        assert copy[C.CKA_KEY_GEN_MECHANISM] == C.CKM_AES_KEY_GEN
        assert copy[C.CKA_ALWAYS_SENSITIVE] is False
        assert copy[C.CKA_NEVER_EXTRACTABLE] is True

    def test_not_copyable(self) -> None:
        with refused(C.CKR_ACTION_PROHIBITED):
            copied(made(*AES, (C.CKA_COPYABLE, False)), (), so=False)

    def test_private_stays_private(self) -> None:
        with refused(C.CKR_TEMPLATE_INCONSISTENT):
            copied(made(*AES), ((C.CKA_PRIVATE, False),), so=False)
        public = made(*RSA_PUBLIC)
        assert copied(public, ((C.CKA_PRIVATE, True),), so=False)[C.CKA_PRIVATE] is True

    def test_trust_stays_behind(self) -> None:
        original = made(*X509, (C.CKA_TRUSTED, True), so=True)
        assert copied(original, (), so=False)[C.CKA_TRUSTED] is False
        assert copied(original, (), so=True)[C.CKA_TRUSTED] is True

    def test_not_modifiable(self) -> None:
        original = made(*AES, (C.CKA_MODIFIABLE, False))
        copy = copied(original, ((C.CKA_MODIFIABLE, True), (C.CKA_LABEL, b"x")), so=False)
        assert copy[C.CKA_MODIFIABLE] is True


class TestModified:
    def test_changes_only(self) -> None:
        template = ((C.CKA_LABEL, b"new"), (C.CKA_SIGN, True), (C.CKA_ID, b"1"))
        assert modified(made(*AES), template, so=False) == {
            C.CKA_LABEL: b"new",
            C.CKA_ID: b"1",
        }
        assert modified(made(*AES), (), so=False) == {}

    @pytest.mark.parametrize(
        ("type", "value", "rv"),
        [
            (C.CKA_CLASS, C.CKO_SECRET_KEY, C.CKR_ATTRIBUTE_READ_ONLY),
            (C.CKA_TOKEN, False, C.CKR_ATTRIBUTE_READ_ONLY),
            (C.CKA_PRIVATE, True, C.CKR_ATTRIBUTE_READ_ONLY),
            (C.CKA_MODIFIABLE, False, C.CKR_ATTRIBUTE_READ_ONLY),
            (C.CKA_DESTROYABLE, False, C.CKR_ATTRIBUTE_READ_ONLY),
            (C.CKA_VALUE, b"k" * 16, C.CKR_ATTRIBUTE_READ_ONLY),
            (C.CKA_UNIQUE_ID, b"x", C.CKR_ATTRIBUTE_READ_ONLY),
            (C.CKA_TRUSTED, True, C.CKR_ATTRIBUTE_READ_ONLY),
            (C.CKA_MODULUS, b"\1", C.CKR_TEMPLATE_INCONSISTENT),
            (0x12345, b"", C.CKR_ATTRIBUTE_TYPE_INVALID),
            (C.CKA_SIGN, 1, C.CKR_ATTRIBUTE_VALUE_INVALID),
        ],
    )
    def test_refused(self, type: int, value: Value, rv: int) -> None:
        with refused(rv):
            modified(made(*AES), ((type, value),), so=False)

    @pytest.mark.parametrize(
        ("type", "final"),
        [
            (C.CKA_SENSITIVE, True),
            (C.CKA_EXTRACTABLE, False),
            (C.CKA_WRAP_WITH_TRUSTED, True),
            (C.CKA_COPYABLE, False),
        ],
    )
    def test_one_way(self, type: int, final: bool) -> None:
        attributes = made(*AES, (type, not final))
        assert modified(attributes, ((type, final),), so=False) == {type: final}
        attributes[type] = final
        assert modified(attributes, ((type, final),), so=False) == {}
        with refused(C.CKR_ATTRIBUTE_READ_ONLY):
            modified(attributes, ((type, not final),), so=False)

    def test_not_modifiable(self) -> None:
        with refused(C.CKR_ACTION_PROHIBITED):
            modified(made(*AES, (C.CKA_MODIFIABLE, False)), ((C.CKA_LABEL, b"x"),), so=False)

    def test_trusted_certificate(self) -> None:
        certificate = made(*X509, (C.CKA_TRUSTED, True), so=True)
        with refused(C.CKR_ACTION_PROHIBITED):
            modified(certificate, ((C.CKA_LABEL, b"x"),), so=False)
        withdrawn = modified(certificate, ((C.CKA_TRUSTED, False),), so=True)
        assert withdrawn == {C.CKA_TRUSTED: False}

    def test_check_value_may_be_cleared(self) -> None:
        attributes = made(*AES) | {C.CKA_CHECK_VALUE: b"abc"}
        cleared = modified(attributes, ((C.CKA_CHECK_VALUE, b""),), so=False)
        assert cleared == {C.CKA_CHECK_VALUE: b""}
        with refused(C.CKR_ATTRIBUTE_VALUE_INVALID):
            modified(attributes, ((C.CKA_CHECK_VALUE, b"abd"),), so=False)


class TestSecrets:
    @pytest.mark.parametrize("sensitive", [True, False])
    @pytest.mark.parametrize("extractable", [True, False])
    def test_hidden(self, sensitive: bool, extractable: bool) -> None:
        flags = ((C.CKA_SENSITIVE, sensitive), (C.CKA_EXTRACTABLE, extractable))
        hidden = sensitive or not extractable
        assert is_hidden(made(*AES, *flags), C.CKA_VALUE) is hidden
        key = made(*RSA_PRIVATE, *flags)
        assert is_hidden(key, C.CKA_PRIVATE_EXPONENT) is hidden
        assert is_hidden(key, C.CKA_PRIME_1) is hidden
        assert is_hidden(key, C.CKA_MODULUS) is False

    def test_open(self) -> None:
        assert is_hidden(made(*DATA, (C.CKA_VALUE, b"v")), C.CKA_VALUE) is False
        assert is_hidden(made(*RSA_PUBLIC), C.CKA_MODULUS) is False
        assert is_hidden(made(*X509), C.CKA_VALUE) is False

    def test_hidden_when_nothing_is_said(self) -> None:
        assert is_hidden({C.CKA_CLASS: C.CKO_SECRET_KEY}, C.CKA_VALUE) is True

    def test_split(self) -> None:
        attributes = made(*RSA_PRIVATE)
        open_ones, secrets = split(attributes)
        assert secrets == {C.CKA_PRIVATE_EXPONENT: b"\xb1" * 128}
        assert open_ones | secrets == attributes
        assert not open_ones.keys() & secrets.keys()
        assert C.CKA_VALUE in secret_types(attributes)
        assert split(made(*DATA))[1] == {}
        assert secret_types(made(*DATA)) == frozenset()
