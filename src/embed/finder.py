"""Run inside a host's Python, with PATHS set: makes the library's own modules importable there.

The library's package comes from the library's environment and no other; what it depends on comes
from the host when it has it, because one process cannot hold two copies. sys.path stays as it is.
"""

import sys
from importlib.machinery import ModuleSpec, PathFinder

# boot.c puts it there.
PATHS: list[str] = globals()["PATHS"]


class PyPKCS11Finder:
    """Finds some top-level modules in the given directories."""

    def __init__(self, names: frozenset[str], paths: list[str]) -> None:
        self.names = names
        self.paths = paths

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Follow importlib.abc.MetaPathFinder."""
        return PathFinder.find_spec(name, self.paths) if name in self.names else None


DEPENDENCIES = frozenset({"cffi", "_cffi_backend", "cryptography"})

sys.meta_path.insert(0, PyPKCS11Finder(frozenset({"pypkcs11"}), PATHS))
sys.meta_path.append(PyPKCS11Finder(DEPENDENCIES, PATHS))
