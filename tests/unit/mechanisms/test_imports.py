"""What the mechanisms bring into the host's process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import sys
from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.standard.constants import *
# What is imported with the first key of a kind.
mechanisms()[CKM_ML_DSA_KEY_PAIR_GEN].generate_pair(None, {CKA_PARAMETER_SET: CKP_ML_DSA_44}, {})
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from pypkcs11.mechanisms.registry import Key
assert "gmpy2" not in sys.modules
raw = mechanisms()[CKM_RSA_X_509].decrypt(Key(CKK_RSA, 1024, generate_private_key(3, 1024)), None)
assert raw.run(bytes(127) + bytes([8])) != bytes(128)
assert "gmpy2" in sys.modules and "importlib.metadata" not in sys.modules
with open("/proc/self/maps", encoding="utf-8") as maps:
    print(*{line.split()[-1] for line in maps if "libcrypto" in line or "libssl" in line})
print(*{"hashlib", "_hashlib", "hmac", "ssl", "secrets", "cryptography.x509"} & set(sys.modules))
"""


def test_no_other_libcrypto_is_loaded(root: Path) -> None:
    """In a host that uses the system's libcrypto, that one may be configured to load this library.

    The standard library's hashlib, hmac and ssl load it, and so does cryptography's constant_time.
    """
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONPATH": str(root / "src")},
    )
    assert ran.stdout.split() == []
