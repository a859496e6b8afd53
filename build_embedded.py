"""Build libpypkcs11.so under the Python that it will embed.

    .venv/bin/python build_embedded.py [--output build/libpypkcs11.so]

The interpreter that runs this must have a shared libpython, its headers, and cffi. The library
finds its Python files from its own place when it is installed; a library of this checkout has the
checkout and the directories of cffi, cryptography and gmpy2 recorded instead (--no-record leaves
that out).
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import importlib.util
import io
import os
import shlex
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
EMBED = ROOT / "src" / "embed"
DEFAULT_OUTPUT = ROOT / "build" / "libpypkcs11.so"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

UNITS = (
    "boot.c",
    "exports.c",
    "fork.c",
    "gate.c",
    "interfaces.c",
    "locate.c",
    "python.c",
    "report.c",
    "signals.c",
    "state.c",
    "surroundings.c",
)
COMMON = (
    "-std=gnu11",
    "-O2",
    "-g",
    "-fPIC",
    "-pthread",
    "-fvisibility=hidden",
    "-fstack-protector-strong",
    "-D_GNU_SOURCE",
    "-D_FORTIFY_SOURCE=2",
    "-Wall",
    "-Werror",
)
STRICT = (
    "-Wextra",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wold-style-definition",
    "-Wundef",
    "-Wcast-qual",
    "-Wpointer-arith",
    "-Wwrite-strings",
    "-Wformat=2",
    "-Wvla",
)
LINK = (
    "-shared",
    "-pthread",
    "-Wl,-soname,libpypkcs11.so",
    "-Wl,-z,nodelete",
    "-Wl,-z,now",
    "-Wl,-z,relro",
    "-Wl,-z,noexecstack",
    "-Wl,-z,defs",
    # The function lists hold our own functions, not those of another PKCS #11 module that the
    # process loaded with RTLD_GLOBAL before.
    "-Wl,-Bsymbolic",
)
# Directories that the loader searches anyway.
SYSTEM_DIRECTORIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")


class BuildError(Exception):
    """The build cannot go on; the text says what is missing and how to get it."""


@dataclass(frozen=True, slots=True)
class Python:
    """The interpreter that the library will embed, as the build found it."""

    library: Path
    include: tuple[Path, ...]
    stdlib: Path
    dynload: Path
    prefix: Path
    executable: Path


def find_python() -> Python:
    """Describe the running interpreter; raise BuildError when it cannot be embedded."""
    if sys.version_info < (3, 11):  # noqa: UP036 - somebody may run this with an older one
        raise BuildError(f"Python {VERSION} is too old: pypkcs11 needs 3.11 or later")
    include = tuple(
        dict.fromkeys(Path(sysconfig.get_path(name)) for name in ("include", "platinclude"))
    )
    if not any((directory / "Python.h").is_file() for directory in include):
        raise BuildError(
            f"Python.h is missing (looked in {include[0]}): install python{VERSION}-dev"
            " (python3-dev for Debian's default Python)"
        )
    stdlib = Path(sysconfig.get_path("stdlib"))
    dynload = sysconfig.get_config_var("DESTSHARED") or str(stdlib / "lib-dynload")
    return Python(
        library=_find_libpython(),
        include=include,
        stdlib=stdlib,
        dynload=Path(dynload),
        prefix=Path(sys.base_prefix),
        executable=Path(getattr(sys, "_base_executable", sys.executable)),
    )


def _find_libpython() -> Path:
    name = str(sysconfig.get_config_var("INSTSONAME") or "")
    directory = Path(str(sysconfig.get_config_var("LIBDIR") or "/usr/lib"))
    multiarch = str(sysconfig.get_config_var("MULTIARCH") or "")
    tried = [directory, directory / multiarch, Path(sys.base_prefix) / "lib"]
    for candidate in tried:
        if ".so" in name and (candidate / name).is_file():
            return candidate / name
    raise BuildError(
        f"{sys.executable} has no shared libpython{VERSION} (looked in {tried[0]}): install"
        f" libpython{VERSION}, or a Python configured with --enable-shared"
    )


def find_sites() -> list[Path]:
    """Return the directories of what the library runs on; BuildError without what it must have.

    Without gmpy2 the library works, but for what needs it (CKM_RSA_X_509).
    """
    sites: dict[Path, None] = {}
    for module in ("_cffi_backend", "cffi", "cryptography", "gmpy2"):
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            if module == "gmpy2":
                continue
            raise BuildError(
                f"{sys.executable} has no {module}: run {sys.executable} -m pip install"
                " cffi 'cryptography>=50'"
            )
        depth = 1 if spec.submodule_search_locations is None else 2
        sites[Path(spec.origin).parents[depth - 1]] = None
    return list(sites)


def c_string(value: object) -> str:
    """Return `value` as a C string literal."""
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def recorded_header(python: Python, record: bool) -> str:
    """Return the header that tells the library what the build found."""
    sites = find_sites() if record else []
    values = {
        "PYPKCS11_LIBPYTHON": c_string(python.library.name),
        "PYPKCS11_STDLIB": c_string(python.stdlib),
        "PYPKCS11_DYNLOAD": c_string(python.dynload),
        "PYPKCS11_PREFIX": c_string(python.prefix),
        "PYPKCS11_EXECUTABLE": c_string(python.executable),
        "PYPKCS11_RECORDED_SOURCE": c_string(ROOT / "src" if record else ""),
        "PYPKCS11_RECORDED_SITES": ", ".join(c_string(site) for site in sites) or '""',
    }
    return "".join(f"#define {name} {value}\n" for name, value in values.items())


def finder_header() -> str:
    """Return finder.py as a C string."""
    text = (EMBED / "finder.py").read_text(encoding="utf-8")
    lines = "\n".join(f"    {c_string(line)}" for line in text.splitlines(keepends=True))
    return f"#define PYPKCS11_FINDER finder_source\nstatic const char finder_source[] =\n{lines};\n"


def generate_cffi(target: Path) -> None:
    """Let CFFI write the C source of the module `_pypkcs11`."""
    try:
        from cffi import FFI
    except ImportError as error:
        raise BuildError(
            f"{sys.executable} has no cffi: run {sys.executable} -m pip install cffi"
        ) from error
    ffi = FFI()
    for name in ("types.h", "entries.h", "library.h"):
        ffi.cdef((ROOT / "cdefs" / name).read_text(encoding="utf-8"))
    ffi.embedding_api("")
    # Nothing to run: boot.c imports the library's own modules, and reports what fails in one line.
    ffi.embedding_init_code("pass")
    ffi.set_source("_pypkcs11", '#include "embed.h"\n#include "generated/entries.h"\n')
    with contextlib.redirect_stdout(io.StringIO()):  # it tells what it generates
        ffi.emit_c_code(str(target))


def write_if_changed(path: Path, text: str) -> None:
    """Write `text` unless the file has it already, so that nothing is compiled in vain."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def run(command: list[str]) -> None:
    """Run a compiler; raise BuildError with its output when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BuildError(f"there is no {command[0]}: install gcc (build-essential)") from error
    if done.returncode != 0:
        raise BuildError(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")


def compile_units(python: Python, work: Path) -> list[Path]:
    """Compile what is older than its sources; return the object files."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    includes = [f"-I{work}", f"-I{EMBED}", f"-I{ROOT / 'include'}"]
    includes += [argument for path in python.include for argument in ("-isystem", str(path))]
    shared = [*EMBED.glob("*.h"), *EMBED.glob("generated/*"), *work.glob("*.h"), Path(__file__)]
    newest = max(path.stat().st_mtime for path in [*shared, ROOT / "include" / "pkcs11.h"])
    jobs = []
    objects = []
    for unit in (*UNITS, "cffi_unit.c"):
        source = EMBED / unit
        target = work / f"{source.stem}.o"
        objects.append(target)
        changed = max(newest, source.stat().st_mtime)
        if unit == "cffi_unit.c":
            changed = max(changed, (work / "_pypkcs11.c").stat().st_mtime)
        if target.is_file() and target.stat().st_mtime >= changed:
            continue
        warnings = [] if unit == "cffi_unit.c" else STRICT
        jobs.append(
            [*compiler, *COMMON, *warnings, *includes, "-c", str(source), "-o", str(target)]
        )
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(run, jobs))
    return objects


def link(python: Python, objects: list[Path], output: Path) -> None:
    """Link the library, and put it in its place in one step: it may be in use."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    directory = python.library.parent
    multiarch = f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}"
    search = []
    if str(directory) not in (*SYSTEM_DIRECTORIES, multiarch):
        # DT_RPATH rather than DT_RUNPATH: it goes before the caller's LD_LIBRARY_PATH.
        search = [f"-Wl,-rpath,{directory}", "-Wl,--disable-new-dtags"]
    temporary = output.with_name(output.name + ".new")
    script = EMBED / "generated" / "exports.map"
    run(
        [
            *compiler,
            *LINK,
            *search,
            f"-Wl,--version-script={script}",
            *(str(path) for path in objects),
            str(python.library),
            "-ldl",
            "-o",
            str(temporary),
        ]
    )
    temporary.replace(output)


def build(output: Path = DEFAULT_OUTPUT, *, work: Path | None = None, record: bool = True) -> Path:
    """Build the library.

    output: the file to write. work: a directory for intermediate files, `embed` beside the output
    when None. record: let the library fall back on this checkout and this environment. Raises
    BuildError.
    """
    python = find_python()
    output = output.absolute()
    work = work or output.parent / "embed"
    work.mkdir(parents=True, exist_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_if_changed(work / "recorded.h", recorded_header(python, record))
    write_if_changed(work / "finder.h", finder_header())
    generate_cffi(work / "_pypkcs11.c")
    link(python, compile_units(python, work), output)
    if record:
        # The library writes no .pyc files, and reading sources takes several times as long.
        compileall.compile_dir(ROOT / "src" / "pypkcs11", quiet=2)
    return output


def main() -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        description="Build libpypkcs11.so under the Python that it will embed.",
        epilog="Example: .venv/bin/python build_embedded.py --output build/libpypkcs11.so",
    )
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="the file to write")
    parser.add_argument(
        "--no-record",
        action="store_true",
        help="record neither this checkout nor this environment: for libraries to install",
    )
    options = parser.parse_args()
    try:
        path = build(options.output, record=not options.no_record)
    except BuildError as error:
        print(f"build_embedded.py: {error}", file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
