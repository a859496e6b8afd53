"""What is installed works on its own: by `make install`, and by pip."""

from __future__ import annotations

import fcntl
import shutil
import sys
from pathlib import Path

import pytest
from clients.harness import Token, run

HEADER_USER = """\
#include <pkcs11.h>
#include <stdio.h>
int main(void) { printf("%d.%d\\n", CRYPTOKI_VERSION_MAJOR, CRYPTOKI_VERSION_MINOR); return 0; }
"""


def make(root: Path, env: dict[str, str], *arguments: str) -> None:
    """Run make in the source tree, one at a time even when tests run side by side."""
    with (root / "build" / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run("make", "-C", root, *arguments, env=env, cwd=root, timeout=240)


@pytest.fixture
def make_environment(env: dict[str, str]) -> dict[str, str]:
    """The environment for a make of its own: the outer one's settings are not handed down."""
    return {name: value for name, value in env.items() if not name.startswith("MAKE")}


@pytest.mark.slow
def test_make_install_and_uninstall(
    root: Path, library: Path, tmp_path: Path, env: dict[str, str], make_environment: dict[str, str]
) -> None:
    prefix, modules = tmp_path / "prefix", tmp_path / "modules"
    places = [f"PREFIX={prefix}", f"P11KIT_MODULES={modules}"]
    make(root, make_environment, "install", *places)
    installed = prefix / "lib" / "pkcs11" / "libpypkcs11.so"
    assert (
        (modules / "pypkcs11.module").read_text().endswith(f"module: {installed}\ncritical: no\n")
    )
    use(Token(installed, tmp_path, {**env, "PYTHONPATH": "/nonexistent"}))
    assert str(root) not in loaded_libraries(installed, env, tmp_path)

    source = tmp_path / "version.c"
    source.write_text(HEADER_USER)
    include = prefix / "include" / "pypkcs11"
    run("cc", "-Wall", "-Werror", "-I", include, "-o", "version", source, env=env, cwd=tmp_path)
    assert run(tmp_path / "version", env=env, cwd=tmp_path).stdout == b"3.2\n"

    make(root, make_environment, "uninstall", *places)
    left = [path for top in (prefix, modules) for path in top.rglob("*") if not path.is_dir()]
    assert left == []


@pytest.mark.slow
def test_a_package_is_staged_below_destdir(
    root: Path, library: Path, tmp_path: Path, make_environment: dict[str, str]
) -> None:
    make(root, make_environment, "install", f"DESTDIR={tmp_path}/stage", "PREFIX=/usr")
    stage = tmp_path / "stage"
    module_file = stage / "usr/share/p11-kit/modules/pypkcs11.module"
    assert "module: /usr/lib/pkcs11/libpypkcs11.so\n" in module_file.read_text()
    assert (stage / "usr/lib/pkcs11/libpypkcs11.so").is_file()
    for path in stage.rglob("*"):
        assert path.stat().st_mode & 0o444 == 0o444, f"{path} is not readable by everybody"
        if path.suffix in {".py", ".module"}:
            assert str(tmp_path) not in path.read_text(encoding="utf-8", errors="replace")


@pytest.mark.slow
def test_pip_install(root: Path, library: Path, tmp_path: Path, env: dict[str, str]) -> None:
    """A wheel is built from a copy of the tree, with this environment's build packages."""
    python = tmp_path / "venv" / "bin" / "python"
    pip = {**env, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    source = copy_of_the_tree(root, tmp_path / "source")
    run(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir",
        tmp_path, source, env=pip, cwd=tmp_path, timeout=240)  # fmt: skip
    run(sys.executable, "-m", "venv", tmp_path / "venv", env=pip, cwd=tmp_path)
    (wheel,) = tmp_path.glob("pypkcs11-*.whl")
    run(python, "-m", "pip", "install", "--quiet", "--constraint", root / "constraints.txt", wheel,
        env=pip, cwd=tmp_path, timeout=240)  # fmt: skip
    answer = run(python, "-m", "pypkcs11", "module-path", env=env, cwd=tmp_path)
    module = Path(answer.stdout.decode().rstrip("\n"))
    assert module.is_relative_to(tmp_path / "venv")
    use(Token(module, tmp_path, env))
    assert str(source) not in loaded_libraries(module, env, tmp_path)


def use(token: Token) -> None:
    """Sign something with a fresh token, and let openssl verify it."""
    token.initialise()
    token.generate("EC:prime256v1", "01", "key")
    message = token.file("message", b"signed by what was installed")
    signature = token.sign("01", "ECDSA-SHA256", message, "--signature-format", "openssl")
    token.openssl.verifies(token.public_key("01"), message, signature)


def loaded_libraries(module: Path, env: dict[str, str], cwd: Path) -> str:
    """The shared libraries that pkcs11-tool loads when it uses the module, Python's among them."""
    result = run("pkcs11-tool", "--module", module, "--list-slots",
                 env={**env, "LD_DEBUG": "files"}, cwd=cwd)  # fmt: skip
    loaded = "\n".join(line for line in result.text.splitlines() if "file=" in line)
    assert "_cffi_backend" in loaded
    return loaded


def copy_of_the_tree(root: Path, target: Path) -> Path:
    """The source tree without what was built in it."""
    built = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", "*.so")
    return Path(shutil.copytree(root, target, ignore=built))
