"""The raw private operation of RSA: any number, with faults in the key, and without gmpy2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from unit.mechanisms.keys import fails

from pypkcs11.mechanisms import rsa_raw, rsa_x509
from pypkcs11.mechanisms.registry import Key
from pypkcs11.standard import constants as c


def made(bits: int, exponent: int = 65537) -> tuple[Key, rsa.RSAPrivateNumbers]:
    key = rsa.generate_private_key(exponent, bits)
    return Key(c.CKK_RSA, bits, key), key.private_numbers()


@pytest.mark.parametrize("bits", [1024, 1025, 1031, 2048])
@pytest.mark.parametrize("exponent", [3, 65537])
def test_any_number_below_the_modulus(bits: int, exponent: int) -> None:
    key, numbers = made(bits, exponent)
    modulus = numbers.public_numbers.n
    raw = rsa_raw.private_key(key)
    length = (bits + 7) // 8
    some = [int.from_bytes(os.urandom(length), "big") % modulus for _ in range(4)]
    # Multiples of the primes are zero in one half of the computation.
    for value in (0, 1, 2, modulus - 1, numbers.p, numbers.q * 3, *some):
        expected = pow(value, numbers.d, modulus).to_bytes(length, "big")
        assert raw.apply(value) == expected
    assert rsa_raw.private_key(key) is raw


def test_results_with_leading_zeros() -> None:
    key, numbers = made(1024)
    raw, public = rsa_raw.private_key(key), numbers.public_numbers
    for short in (1, 255, 256, 1 << 900):
        assert raw.apply(pow(short, public.e, public.n)) == short.to_bytes(128, "big")


@pytest.mark.parametrize("field", ["p", "q", "dmp1", "dmq1", "iqmp", "d"])
def test_a_fault_gives_nothing_away(field: str) -> None:
    """With a wrong number in one half, the result would give away a prime."""
    _, numbers = made(1024)
    fields = ("p", "q", "d", "dmp1", "dmq1", "iqmp")
    values = {name: getattr(numbers, name) for name in fields}
    values[field] ^= 4  # odd numbers stay odd

    class Damaged:
        def private_numbers(self) -> object:
            return type("Numbers", (), {**values, "public_numbers": numbers.public_numbers})

    raw = rsa_raw.private_key(Key(c.CKK_RSA, 1024, Damaged()))
    if field == "d":  # which is not used
        assert raw.apply(8) == pow(8, numbers.d, numbers.public_numbers.n).to_bytes(128, "big")
    else:
        fails(c.CKR_FUNCTION_FAILED, raw.apply, 8)


_WITHOUT = """
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == "gmpy2" else find(name, *rest)
from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.standard.constants import CKM_RSA_X_509
print(hex(mechanisms()[CKM_RSA_X_509].flags))
"""


def test_without_gmpy2_only_what_is_public(root: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _WITHOUT],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONPATH": str(root / "src")},
    )
    messages = c.CKF_MESSAGE_VERIFY | c.CKF_MULTI_MESSAGE
    assert int(ran.stdout, 16) == c.CKF_VERIFY | c.CKF_VERIFY_RECOVER | messages


def test_all_that_the_standard_has() -> None:
    flags = rsa_x509.row().flags
    for name in (
        *("ENCRYPT", "DECRYPT", "SIGN", "VERIFY", "SIGN_RECOVER", "VERIFY_RECOVER"),
        *("WRAP", "UNWRAP", "ENCAPSULATE", "DECAPSULATE"),
    ):
        assert flags & getattr(c, f"CKF_{name}"), name


_STAND_IN = """
import sys, threading
from pypkcs11.mechanisms import rsa_raw
seen = []
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "gmpy2" and not seen:
            seen.append(sys.modules["importlib.metadata"].version("cffi"))
sys.meta_path.insert(0, Watch())
rsa_raw.gmp()
print(seen[0], sys.modules["importlib.metadata"].version("gmpy2"))
"""


def test_who_meets_the_stand_in_gets_the_real_thing(root: Path) -> None:
    from importlib.metadata import version

    ran = subprocess.run(
        [sys.executable, "-c", _STAND_IN],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONPATH": str(root / "src")},
    )
    assert ran.stdout.split() == [version("cffi"), version("gmpy2")]
