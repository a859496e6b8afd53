"""The command line: `python -m pypkcs11 COMMAND`, or `pypkcs11 COMMAND` where it is installed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pypkcs11.cli import module_path

DESCRIPTION = "A PKCS#11 module whose token is written in Python."

EXAMPLE = """\
example:
  pkcs11-tool --module "$(python -m pypkcs11 module-path)" --list-slots
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status: 0 when done, 1 for a failure, 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        prog="pypkcs11",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command = commands.add_parser(
        "module-path",
        help="print where the library is that applications load",
        description="Print where the library is that applications load.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=module_path.run)
    options = parser.parse_args(arguments)
    try:
        print(options.run())
    except module_path.NotBuiltError as error:
        print(f"pypkcs11: {error}", file=sys.stderr)
        return 1
    return 0
