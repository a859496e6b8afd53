"""Fuzzing led by what the token's Python reaches: inputs that reach something new are kept.

    python tests/fuzz/guided.py [--library PATH] CORPUS [libFuzzer's options]

Needs atheris, and is run by `make fuzz`. The library is loaded into this very interpreter, so that
its modules can be watched. Interesting inputs are written to the directory CORPUS.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).parents[2] / "src")]

with atheris.instrument_imports(include=["pypkcs11"]):
    from fuzz import run
    from fuzz.sequence import World

    from pypkcs11.mechanisms.table import mechanisms

    mechanisms()  # they are imported when first asked for: now is when they are watched

LIBRARY = run.ROOT / "build" / "libpypkcs11.so"


def main() -> None:
    """Prepare a token, and hand over to libFuzzer."""
    place = Path(tempfile.mkdtemp(prefix="pypkcs11-fuzz"))
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


if __name__ == "__main__":
    main()
