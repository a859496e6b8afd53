"""What is generated from tables/ is what is committed."""

from __future__ import annotations

import subprocess
import sys

from abi.compiling import ROOT

from pypkcs11.standard import constants
from pypkcs11.standard.names import name_of


def test_generated_files_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_names_of_numbers() -> None:
    assert name_of("CKR", 0x13) == "CKR_ATTRIBUTE_VALUE_INVALID"
    assert name_of("CKK", 3) == "CKK_EC"  # CKK_ECDSA is its old name
    assert name_of("CKM", 0x80000007) == "CKM_VENDOR_DEFINED+0x7"
    assert name_of("CKR", 0x7FFF) == "CKR_0x7fff"


def test_constants_are_plain_numbers() -> None:
    assert constants.CKM_RSA_PKCS == 1
    assert type(constants.CKA_VALUE) is int
