"""Fuzzing led by what the token's Python reaches: inputs that reach something new are kept.

    python tests/fuzz/guided.py CORPUS [libFuzzer's options]

Needs atheris, and is run by `make fuzz`. The library is loaded into this very interpreter, so that
its modules can be watched. Interesting inputs are written to the directory CORPUS.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import atheris

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).parents[2] / "src")]

with atheris.instrument_imports(include=["pypkcs11"]):
    from fuzz import run
    from fuzz.sequence import World

    from pypkcs11.mechanisms.table import mechanisms

    mechanisms()  # they are imported when first asked for: now is when they are watched

LIBRARY = run.ROOT / "build" / "libpypkcs11.so"


def main() -> None:
    """Fuzz in a child: libFuzzer ends its process at once, and what it made has to be removed."""
    with tempfile.TemporaryDirectory(prefix="pypkcs11-fuzz", ignore_cleanup_errors=True) as place:
        child = os.fork()
        if not child:
            fuzz(Path(place))
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # which the child has had as well
        _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


def fuzz(place: Path) -> NoReturn:
    """Prepare a token, and hand over to libFuzzer."""
    run.configure(place)
    p11 = run.Client(LIBRARY)
    played = 0

    def once(data: bytes) -> None:
        nonlocal played
        if played % run.WITH_ONE == 0:
            os.environ["PYPKCS11_TOKEN_DIR"] = str(place / str(played))
            run.make_token(p11)
        played += 1
        World(p11).play(data)

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()
    os._exit(0)  # never reached


if __name__ == "__main__":
    main()
