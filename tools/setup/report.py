"""How the set-up talks: commands are shown before they run, failures say what to do."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence


class SetupError(Exception):
    """The set-up cannot go on; the text says what the reader can do about it."""


def run(command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """Show a command and run it; raise SetupError when it fails."""
    shown = shlex.join(command)
    print(f"set-up: {shown}", file=sys.stderr, flush=True)
    code = subprocess.run(command, env=env, check=False).returncode
    if code != 0:
        raise SetupError(f"this command failed with exit code {code}:\n    {shown}")
