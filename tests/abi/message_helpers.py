"""Messages for the tests: their parameters and the calls around them."""

from __future__ import annotations

from typing import Any

from abi.client import NULL, Client, ffi, mechanism, octets, struct

from pypkcs11.standard import constants as c


def gcm_message(
    nonce: bytes,
    tag: bytes = bytes(16),
    generator: int = c.CKG_NO_GENERATE,
    fixed_bits: int = 0,
    tag_bits: int | None = None,
) -> Any:
    """CK_GCM_MESSAGE_PARAMS; nonce and tag are what is read, or room for what is written."""
    return struct(
        "CK_GCM_MESSAGE_PARAMS",
        pIv=nonce,
        ulIvLen=len(nonce),
        ulIvFixedBits=fixed_bits,
        ivGenerator=generator,
        pTag=tag,
        ulTagBits=len(tag) * 8 if tag_bits is None else tag_bits,
    )


def nonce_of(parameter: Any) -> bytes:
    """The nonce in a message's parameter."""
    return bytes(ffi.buffer(parameter.pIv, parameter.ulIvLen))


def tag_of(parameter: Any) -> bytes:
    """The tag in a message's parameter."""
    return bytes(ffi.buffer(parameter.pTag, parameter.ulTagBits // 8))


def given(parameter: Any) -> tuple[Any, int]:
    """A message's parameter as two arguments."""
    return (parameter, ffi.sizeof(parameter[0])) if parameter is not None else (NULL, 0)


def begin(p11: Client, session: int, name: str, key: int, kind: int = c.CKM_AES_GCM) -> None:
    """C_MessageEncryptInit and its like, without a parameter."""
    p11.do(f"C_Message{name}Init", session, mechanism(kind), key)


def whole(p11: Client, session: int, name: str, parameter: Any, aad: bytes, data: bytes) -> bytes:
    """C_EncryptMessage or C_DecryptMessage."""
    arguments = (*given(parameter), octets(aad), len(aad), octets(data), len(data))
    return p11.output(f"C_{name}Message", session, *arguments)


def parts(
    p11: Client, session: int, name: str, parameter: Any, aad: bytes, *data: bytes
) -> list[bytes]:
    """C_EncryptMessageBegin and Next, or those that decrypt; what each part gave."""
    p11.do(f"C_{name}MessageBegin", session, *given(parameter), octets(aad), len(aad))
    *some, last = data
    found = [next_part(p11, session, name, parameter, part, 0) for part in some]
    return [*found, next_part(p11, session, name, parameter, last, c.CKF_END_OF_MESSAGE)]


def next_part(
    p11: Client, session: int, name: str, parameter: Any, part: bytes, flags: int
) -> bytes:
    """C_EncryptMessageNext or C_DecryptMessageNext, the length asked for first."""
    length = ffi.new("CK_ULONG *", 0)
    before = (session, *given(parameter), octets(part), len(part))
    p11.do(f"C_{name}MessageNext", *before, NULL, length, flags)
    size = int(length[0])
    out = ffi.new("CK_BYTE[]", b"\xa5" * (size + 16))
    p11.do(f"C_{name}MessageNext", *before, out, length, flags)
    assert length[0] <= size
    assert bytes(out)[size : size + 16] == b"\xa5" * 16
    return bytes(out)[: length[0]]
