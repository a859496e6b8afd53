"""Starting Python: in C programs and in Python hosts, in hostile and in broken surroundings."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from abi.compiling import ROOT, SOURCES, compile_c

ENTRIES = """
from _pypkcs11 import ffi, lib

def answer(*arguments):
    return 0

while (name := lib.pypkcs11_undefined_entry()) != ffi.NULL:
    ffi.def_extern(name=ffi.string(name).decode(), error=5)(answer)

@ffi.def_extern(name="py_C_GetInfo", error=5)
def get_info(info):
    info.manufacturerID = b"stand-in"
    return 0
"""

STARTED = """\
C_Initialize 0x0
C_Initialize again 0x191
C_GetInfo 0x0
manufacturer {manufacturer}
libcrypto absent
C_Finalize reserved 0x7
C_Finalize 0x0
C_GetInfo after 0x190
C_Initialize once more 0x0
C_Finalize once more 0x0
"""


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the compiled programs."""
    directory = tmp_path_factory.mktemp("programs")
    compile_c(SOURCES / "start.c", directory / "start", "-std=gnu11")
    compile_c(SOURCES / "fork.c", directory / "fork", "-std=gnu11")
    compile_c(SOURCES / "small_stack.c", directory / "small_stack", "-std=gnu11")
    compile_c(SOURCES / "late.c", directory / "late.so", "-std=gnu11", "-shared", "-fPIC")
    return directory


@pytest.fixture
def tree(library: Path, tmp_path: Path) -> Path:
    """An installed tree whose Python side answers CKR_OK to everything; returns its library."""
    package = tmp_path / "lib" / "pypkcs11" / "pypkcs11"
    (package / "abi").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "abi" / "__init__.py").touch()
    shutil.copy(ROOT / "src/pypkcs11/abi/boot.py", package / "abi")
    (package / "abi" / "entries.py").write_text(ENTRIES)
    for name in ("cffi", "_cffi_backend", "cryptography"):
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        origin = Path(spec.origin)
        origin = origin.parent if origin.name == "__init__.py" else origin
        (package.parent / origin.name).symlink_to(origin)
    (tmp_path / "lib" / "pkcs11").mkdir()
    return Path(shutil.copy(library, tmp_path / "lib" / "pkcs11" / "libpypkcs11.so"))


def run(
    *command: object, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env={**os.environ, **environment},
    )


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """C_Initialize failed, and one line says what, where and what to do."""
    assert done.stdout.startswith("C_Initialize 0x5\n"), done.stdout + done.stderr
    first = done.stderr.splitlines()[0]
    assert first.startswith("pypkcs11: ")
    assert len(first.split("; ")) >= 3
    assert "; looked in " in first
    for part in parts:
        assert part in first
    assert all(line.startswith("pypkcs11: ") for line in done.stderr.splitlines())


def test_c_program(library: Path, programs: Path, tmp_path: Path) -> None:
    done = run(programs / "start", library, PYPKCS11_TOKEN_DIR=str(tmp_path / "tokens"))
    assert done.stdout == STARTED.format(manufacturer="pypkcs11".ljust(32)), done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("option", [[], ["no-threads"]], ids=["small stack", "no threads"])
def test_the_callers_thread_is_left_as_it_was(
    library: Path, programs: Path, tmp_path: Path, option: list[str]
) -> None:
    """Python starts in a thread of its own, unless the application forbids that."""
    tokens = str(tmp_path / "tokens")
    done = run(programs / "small_stack", library, *option, PYPKCS11_TOKEN_DIR=tokens)
    assert (done.stdout, done.stderr) == ("C_Initialize 0x0\nthreads 1\n", "")


def test_installed_tree(tree: Path, programs: Path) -> None:
    done = run(programs / "start", tree)
    assert (done.stdout, done.stderr) == (STARTED.format(manufacturer="stand-in"), "")


def test_library_inside_the_package(tree: Path, programs: Path) -> None:
    inside = shutil.copy(tree, tree.parents[1] / "pypkcs11" / "pypkcs11" / "libpypkcs11.so")
    done = run(programs / "start", inside)
    assert (done.stdout, done.stderr) == (STARTED.format(manufacturer="stand-in"), "")


def test_relative_and_linked_names(tree: Path, programs: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "p11.so").symlink_to(tree)
    done = run(programs / "start", "./elsewhere/p11.so", cwd=tmp_path)
    assert done.stdout == STARTED.format(manufacturer="stand-in"), done.stderr


def test_hostile_surroundings(tree: Path, programs: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    user_site = evil / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    for directory in (evil, user_site):
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("cffi", "_cffi_backend", "json", "os", "encodings", "sitecustomize"):
            (directory / f"{name}.py").write_text("import sys; sys.stderr.write('evil\\n')")
        (directory / "pypkcs11").mkdir()
        (directory / "pypkcs11" / "__init__.py").write_text("raise SystemExit('evil')")
    done = run(
        programs / "start",
        tree,
        cwd=evil,
        PYTHONPATH=str(evil),
        PYTHONHOME=str(evil),
        PYTHONUSERBASE=str(evil),
        PYTHONSTARTUP=str(evil / "os.py"),
        PYTHONVERBOSE="1",
        PYTHONWARNINGS="error",
        PYTHONPLATLIBDIR="evil",
        HOME=str(evil),
        PATH=f"{evil}:{os.environ['PATH']}",
    )
    assert (done.stdout, done.stderr) == (STARTED.format(manufacturer="stand-in"), "")


def test_no_bytecode_is_written(tree: Path, programs: Path, tmp_path: Path) -> None:
    run(programs / "start", tree)
    assert not list((tmp_path / "lib" / "pypkcs11" / "pypkcs11").rglob("*.pyc"))


def test_library_on_its_own(programs: Path, tmp_path: Path) -> None:
    """Built without a record of this checkout, and copied away from its Python files."""
    alone = tmp_path / "alone" / "libpypkcs11.so"
    alone.parent.mkdir()
    built = run(sys.executable, ROOT / "build_embedded.py", "--no-record", "--output", alone)
    assert built.returncode == 0, built.stderr
    refused(
        run(programs / "start", alone),
        "Python files of the library are missing",
        str(alone.parent),
        "install",
    )


@pytest.mark.parametrize("name", ["cryptography", "_cffi_backend"])
def test_missing_dependency(tree: Path, programs: Path, name: str) -> None:
    site = tree.parents[1] / "pypkcs11"
    for link in site.glob(f"{name}*"):
        link.unlink()
    refused(run(programs / "start", tree), f"No module named '{name}'", str(site))


def test_old_cryptography(tree: Path, programs: Path) -> None:
    site = tree.parents[1] / "pypkcs11"
    (site / "cryptography").unlink()
    (site / "cryptography").mkdir()
    (site / "cryptography" / "__init__.py").write_text("__version__ = '38.0.4'")
    refused(run(programs / "start", tree), "cryptography 38.0.4", str(site))


def test_broken_python_side(tree: Path, programs: Path) -> None:
    entries = tree.parents[1] / "pypkcs11" / "pypkcs11" / "abi" / "entries.py"
    entries.write_text("\nraise ValueError('two\\nlines')")
    refused(run(programs / "start", tree), "ValueError: two lines", f"{entries}:2")


def test_entry_that_python_does_not_define(tree: Path, programs: Path) -> None:
    entries = tree.parents[1] / "pypkcs11" / "pypkcs11" / "abi" / "entries.py"
    entries.write_text("")
    refused(run(programs / "start", tree), "py_C_Initialize")


@pytest.mark.parametrize(
    ("version", "option"),
    [
        ("2.7", '-DOLD="2.7.18"'),
        ("3.9", '-DOLD="3.9.18"'),
        ("3.9", "-DNUMBER=0x030912f0"),
        ("3.99", "-DNUMBER=0x036300f0"),
    ],
)
def test_foreign_python(
    tree: Path, programs: Path, tmp_path: Path, version: str, option: str
) -> None:
    """A process with another Python among its symbols: refused before anything is called."""
    foreign = tmp_path / "libforeign.so"
    compile_c(SOURCES / "python.c", foreign, "-shared", "-fPIC", option)
    done = run(programs / "start", tree, LD_PRELOAD=str(foreign))
    refused(done, f"Python {version}")


def test_forks_amid_threads(tree: Path, programs: Path) -> None:
    done = run(programs / "fork", tree, 40)
    assert (done.returncode, done.stderr) == (0, "")


HOST = """
import ctypes, sys
module = ctypes.{loader}({library!r})
ok = lambda rv: None if rv == 0 else sys.exit(f"0x{{rv:x}}")
"""


def host(library: Path, script: str, *options: str, loader: str = "CDLL") -> str:
    """Run a script in a Python that has the module as `module`; return what it prints."""
    text = HOST.format(loader=loader, library=str(library)) + script
    done = run(sys.executable, *options, "-c", text)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.mark.parametrize("options", [(), ("-I", "-S")])
def test_python_host(tree: Path, options: tuple[str, ...]) -> None:
    """A host with cffi of its own, and one without any package; sys.path stays as it was."""
    script = """
path = list(sys.path)
ok(module.C_Initialize(None))
info = ctypes.create_string_buffer(88)
ok(module.C_GetInfo(info))
print(info.raw[2:10].decode())
assert sys.path == path
ok(module.C_Finalize(None))
ok(module.C_Initialize(None))
"""
    assert host(tree, script, *options) == "stand-in\n"


def test_python_host_that_looked_into_a_capsule(tree: Path) -> None:
    """It gave the type of capsules a version tag, for which CFFI 2 waits under Python 3.11."""
    script = """
import datetime
hasattr(datetime.datetime_CAPI, "anything")
ok(module.C_Initialize(None))
"""
    assert host(tree, script) == ""


def test_python_host_with_threads_that_keep_the_gil(tree: Path) -> None:
    script = """
import threading
results = []
start = threading.Barrier(4)
def initialise():
    start.wait()
    results.append(module.C_Initialize(None))
threads = [threading.Thread(target=initialise) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sorted(results))
"""
    assert host(tree, script, loader="PyDLL") == "[0, 401, 401, 401]\n"


def test_python_host_that_forks(tree: Path) -> None:
    script = """
import os
info = ctypes.create_string_buffer(88)
ok(module.C_Initialize(None))
pid = os.fork()
if pid == 0:
    before = module.C_GetInfo(info)
    os._exit(0 if before == 0x190 and module.C_Initialize(None) == 0 else 1)
print(os.waitpid(pid, 0)[1])
ok(module.C_GetInfo(info))
"""
    assert host(tree, script, "-W", "ignore") == "0\n"


def test_python_host_at_exit(tree: Path, programs: Path) -> None:
    """atexit functions still use the module; C's exit handlers, after Python, get an answer."""
    script = f"""
import atexit
info = ctypes.create_string_buffer(88)
atexit.register(lambda: print(module.C_GetInfo(info), flush=True))
ok(module.C_Initialize(None))
functions = ctypes.c_void_p()
ok(module.C_GetFunctionList(ctypes.byref(functions)))
ctypes.CDLL({str(programs / "late.so")!r}).arm(functions)
"""
    text = HOST.format(loader="CDLL", library=str(tree)) + script
    done = run(sys.executable, "-c", text)
    assert (done.returncode, done.stdout) == (42, "0\n"), done.stderr
