"""A few minutes of fuzzing, the same in every run; `make fuzz` goes on for longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SEQUENCES = 400


def play(library: Path, *arguments: object) -> int:
    """Play sequences in a process of their own; return how many calls they made."""
    command = [sys.executable, HERE / "run.py", "--library", library, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return int(done.stdout.split()[0])


@pytest.mark.parametrize("seed", range(4))
def test_sequences_of_calls(library: Path, seed: int) -> None:
    assert play(library, "--seed", seed, "--sequences", SEQUENCES) > 10 * SEQUENCES


def test_the_corpus(library: Path) -> None:
    """What guided fuzzing found to reach the most of the token."""
    kept = list((HERE / "corpus").iterdir())
    assert play(library, "--sequences", 0, HERE / "corpus") > len(kept) > 10
