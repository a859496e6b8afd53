"""Puts the library into the package: `pip install .` builds it for the Python that pip runs under.

Everything else about the package is in pyproject.toml.
"""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).resolve().parent))

from build_embedded import BuildError, build


class BuildLibrary(build_py):
    """Builds libpypkcs11.so beside the modules of the package."""

    def run(self) -> None:
        """Copy the modules, then build; a checkout that is installed as editable uses build/."""
        super().run()
        if self.editable_mode:
            return
        work = Path(self.get_finalized_command("build").build_temp).absolute()
        try:
            # What is installed finds its modules beside itself: no directory is recorded, least of
            # all pip's temporary ones.
            build(Path(self.build_lib) / "pypkcs11" / "libpypkcs11.so", work=work, record=False)
        except BuildError as error:
            sys.exit(f"pypkcs11: {error}")


class BinaryDistribution(Distribution):
    """The wheel fits one version of Python and one platform."""

    def has_ext_modules(self) -> bool:
        """Tell setuptools so: it sees no extension module of its own."""
        return True


setup(cmdclass={"build_py": BuildLibrary}, distclass=BinaryDistribution)
