"""`python -m pypkcs11`: the command line."""

import sys

from pypkcs11.cli.main import main

sys.exit(main())
