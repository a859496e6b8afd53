"""`module-path`: where the library is."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
NAME = "libpypkcs11.so"


class NotBuiltError(Exception):
    """There is no library in any of the places where it belongs."""


def places(package: Path = PACKAGE) -> tuple[Path, ...]:
    """Return where the library may be, the likeliest first.

    It is a file of the package when pip installed it, lib/pkcs11/libpypkcs11.so beside
    lib/pypkcs11/pypkcs11 after `make install`, and build/libpypkcs11.so in a checkout.
    """
    found = [package / NAME, package.parents[1] / "pkcs11" / NAME]
    checkout = package.parents[1]
    if (checkout / "build_embedded.py").is_file():
        found.append(checkout / "build" / NAME)
    return tuple(found)


def run() -> str:
    """Return the library's absolute path; raise NotBuiltError when it is nowhere."""
    tried = places()
    for path in tried:
        if path.is_file():
            return str(path)
    raise NotBuiltError(
        f"there is no {NAME}; looked for {', '.join(str(path) for path in tried)};"
        " run `make build` in a checkout, or reinstall the package"
    )
