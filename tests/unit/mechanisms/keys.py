"""Keys and operations for the tests, made the way the token makes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from pypkcs11.mechanisms.operation import Cipher
from pypkcs11.mechanisms.registry import Key, Mechanism
from pypkcs11.mechanisms.table import complete_key, load_key, mechanisms
from pypkcs11.standard import constants as c
from pypkcs11.standard.errors import CryptokiError

MECHANISMS = mechanisms()

PARAMS = {
    "P-192": "06082a8648ce3d030101",
    "P-224": "06052b81040021",
    "P-256": "06082a8648ce3d030107",
    "P-384": "06052b81040022",
    "P-521": "06052b81040023",
    "secp256k1": "06052b8104000a",
    "brainpoolP256r1": "06092b2403030208010107",
    "brainpoolP384r1": "06092b240303020801010b",
    "brainpoolP512r1": "06092b240303020801010d",
    "Ed25519": "06032b6570",
    "Ed448": "06032b6571",
}


def ec_params(name: str) -> bytes:
    return bytes.fromhex(PARAMS[name])


def imported(attributes: dict[int, Any]) -> Key:
    """The key that a token loads after it has been handed ``attributes``."""
    return load_key({**attributes, **complete_key(attributes)})


def secret(key_type: int, value: bytes) -> Key:
    return imported({c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_KEY_TYPE: key_type, c.CKA_VALUE: value})


def generate_pair(
    mechanism: int, key_type: int, **public: Any
) -> tuple[dict[int, Any], dict[int, Any]]:
    """The attributes of a new key pair, with what core adds to them."""
    template = {getattr(c, name): value for name, value in public.items()}
    row = MECHANISMS[mechanism]
    assert row.generate_pair
    made = row.generate_pair(None, template, {})
    return (
        {c.CKA_CLASS: c.CKO_PUBLIC_KEY, c.CKA_KEY_TYPE: key_type, **template, **made[0]},
        {c.CKA_CLASS: c.CKO_PRIVATE_KEY, c.CKA_KEY_TYPE: key_type, **made[1]},
    )


@cache
def rsa_pair(bits: int = 2048) -> tuple[dict[int, Any], dict[int, Any]]:
    return generate_pair(c.CKM_RSA_PKCS_KEY_PAIR_GEN, c.CKK_RSA, CKA_MODULUS_BITS=bits)


@cache
def ec_pair(name: str) -> tuple[dict[int, Any], dict[int, Any]]:
    if name.startswith("Ed"):
        made = (c.CKM_EC_EDWARDS_KEY_PAIR_GEN, c.CKK_EC_EDWARDS)
    else:
        made = (c.CKM_EC_KEY_PAIR_GEN, c.CKK_EC)
    return generate_pair(*made, CKA_EC_PARAMS=ec_params(name))


def fails(rv: int, call: Callable[..., Any], *arguments: Any) -> None:
    """Assert that the call raises with this return code."""
    with pytest.raises(CryptokiError) as caught:
        call(*arguments)
    assert hex(caught.value.rv) == hex(rv)


def sign(mechanism: int, key: Key, data: bytes, parameter: Any = None) -> bytes:
    row = MECHANISMS[mechanism]
    assert row.sign
    operation = row.sign(key, parameter)
    signature = operation.sign(data)
    assert len(signature) == operation.length
    return signature


def verify(mechanism: int, key: Key, data: bytes, signature: bytes, parameter: Any = None) -> None:
    row = MECHANISMS[mechanism]
    assert row.verify
    row.verify(key, parameter).verify(data, signature)


def encrypt(mechanism: int, key: Key, data: bytes, parameter: Any = None) -> bytes:
    row = MECHANISMS[mechanism]
    assert row.encrypt
    return in_one_part(lambda: made(row, "encrypt", key, parameter), data)


def decrypt(mechanism: int, key: Key, data: bytes, parameter: Any = None) -> bytes:
    row = MECHANISMS[mechanism]
    assert row.decrypt
    return in_one_part(lambda: made(row, "decrypt", key, parameter), data)


def made(row: Mechanism, function: str, key: Key, parameter: Any) -> Cipher:
    operation = getattr(row, function)(key, parameter)
    assert isinstance(operation, Cipher)
    return operation


def in_one_part(make: Callable[[], Cipher], data: bytes) -> bytes:
    """Process in one part in each way there is, and assert that all agree."""
    operation = make()
    result = operation.run(data)
    assert operation.run(memoryview(data)) == result
    bound = operation.output_length(len(data))
    assert len(result) == bound if operation.exact else len(result) <= bound
    for spare in (0, 64):
        out = bytearray(bound + spare)
        assert operation.run_into(data, memoryview(out)) == len(result)
        assert out[: len(result)] == result
        assert not any(out[bound:]), "written past the announced length"
    shared = memoryview(bytearray(max(bound, len(data))))
    shared[: len(data)] = data
    assert operation.run_into(shared[: len(data)], shared[:bound]) == len(result)
    assert shared[: len(result)] == result
    return result


def in_parts(operation: Cipher, parts: list[bytes], in_place: bool = False) -> bytes:
    """Process in many parts, and assert that the lengths told beforehand are true."""
    result = b""
    for part in parts:
        length = operation.update_length(len(part))
        if in_place:
            memory = memoryview(bytearray(max(length, len(part))))
            memory[: len(part)] = part
            data, out = memory[: len(part)], memory[:length]
        else:
            data, out = memoryview(part), memoryview(bytearray(length))
        assert operation.update_into(data, out) == length
        result += bytes(out)
    length = operation.finish_length()
    last = operation.finish()
    assert len(last) == length if operation.exact else len(last) <= length
    return result + last
