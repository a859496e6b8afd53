"""Make everything the Makefile's targets need, and nothing that is already there.

    python3 tools/setup/prepare.py bench|build|demo|fuzz|lint|test [--python PYTHON]

Three steps, each skipped when its result is there: system packages, the virtual environment
``.venv``, and the pip packages in it. Only the standard library is used, and only what Python 3.8
has, so that an old ``python3`` fails with a message rather than with a syntax error.
"""

from __future__ import annotations

import argparse
import sys

import environment
import interpreter
import packages
from report import SetupError

PIP_GROUPS = {
    "bench": "bench",
    "build": "build",
    "demo": "build",
    "fuzz": "fuzz",
    "lint": "test",
    "test": "test",
}
"""Which pip packages each purpose needs; the groups are in environment.py."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("purpose", choices=sorted(PIP_GROUPS))
    parser.add_argument("--python", default="", help="the interpreter to build against")
    options = parser.parse_args()
    try:
        prepare(options.purpose, options.python)
    except SetupError as error:
        print(f"\nset-up: {error}", file=sys.stderr)
        return 1
    return 0


def prepare(purpose: str, wanted_python: str) -> None:
    """Prepare for ``purpose``; raise SetupError with what the reader has to do if that fails."""
    group = PIP_GROUPS[purpose]
    system = packages.missing(purpose)
    if environment.is_ready(group, wanted_python):
        packages.install(system)
        return
    choice = interpreter.choose(wanted_python)
    packages.install(system + choice.missing_packages)
    if choice.missing_packages:
        choice = interpreter.choose(wanted_python or choice.command)
        if choice.missing_packages:
            raise SetupError(f"{choice.command} is still incomplete: {choice.lacks()}")
    environment.create(choice.command)
    environment.install(group)


if __name__ == "__main__":
    sys.exit(main())
