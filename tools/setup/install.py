"""Install the built library, its private Python tree, the header and the p11-kit registration.

    .venv/bin/python tools/setup/install.py install|uninstall --prefix /usr/local [--destdir DIR]
        [--p11kit-modules DIR]

The private tree holds this package and the exact packages it was built and tested with, copied from
``.venv``: installing needs no network, and nothing on the machine can replace them.
"""

from __future__ import annotations

import argparse
import compileall
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "build" / "install" / "libpypkcs11.so"
PACKAGE = ROOT / "src" / "pypkcs11"
HEADER = ROOT / "include" / "pkcs11.h"
RUNS_ON = ("cffi", "cryptography", "gmpy2")

MODULE_FILE = """\
# Registers pypkcs11 with p11-kit; see pkcs11.conf(5).
module: {library}
critical: no
"""


@dataclass(frozen=True)
class Layout:
    """Where everything goes; the paths do not contain DESTDIR, ``staged`` adds it."""

    prefix: Path
    destdir: str
    p11kit_modules: str

    @property
    def library(self) -> Path:
        return self.prefix / "lib" / "pkcs11" / "libpypkcs11.so"

    @property
    def tree(self) -> Path:
        return self.prefix / "lib" / "pypkcs11"

    @property
    def headers(self) -> Path:
        return self.prefix / "include" / "pypkcs11"

    @property
    def module_file(self) -> Path | None:
        """The p11-kit registration, or None when the caller asked for none."""
        return Path(self.p11kit_modules) / "pypkcs11.module" if self.p11kit_modules else None

    def staged(self, path: Path) -> Path:
        return Path(f"{self.destdir}{path}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["install", "uninstall"])
    parser.add_argument("--prefix", required=True, type=Path)
    parser.add_argument("--destdir", default="")
    parser.add_argument("--p11kit-modules", default=None)
    options = parser.parse_args()
    if not options.prefix.is_absolute():
        parser.error(f"PREFIX must be an absolute path, not {options.prefix}")
    modules = options.p11kit_modules
    if modules is None:
        modules = default_p11kit_modules(options.prefix)
    layout = Layout(options.prefix, options.destdir.rstrip("/"), modules)
    os.umask(0o022)
    {"install": install, "uninstall": uninstall}[options.action](layout)
    return 0


def default_p11kit_modules(prefix: Path) -> str:
    """The directory in which p11-kit finds a module registered by an installation in ``prefix``.

    p11-kit reads three directories, fixed when it was built: the packages' one below /usr/share,
    the administrator's in /etc/pkcs11/modules, and the user's. So a package (PREFIX=/usr) uses the
    first, a user's own prefix uses the user's, and everything else is the administrator's.
    """
    if prefix == Path("/usr"):
        return "/usr/share/p11-kit/modules"
    home = Path.home()
    if os.geteuid() != 0 and prefix.is_relative_to(home):
        return str(Path(os.environ.get("XDG_CONFIG_HOME", home / ".config")) / "pkcs11/modules")
    return "/etc/pkcs11/modules"


def install(layout: Layout) -> None:
    """Put everything in place, replacing what an earlier installation put there."""
    uninstall(layout)
    tree = layout.staged(layout.tree)
    for source, relative in [*_package_files(), *_files_it_runs_on()]:
        _copy(source, tree / relative)
    compileall.compile_dir(tree, quiet=1, stripdir=layout.destdir or None)
    _copy(HEADER, layout.staged(layout.headers / "pkcs11.h"))
    _copy(LIBRARY, layout.staged(layout.library))
    print(f"installed {layout.library}")
    if layout.module_file is not None:
        staged = layout.staged(layout.module_file)
        staged.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(MODULE_FILE.format(library=layout.library), encoding="utf-8")
        print(f"installed {layout.module_file}")


def uninstall(layout: Layout) -> None:
    """Remove what ``install`` put in place, and nothing else."""
    for tree in (layout.tree, layout.headers):
        shutil.rmtree(layout.staged(tree), ignore_errors=True)
    for path in (layout.library, layout.module_file):
        if path is not None:
            layout.staged(path).unlink(missing_ok=True)


def _package_files() -> Iterator[tuple[Path, Path]]:
    """This package's files, with their places in the private tree."""
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and path.suffix not in {".pyc", ".so"}:
            yield path, path.relative_to(PACKAGE.parent)


def _files_it_runs_on() -> Iterator[tuple[Path, Path]]:
    """The files of the packages that this one runs on, as pip recorded them in ``.venv``."""
    for name in sorted(_closure(RUNS_ON)):
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or ():
            relative = Path(file)
            if ".." not in relative.parts and relative.suffix != ".pyc":
                yield Path(str(distribution.locate_file(file))), relative


def _closure(names: tuple[str, ...]) -> set[str]:
    """The given distributions and everything they require here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower()
        if name in found:
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def _copy(source: Path, target: Path) -> None:
    """Copy one file, readable by all whatever the umask of the build was."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if ".so" in target.suffixes else 0o644)


if __name__ == "__main__":
    sys.exit(main())
