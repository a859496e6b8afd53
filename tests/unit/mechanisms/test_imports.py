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
