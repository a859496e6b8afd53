"""PIN rules: lengths, how many tries, and what the token's flags say of them."""

from __future__ import annotations

from pypkcs11.core.config import Config
from pypkcs11.standard.constants import (
    CKF_SO_PIN_COUNT_LOW,
    CKF_SO_PIN_FINAL_TRY,
    CKF_SO_PIN_LOCKED,
    CKF_USER_PIN_COUNT_LOW,
    CKF_USER_PIN_FINAL_TRY,
    CKF_USER_PIN_LOCKED,
    CKF_USER_PIN_TO_BE_CHANGED,
    CKR_PIN_INCORRECT,
    CKR_PIN_LEN_RANGE,
)
from pypkcs11.standard.errors import CryptokiError
from pypkcs11.store.protocol import Description, Role

#: CKF_*_PIN_COUNT_LOW, _FINAL_TRY and _LOCKED, by role (section 3.2, CK_TOKEN_INFO).
_FLAGS = {
    Role.USER: (CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED),
    Role.SO: (CKF_SO_PIN_COUNT_LOW, CKF_SO_PIN_FINAL_TRY, CKF_SO_PIN_LOCKED),
}


def retry_limit(config: Config, role: Role) -> int:
    """How many wrong PINs in a row lock the role's PIN; 0 for no limit."""
    return config.pins_user_retries if role is Role.USER else config.pins_so_retries


def check_length(config: Config, pin: bytes) -> None:
    """Check the length in octets of a PIN that is to be set.

    :raises CryptokiError: CKR_PIN_LEN_RANGE.
    """
    if not config.pins_min_length <= len(pin) <= config.pins_max_length:
        raise CryptokiError(
            CKR_PIN_LEN_RANGE,
            f"a PIN has {config.pins_min_length} to {config.pins_max_length} octets",
        )


def check_new_token_pin(config: Config, pin: bytes) -> None:
    """Check the length of the SO PIN for a token that is to be made.

    :raises CryptokiError: CKR_PIN_INCORRECT, since C_InitToken lists no CKR_PIN_LEN_RANGE.
    """
    try:
        check_length(config, pin)
    except CryptokiError as error:
        raise CryptokiError(CKR_PIN_INCORRECT, error.reason) from None


def is_locked(description: Description, config: Config, role: Role) -> bool:
    """Whether the role's PIN is locked."""
    limit = retry_limit(config, role)
    return bool(limit) and description.failures.get(role, 0) >= limit


def pin_flags(description: Description, config: Config) -> int:
    """The CKF_ flags that tell how the PINs stand."""
    flags = CKF_USER_PIN_TO_BE_CHANGED if description.user_pin_to_be_changed else 0
    for role, (count_low, final_try, locked) in _FLAGS.items():
        limit = retry_limit(config, role)
        failures = description.failures.get(role, 0)
        if not limit or not failures:
            continue
        if failures >= limit:
            flags |= locked
        else:
            flags |= count_low | (final_try if failures == limit - 1 else 0)
    return flags
