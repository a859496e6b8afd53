"""What passes through in parts leaves no trace in memory; what must be gathered is there once.

Each measurement is a process of its own, which tells by how much its peak has grown. (VmHWM, not
ru_maxrss: that is inherited from the parent.)
"""

from __future__ import annotations

import pytest
from abi.client import Client
from abi.helping import free_slots, in_another_process, make_token

#: MiB that pass through, in parts of one.
SIZE = 64

_MEASURE = """
SIZE = {size}
session = p11.open(slot_of("test token"))
p11.login(session, CKU_USER, USER_PIN)
key = p11.create(session, {{
    CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_AES, CKA_VALUE: bytes(range(32)),
    CKA_ENCRYPT: True, CKA_DECRYPT: True, CKA_SIGN: True,
}})
PART = 1 << 20
source, target = octets(bytes(PART)), ffi.new("CK_BYTE[]", PART + 64)
length = ffi.new("CK_ULONG *")

def update(name, memory, size):
    length[0] = PART + 64
    p11.do(name, session, memory, size, target, length)

def peak():
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

iv = bytes(16)
nonce = bytes(12)
ctr = struct("CK_AES_CTR_PARAMS", ulCounterBits=64, cb=[0] * 16)
ccm = struct("CK_CCM_PARAMS", ulDataLen=SIZE * PART, pNonce=bytes(8), ulNonceLen=8, pAAD=NULL,
             ulAADLen=0, ulMACLen=16)
"""

#: Passing through: what begins, and what is done with each part.
THROUGH = {
    "SHA256": (
        'p11.do("C_DigestInit", session, mechanism(CKM_SHA256))',
        'p11.do("C_DigestUpdate", session, source, PART)',
    ),
    "AES_CBC": (
        'p11.do("C_EncryptInit", session, mechanism(CKM_AES_CBC, iv), key)',
        'update("C_EncryptUpdate", source, PART)',
    ),
    "AES_CTR": (
        'p11.do("C_DecryptInit", session, mechanism(CKM_AES_CTR, ctr), key)',
        'update("C_DecryptUpdate", source, PART)',
    ),
    "AES_GCM": (
        'p11.do("C_EncryptInit", session, mechanism(CKM_AES_GCM, gcm(nonce)), key)',
        'update("C_EncryptUpdate", source, PART)',
    ),
    "AES_MAC": (
        'p11.do("C_SignInit", session, mechanism(CKM_AES_MAC), key)',
        'p11.do("C_SignUpdate", session, source, PART)',
    ),
}

_THROUGH = """
{init}
for _ in range(4):
    {part}
before = peak()
for _ in range(SIZE):
    {part}
print(peak() - before)
"""

#: Decryption of what was never sealed: only the end says so, with all of it gathered.
GATHERED = {
    "AES_GCM": "mechanism(CKM_AES_GCM, gcm(nonce))",
    "AES_CCM": "mechanism(CKM_AES_CCM, ccm)",
}

_GATHERED = """
p11.do("C_DecryptInit", session, {mechanism}, key)
memory = ffi.new("CK_BYTE[]", SIZE * PART)
ones = b"\\1" * PART
for at in range(SIZE):
    ffi.memmove(memory + at * PART, ones, PART)
before = peak()
for _ in range(SIZE):
    update("C_DecryptUpdate", source, PART)
    assert length[0] == 0
update("C_DecryptUpdate", source, 16)
length[0] = SIZE * PART
failed = p11.C_DecryptFinal(session, memory, length)
grown = peak() - before
assert failed == CKR_ENCRYPTED_DATA_INVALID, failed
assert all(ffi.buffer(memory + at * PART, PART)[:] == ones for at in range(SIZE))
print(grown)
"""


def measure(p11: Client, code: str, size: int = SIZE) -> float:
    (slot,) = free_slots(p11)
    make_token(p11, slot)
    return float(in_another_process(p11, _MEASURE.format(size=size) + code))


@pytest.mark.parametrize("name", THROUGH)
def test_what_passes_through_is_not_kept(name: str, p11: Client) -> None:
    init, part = THROUGH[name]
    assert measure(p11, _THROUGH.format(init=init, part=part)) < 4


@pytest.mark.parametrize("name", GATHERED)
def test_what_is_decrypted_in_parts_is_there_once(name: str, p11: Client) -> None:
    code = _GATHERED.format(mechanism=GATHERED[name])
    grown = measure(p11, code)
    assert 0.9 * SIZE < grown < 1.2 * SIZE
