"""pkcs11-tool: tokens, PINs, listings and its own self-test."""

from __future__ import annotations

import re

import pytest
from clients.harness import Token


def test_a_token_is_initialised_and_listed(token: Token) -> None:
    listing = token.public("--list-token-slots").text
    assert re.search(rf"token label +: {token.label}\n", listing)
    flags = re.search(r"token flags +: (.*)", listing)
    assert flags is not None
    for flag in ("login required", "rng", "token initialized", "PIN initialized"):
        assert flag in flags[1]


def test_every_token_has_a_slot_of_its_own(token: Token) -> None:
    """There is always one more slot, for the next token; both tokens keep theirs."""
    before = slots(token)
    token.run("pkcs11-tool", "--module", token.library, "--slot", free_slot(token),
              "--init-token", "--label", "second", "--so-pin", token.so_pin)  # fmt: skip
    after = slots(token)
    assert set(after.values()) == {token.label, "second", ""}
    assert {slot: label for slot, label in after.items() if label == token.label} == {
        slot: label for slot, label in before.items() if label
    }


def test_initialising_again_needs_the_so_pin_and_empties_the_token(token: Token) -> None:
    token.user("--keygen", "--key-type", "AES:32", "--id", "01", "--label", "gone")
    wrong = token.attempt("--init-token", "--label", token.label, "--so-pin", "87654321")
    assert wrong.code != 0
    assert "CKR_PIN_INCORRECT" in wrong.text
    assert "gone" in token.user("--list-objects").text
    token.initialise_again()
    assert "gone" not in token.user("--list-objects").text


def test_the_user_changes_the_pin(token: Token) -> None:
    token.public("--login", "--pin", token.pin, "--change-pin", "--new-pin", "new-secret")
    refused = token.attempt("--login", "--pin", token.pin, "--list-objects")
    assert refused.code != 0
    assert "CKR_PIN_INCORRECT" in refused.text
    token.public("--login", "--pin", "new-secret", "--list-objects")


def test_the_so_changes_the_so_pin(token: Token) -> None:
    token.public("--login", "--login-type", "so", "--so-pin", token.so_pin,
                 "--change-pin", "--new-pin", "87654321")  # fmt: skip
    refused = token.attempt("--init-pin", "--so-pin", token.so_pin, "--pin", token.pin)
    assert "CKR_PIN_INCORRECT" in refused.text
    token.public("--init-pin", "--so-pin", "87654321", "--pin", token.pin)


def test_the_so_sets_a_new_user_pin(token: Token) -> None:
    token.public("--init-pin", "--so-pin", token.so_pin, "--pin", "9876")
    token.public("--login", "--pin", "9876", "--list-objects")


def test_a_pin_that_is_too_short_is_refused(token: Token) -> None:
    refused = token.attempt("--login", "--pin", token.pin, "--change-pin", "--new-pin", "1")
    assert refused.code != 0
    token.user("--list-objects")


@pytest.mark.parametrize(
    ("mechanism", "uses"),
    [
        ("SHA256", "digest"),
        ("RSA-PKCS-KEY-PAIR-GEN", "generate_key_pair"),
        ("SHA256-RSA-PKCS", "sign, verify"),
        ("RSA-PKCS-PSS", "sign, verify"),
        ("ECDSA-KEY-PAIR-GEN", "generate_key_pair"),
        ("ECDSA-SHA256", "sign, verify"),
        ("AES-KEY-GEN", "generate"),
        ("AES-CBC-PAD", "encrypt, decrypt"),
    ],
)
def test_the_mechanisms_are_listed(token: Token, mechanism: str, uses: str) -> None:
    listing = token.public("--list-mechanisms").text
    line = re.search(rf"^ +{mechanism}, (.*)$", listing, re.MULTILINE)
    assert line is not None, listing
    assert uses in line[1]


def test_random_bytes_differ(token: Token) -> None:
    first, second = (
        token.run("pkcs11-tool", "--module", token.library, "--generate-random", "32").stdout
        for _ in range(2)
    )
    assert len(first) == 32
    assert first != second


@pytest.mark.parametrize(
    ("mechanism", "openssl"), [("SHA-1", "-sha1"), ("SHA256", "-sha256"), ("SHA512", "-sha512")]
)
def test_digests_are_those_of_openssl(token: Token, mechanism: str, openssl: str) -> None:
    data = token.file("data", bytes(range(256)) * 40)
    token.public("--hash", "--mechanism", mechanism, "--input-file", data, "--output-file", "out")
    expected = token.openssl("dgst", openssl, "-binary", data).stdout
    assert (token.work / "out").read_bytes() == expected


@pytest.fixture
def with_keys(token: Token) -> Token:
    token.generate("rsa:2048", "01", "rsa key")
    token.generate("EC:prime256v1", "02", "ec key")
    return token


def test_its_own_test_finds_no_error(with_keys: Token) -> None:
    report = with_keys.user("--test").text
    assert "ERR" not in report
    for part in (
        r"C_SeedRandom\(\) and C_GenerateRandom\(\):\n *seems to be OK",
        r"all 4 digest functions seem to work",
        r"SHA256: OK",
        r"Verify \(currently only for RSA\)\n  testing key",
        r"\(rsa key\)",
        r"    SHA1-RSA-PKCS: OK",
        r"Decryption \(currently only for RSA\)\n  testing key",
        r" RSA-PKCS: OK",
        r" RSA-PKCS-OAEP: .*\n?OK",
        r"No errors",
    ):
        assert re.search(part, report), f"{part!r} is not in the report:\n{report}"


def test_its_own_test_of_signatures_finds_no_error(with_keys: Token) -> None:
    """``--allow-sw`` makes it test signatures of tokens that are not hardware."""
    report = with_keys.user("--test", "--allow-sw").text
    assert "ERR" not in report
    assert "all 4 signature functions seem to work" in report
    assert "SHA256-RSA-PKCS: OK" in report


def test_a_forked_child_starts_afresh(token: Token) -> None:
    report = token.public("--test-fork").text
    assert "C_Initialize" in report
    assert "ERR" not in report
    assert "CKR_" not in report.replace("CKR_OK", "")


def slots(token: Token) -> dict[str, str]:
    """The slots that pkcs11-tool lists: their ids, and their tokens' labels or nothing."""
    listing = token.run("pkcs11-tool", "--module", token.library, "--list-slots").text
    found = {}
    for part in listing.split("\nSlot ")[1:]:
        slot = re.search(r"\((0x[0-9a-f]+)\)", part)
        label = re.search(r"token label +: (.*)", part)
        assert slot is not None, listing
        found[slot[1]] = label[1] if label else ""
    return found


def free_slot(token: Token) -> str:
    """The id of the slot whose token is not initialised."""
    return next(slot for slot, label in slots(token).items() if not label)
