"""Messages in AES-GCM against NIST's answers, the wrong tags included."""

from __future__ import annotations

import pytest
from unit.mechanisms.keys import fails
from vectors.readers import cases

from pypkcs11.mechanisms.message_nonces import Nonces
from pypkcs11.mechanisms.parameters import GcmMessage
from pypkcs11.mechanisms.registry import Key
from pypkcs11.mechanisms.table import mechanisms
from pypkcs11.standard import constants as c

ROW = mechanisms()[c.CKM_AES_GCM]


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_encryption(bits: int) -> None:
    assert ROW.message_encrypt is not None
    count = 0
    for case in cases(f"ciphers/AES/GCM/gcmEncryptExtIV{bits}.rsp", "count"):
        values = {name: bytes.fromhex(case[name]) for name in ("key", "iv", "pt", "aad")}
        if len(values["iv"]) < 8:  # which the library beneath does not take
            continue
        message = GcmMessage(values["iv"], 0, c.CKG_NO_GENERATE, len(case["tag"]) * 4, 0)
        process = ROW.message_encrypt(Key(c.CKK_AES, bits, values["key"]), Nonces())
        begun = process.begin(message, values["aad"])
        out = bytearray(len(values["pt"]))
        written, tag = begun.finish_into(values["pt"], memoryview(out))
        assert (written, out.hex(), tag.hex()) == (len(out), case["ct"], case["tag"])
        count += 1
    assert count > 2500


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_decryption(bits: int) -> None:
    assert ROW.message_decrypt is not None
    seen = {True: 0, False: 0}
    for case in cases(f"ciphers/AES/GCM/gcmDecrypt{bits}.rsp", "count"):
        values = {name: bytes.fromhex(case[name]) for name in ("key", "iv", "ct", "aad", "tag")}
        if len(values["iv"]) < 8:
            continue
        message = GcmMessage(values["iv"], 0, c.CKG_NO_GENERATE, len(case["tag"]) * 4, 0)
        process = ROW.message_decrypt(Key(c.CKK_AES, bits, values["key"]), None)
        begun = process.begin(message, values["aad"])
        good = "pt" in case
        if good:
            assert begun.finish(values["ct"], values["tag"]).hex() == case["pt"]
        else:
            fails(c.CKR_AEAD_DECRYPT_FAILED, begun.finish, values["ct"], values["tag"])
        seen[good] += 1
    assert min(seen.values()) > 500
