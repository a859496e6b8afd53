"""Objects that are part of the token: profiles, mechanisms, the clock and the counter."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from abi.client import NULL, ROOT, Client, ffi, mechanism, number, octets, refused, template
from abi.conftest import Token, restart

from pypkcs11.standard.constants import (
    CKA_CLASS,
    CKA_HAS_RESET,
    CKA_HW_FEATURE_TYPE,
    CKA_LABEL,
    CKA_MECHANISM_TYPE,
    CKA_PROFILE_ID,
    CKA_RESET_ON_INIT,
    CKA_TOKEN,
    CKA_UNIQUE_ID,
    CKA_VALUE,
    CKF_CLOCK_ON_TOKEN,
    CKH_CLOCK,
    CKH_MONOTONIC_COUNTER,
    CKM_SHA256_HMAC,
    CKO_DATA,
    CKO_HW_FEATURE,
    CKO_MECHANISM,
    CKO_PROFILE,
    CKO_VALIDATION,
    CKP_AUTHENTICATION_TOKEN,
    CKP_BASELINE_PROVIDER,
    CKP_EXTENDED_PROVIDER,
    CKR_ACTION_PROHIBITED,
    CKR_ARGUMENTS_BAD,
    CKR_ATTRIBUTE_TYPE_INVALID,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_OK,
    CKS_RW_USER_FUNCTIONS,
    CKU_USER,
)

CLASSES = (CKO_PROFILE, CKO_MECHANISM, CKO_HW_FEATURE)


def mechanisms(p11: Client, slot: int) -> set[int]:
    count = ffi.new("CK_ULONG *")
    p11.do("C_GetMechanismList", slot, NULL, count)
    numbers = ffi.new("CK_MECHANISM_TYPE[]", int(count[0]))
    p11.do("C_GetMechanismList", slot, numbers, count)
    return {int(n) for n in numbers}


def clock(p11: Client, session: int) -> int:
    (found,) = p11.find(session, {CKA_CLASS: CKO_HW_FEATURE, CKA_HW_FEATURE_TYPE: CKH_CLOCK})
    return found


def counter(p11: Client, session: int) -> int:
    asked = {CKA_CLASS: CKO_HW_FEATURE, CKA_HW_FEATURE_TYPE: CKH_MONOTONIC_COUNTER}
    (found,) = p11.find(session, asked)
    return found


def count(p11: Client, session: int) -> int:
    return int.from_bytes(p11.get(session, counter(p11, session), CKA_VALUE), "big")


# -- what there is, and who finds it -----------------------------------------------------------


def test_profiles(p11: Client, token: Token) -> None:
    session = p11.open(token.slot, read_write=False)
    found = p11.find(session, {CKA_CLASS: CKO_PROFILE})
    profiles = {number(p11.get(session, obj, CKA_PROFILE_ID)) for obj in found}
    assert profiles >= {CKP_BASELINE_PROVIDER, CKP_EXTENDED_PROVIDER, CKP_AUTHENTICATION_TOKEN}
    assert len(profiles) == len(found)
    (one,) = p11.find(session, {CKA_PROFILE_ID: CKP_BASELINE_PROVIDER})
    assert one in found


def test_there_is_an_object_for_each_mechanism(p11: Client, token: Token) -> None:
    session = p11.open(token.slot)
    found = p11.find(session, {CKA_CLASS: CKO_MECHANISM})
    types = [number(p11.get(session, obj, CKA_MECHANISM_TYPE)) for obj in found]
    assert set(types) == mechanisms(p11, token.slot)
    assert len(types) == len(set(types))
    asked = {CKA_CLASS: CKO_MECHANISM, CKA_MECHANISM_TYPE: CKM_SHA256_HMAC}
    (one,) = p11.find(session, asked)
    assert one in found


def test_a_mechanism_that_is_denied_has_no_object(
    p11: Client, token: Token, tmp_path: Path
) -> None:
    with (tmp_path / "config.toml").open("a") as configuration:
        configuration.write('[mechanisms]\ndeny = ["CKM_SHA256_HMAC"]\n')
    session = restart(p11, token)
    assert p11.find(session, {CKA_CLASS: CKO_MECHANISM})
    asked = {CKA_CLASS: CKO_MECHANISM, CKA_MECHANISM_TYPE: CKM_SHA256_HMAC}
    assert p11.find(session, asked) == []


def test_they_are_no_answer_to_who_looks_for_other_things(p11: Client, session: int) -> None:
    assert p11.find(session, {}) == []
    assert p11.find(session, {CKA_TOKEN: True}) == []
    assert p11.find(session, {CKA_TOKEN: False}) == []
    assert p11.find(session, {CKA_LABEL: b""}) == []
    assert p11.find(session, {CKA_CLASS: CKO_VALIDATION}) == []
    # Hardware features and mechanisms are for who asks for their class.
    assert p11.find(session, {CKA_HW_FEATURE_TYPE: CKH_CLOCK}) == []
    assert p11.find(session, {CKA_MECHANISM_TYPE: CKM_SHA256_HMAC}) == []
    (profile,) = p11.find(session, {CKA_CLASS: CKO_PROFILE, CKA_PROFILE_ID: CKP_BASELINE_PROVIDER})
    name = p11.get(session, profile, CKA_UNIQUE_ID)
    assert p11.find(session, {CKA_UNIQUE_ID: name}) == [profile]
    hidden = p11.get(session, clock(p11, session), CKA_UNIQUE_ID)
    assert p11.find(session, {CKA_UNIQUE_ID: hidden}) == []
    assert p11.find(session, {CKA_CLASS: CKO_HW_FEATURE, CKA_UNIQUE_ID: hidden}) != []


def test_names_last_as_long_as_the_token(p11: Client, token: Token) -> None:
    def names(session: int) -> dict[bytes, int]:
        found = [obj for kind in CLASSES for obj in p11.find(session, {CKA_CLASS: kind})]
        return {p11.get(session, obj, CKA_UNIQUE_ID): obj for obj in found}

    session = p11.open(token.slot)
    before = names(session)
    assert names(session) == before  # handles too, in one process
    after = names(restart(p11, token))
    assert after.keys() == before.keys()
    assert set(after.values()).isdisjoint(before.values())


def test_two_tokens_have_their_own(p11: Client, token: Token) -> None:
    (free,) = (slot for slot in p11.slots() if slot != token.slot)
    p11.init_token(free, token.so_pin, "another")
    mine, theirs = p11.open(token.slot), p11.open(free)
    ours = [(p11.find(session, {CKA_CLASS: CKO_PROFILE}), session) for session in (mine, theirs)]
    names = [{p11.get(s, obj, CKA_UNIQUE_ID) for obj in found} for found, s in ours]
    assert names[0].isdisjoint(names[1])
    assert set(ours[0][0]).isdisjoint(ours[1][0])


# -- what cannot be done with them -------------------------------------------------------------


@pytest.mark.parametrize("object_class", CLASSES)
def test_they_are_as_they_are(p11: Client, session: int, object_class: int) -> None:
    obj = p11.find(session, {CKA_CLASS: object_class})[0]
    with refused(CKR_ACTION_PROHIBITED):
        p11.do("C_DestroyObject", session, obj)
    with refused(CKR_ACTION_PROHIBITED):
        p11.set(session, obj, {CKA_LABEL: b"mine"})
    with refused(CKR_ACTION_PROHIBITED):
        p11.copy(session, obj, {})
    with refused(CKR_ATTRIBUTE_TYPE_INVALID):
        p11.get(session, obj, CKA_LABEL)
    with refused(CKR_ATTRIBUTE_VALUE_INVALID):
        p11.create(session, {CKA_CLASS: object_class})
    assert p11.C_SignInit(session, mechanism(CKM_SHA256_HMAC), obj) != CKR_OK
    size = ffi.new("CK_ULONG *")
    p11.do("C_GetObjectSize", session, obj, size)
    assert size[0] >= 16


# -- hardware features -------------------------------------------------------------------------


def test_the_clock(p11: Client, token: Token) -> None:
    session = p11.open(token.slot, read_write=False)
    obj = clock(p11, session)
    before = datetime.now(UTC).replace(microsecond=0)
    value = p11.get(session, obj, CKA_VALUE)
    assert len(value) == 16
    assert value.endswith(b"00")
    told = datetime.strptime(value[:14].decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    assert before <= told <= datetime.now(UTC)
    time.sleep(1.1)
    assert p11.get(session, obj, CKA_VALUE) > value
    with refused(CKR_ACTION_PROHIBITED):
        p11.set(session, obj, {CKA_VALUE: value})


@pytest.mark.parametrize("initialised", [True, False])
def test_the_token_tells_the_time(p11: Client, token: Token, initialised: bool) -> None:
    slot = token.slot if initialised else next(s for s in p11.slots() if s != token.slot)
    info = p11.token_info(slot)
    assert info.flags & CKF_CLOCK_ON_TOKEN
    told = bytes(info.utcTime)
    time_told = datetime.strptime(told[:14].decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - time_told).total_seconds() < 60
    assert told.endswith(b"00")


def test_the_counter_only_goes_up(p11: Client, token: Token, session: int) -> None:
    obj = counter(p11, session)
    assert p11.get(session, obj, CKA_RESET_ON_INIT) == b"\0"
    assert p11.get(session, obj, CKA_HAS_RESET) == b"\0"
    values = [count(p11, session) for _ in range(5)]
    made = p11.create(session, {CKA_CLASS: CKO_DATA, CKA_TOKEN: True})
    values.append(count(p11, session))
    p11.do("C_DestroyObject", session, made)
    values.append(count(p11, session))
    session = restart(p11, token)
    values.append(count(p11, session))
    p11.do("C_CloseAllSessions", token.slot)
    p11.init_token(token.slot, token.so_pin, token.label)
    values.append(count(p11, p11.open(token.slot)))
    assert values == sorted(set(values))


READER = """
import sys
from abi.client import NULL, Client
from abi.test_built_in_objects import count
p11 = Client(sys.argv[1])
p11.do("C_Initialize", NULL)
session = p11.open(int(sys.argv[2]))
print(*(count(p11, session) for _ in range(20)))
"""


def test_processes_count_together(p11: Client, token: Token, library: Path) -> None:
    command = [sys.executable, "-c", READER, str(library), str(token.slot)]
    path = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}
    other = subprocess.Popen(command, env=os.environ | path, stdout=subprocess.PIPE, text=True)
    session = p11.open(token.slot)
    mine = [count(p11, session) for _ in range(20)]
    output, _ = other.communicate(timeout=60)
    theirs = [int(word) for word in output.split()]
    assert len(theirs) == 20
    assert mine == sorted(set(mine))
    assert theirs == sorted(set(theirs))
    assert set(mine).isdisjoint(theirs)


# -- logging in by name: what two of the profiles ask for ---------------------------------------


def test_logging_in_without_a_name(p11: Client, token: Token) -> None:
    session = p11.open(token.slot)
    pin = (octets(token.user_pin), len(token.user_pin))
    for name in (octets(b"somebody"), 8), (NULL, 1):
        assert p11.C_LoginUser(session, CKU_USER, *pin, *name) == CKR_ARGUMENTS_BAD
    p11.do("C_LoginUser", session, CKU_USER, *pin, NULL, 0)
    assert p11.session_info(session).state == CKS_RW_USER_FUNCTIONS
    p11.do("C_Logout", session)
    p11.do("C_LoginUser", session, CKU_USER, *pin, octets(b""), 0)
    assert p11.session_info(session).state == CKS_RW_USER_FUNCTIONS


def test_a_search_template_with_a_clock_value(p11: Client, session: int) -> None:
    rv = p11.C_FindObjectsInit(
        session, *template({CKA_CLASS: CKO_HW_FEATURE, CKA_VALUE: b"1999123123595900"})
    )
    assert rv == CKR_OK
    p11.do("C_FindObjectsFinal", session)
