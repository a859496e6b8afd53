"""Play sequences of calls, from a seed or from files, and look at the store after each few.

    python tests/fuzz/run.py [--library PATH] [--seed 1] [--sequences 100] [--trace] [FILE...]

Ends, with the input that did it, at the first crash, hang, unlisted return code, write behind a
buffer, or store that is not as it should be. `make fuzz` does this for as long as one likes.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).parents[2] / "src")]

from abi.client import NULL, ROOT, Client, mechanism, octets  # noqa: E402
from abi.samples import PAIRS, sample  # noqa: E402
from fuzz.sequence import PINS, SO_PIN, USAGES, USER_PIN, World  # noqa: E402

from pypkcs11.mechanisms.table import key_types  # noqa: E402
from pypkcs11.standard.constants import (  # noqa: E402
    CKA_DERIVE,
    CKA_EXTRACTABLE,
    CKA_SENSITIVE,
    CKA_TOKEN,
    CKO_SECRET_KEY,
    CKU_SO,
    CKU_USER,
)
from pypkcs11.standard.errors import CryptokiError  # noqa: E402
from pypkcs11.store.pins import KdfCost  # noqa: E402
from pypkcs11.store.protocol import Role, TokenStore  # noqa: E402
from pypkcs11.store.sqlite import SqliteDirectory  # noqa: E402

#: Seconds after which a sequence is said to hang.
PATIENCE = 60
#: Sequences with one store.
WITH_ONE = 25


def configure(place: Path) -> None:
    """Cheap PINs, and a log of what is refused."""
    (place / "config.toml").write_text(
        "[store]\nkdf_memory = 64\nkdf_iterations = 1\nkdf_lanes = 1\n"
        f'[log]\nfile = "{place / "log"}"\nlevel = "info"\n'
    )
    os.environ["PYPKCS11_CONF"] = str(place / "config.toml")


def make_token(p11: Client) -> None:
    """A token with both PINs, in the directory that the environment names."""
    p11.C_Finalize(NULL)
    p11.do("C_Initialize", NULL)
    slot = p11.slots()[0]
    p11.init_token(slot, SO_PIN, "fuzz")
    session = p11.open(slot)
    p11.login(session, CKU_SO, SO_PIN)
    p11.do("C_InitPIN", session, octets(USER_PIN), len(USER_PIN))
    p11.do("C_Logout", session)
    p11.login(session, CKU_USER, USER_PIN)
    make_keys(p11, session)
    p11.do("C_Finalize", NULL)


def make_keys(p11: Client, session: int) -> None:
    """A key of every type, that may do all it can."""
    for key_type, row in key_types().items():
        open_ = {CKA_TOKEN: True, CKA_SENSITIVE: False, CKA_EXTRACTABLE: True, CKA_DERIVE: True}
        if CKO_SECRET_KEY in row.load:
            given = sample(p11, session, CKO_SECRET_KEY, key_type)
            p11.create(session, given | dict.fromkeys(USAGES, True) | open_)
        elif key_type in PAIRS:
            kind, public = PAIRS[key_type]
            p11.generate_pair(session, mechanism(kind), public | {CKA_TOKEN: True}, open_)


def unlock(store: TokenStore) -> None:
    """Log in with whichever of the PINs the user has by now."""
    for pin in PINS:
        with suppress(CryptokiError):
            return store.unlock(Role.USER, pin, 0)
    raise SystemExit("the user's PIN is none that was ever set")


def check_store(place: Path) -> int:
    """Open every token and everything in it; return how many objects there were."""
    directory = SqliteDirectory(place, kdf=KdfCost(memory=64, iterations=1))
    seen = 0
    try:
        for serial in directory.serials():
            store = directory.open(serial)
            with store._database.reading() as now:
                (verdict,) = now.connection.execute("PRAGMA integrity_check").fetchone()
            if verdict != "ok":
                raise SystemExit(f"the store is damaged: {verdict}")
            description = store.describe()
            if description.user_pin_set and not any(description.failures.values()):
                unlock(store)
                for record in (*store.load(private=False), *store.load(private=True)):
                    assert record.attributes
                    store.secret(record.id)
                    seen += 1
    finally:
        directory.close()
    return seen


def inputs(arguments: argparse.Namespace) -> Iterator[tuple[str, bytes]]:
    """Names and octets of what is to be played."""
    for path in arguments.files:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            yield str(file), file.read_bytes()
    for number in range(arguments.sequences):
        seed = f"{arguments.seed}:{number}"
        chosen = random.Random(seed)
        yield seed, chosen.randbytes(chosen.choice((60, 400, 1500)))


def play(p11: Client, arguments: argparse.Namespace, place: Path) -> tuple[int, int]:
    """Play all inputs; return how many calls and stored objects there were."""
    calls = stored = 0
    for number, (name, data) in enumerate(inputs(arguments)):
        if number % WITH_ONE == 0:
            if number:
                stored += end(p11)
            os.environ["PYPKCS11_TOKEN_DIR"] = str(place / str(number))
            make_token(p11)
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        world = World(p11, print if arguments.trace else None)
        try:
            world.play(data)
        except BaseException:
            print(f"input {name}: {data.hex()}", file=sys.stderr, flush=True)
            raise
        calls += world.calls
        faulthandler.cancel_dump_traceback_later()
    return calls, stored + end(p11)


def end(p11: Client) -> int:
    """Be done with a store."""
    p11.C_Finalize(NULL)
    return check_store(Path(os.environ["PYPKCS11_TOKEN_DIR"]))


def main() -> None:
    """Parse, prepare, play."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--library", default=ROOT / "build" / "libpypkcs11.so")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--sequences", type=int, default=100)
    parser.add_argument("--trace", action="store_true")
    arguments = parser.parse_args()
    faulthandler.enable()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as made:
        place = Path(made)
        configure(place)
        try:
            calls, stored = play(Client(arguments.library), arguments, place)
        except BaseException:
            log = (place / "log").read_text().splitlines()
            print(*[line for line in log if " error: " in line][-5:], sep="\n", file=sys.stderr)
            raise
    print(f"{calls} calls, {stored} objects found whole")


if __name__ == "__main__":
    main()
