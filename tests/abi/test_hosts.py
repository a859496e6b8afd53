"""At home in any host: forks, threads, loading, ending, and surroundings of every kind.

The counts are those of every run of the tests. `make soak` multiplies them.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest
from abi.compiling import SOURCES, compile_c

#: How much longer than usual the tests shake the library.
SOAK = int(os.environ.get("SOAK", "1"))

Result = subprocess.CompletedProcess[str]
Run = Callable[..., Result]

PROGRAMS = ["ending", "forks", "limits", "secure", "setenv", "storm", "threads", "unload", "work"]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the compiled programs."""
    directory = tmp_path_factory.mktemp("programs")
    for name in PROGRAMS:
        compile_c(SOURCES / f"{name}.c", directory / name, "-std=gnu11", "-O1")
    for name in ("SECURE", "BACKWARDS"):
        options = ("-std=gnu11", "-D_GNU_SOURCE", "-shared", "-fPIC", f"-D{name}")
        compile_c(SOURCES / "preload.c", directory / f"{name.lower()}.so", *options)
    return directory


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """The variables that name a configuration with cheap PINs, and a directory for tokens."""
    configuration = tmp_path / "config.toml"
    configuration.write_text("[store]\nkdf_memory = 64\nkdf_iterations = 1\nkdf_lanes = 1\n")
    return {
        "PYPKCS11_CONF": str(configuration),
        "PYPKCS11_TOKEN_DIR": str(tmp_path / "tokens"),
    }


@pytest.fixture
def run(settings: dict[str, str]) -> Run:
    """Runs a command with those variables added to, or in place of, the environment."""

    def run(*command: object, base: Mapping[str, str] = os.environ, **more: str) -> Result:
        return subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            timeout=120 * SOAK,
            check=False,
            env={**base, **settings, **more},
        )

    return run


def shell(text: str, *arguments: object) -> tuple[object, ...]:
    """A command that prepares its surroundings in the shell's language; `"$@"` is the rest."""
    return ("bash", "-c", text, "bash", *arguments)


def whole_tokens(directory: Path, count: int = 1) -> None:
    """So many tokens are there, and none is damaged."""
    files = list(directory.glob("*.token"))
    assert len(files) == count
    for file in files:
        connection = sqlite3.connect(file)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


# -- forks ---------------------------------------------------------------------------------------


def test_forks(library: Path, programs: Path, run: Run, tmp_path: Path) -> None:
    """A thousand children of a busy parent: some start, some work, fork, exec or only end."""
    done = run(programs / "forks", library, 1000 * SOAK)
    assert (done.returncode, done.stderr) == (0, "")
    whole_tokens(tmp_path / "tokens")


# -- threads -------------------------------------------------------------------------------------


def test_threads(library: Path, programs: Path, run: Run, tmp_path: Path) -> None:
    """Sessions shared and not, threads cancelled, C_Finalize amid calls, 10,000 brief threads."""
    done = run(programs / "threads", library, 0.5 * SOAK, 10_000 * SOAK)
    assert (done.returncode, done.stderr) == (0, "")
    whole_tokens(tmp_path / "tokens")


# -- loading and unloading -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "mode", range(6), ids=["now", "lazy", "g-now", "g-lazy", "d-now", "d-lazy"]
)
def test_loading(library: Path, programs: Path, run: Run, tmp_path: Path, mode: int) -> None:
    """Opened and closed 50 times, initialised and finalised a thousand, a copy beside it."""
    copy = shutil.copy(library, tmp_path / "copy.so")
    lives = (1000 if mode == 0 else 100) * SOAK
    done = run(programs / "unload", library, copy, mode, 50, lives)
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("pypkcs11: this process has loaded another copy of the library; ")
    assert str(library) in line


# -- ending --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "status"),
    [("return", 42), ("exit", 42), ("_exit", 8), ("signal", -15), ("handler", 9)],
)
def test_ending_amid_calls(
    library: Path, programs: Path, run: Run, tmp_path: Path, how: str, status: int
) -> None:
    for _ in range(2 * SOAK):
        done = run(programs / "ending", library, how)
        assert (done.returncode, done.stderr) == (status, "")
        whole_tokens(tmp_path / "tokens")
        shutil.rmtree(tmp_path / "tokens")


# -- surroundings --------------------------------------------------------------------------------

WHOLE = ("whole\nwhole\n", "end\n")


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "LANG": "xx_YY.nonsense"},
        {"LC_ALL": "POSIX", "TZ": "No/Where", "TMPDIR": "/nonexistent"},
        {"LC_ALL": "xx_YY.nonsense", "HOME": "/nonexistent", "XDG_CONFIG_HOME": "relative"},
        {"PYTHONHOME": "/nonexistent", "PYTHONPATH": "/dev/null:\x01", "PYTHONMALLOC": "nonsense"},
        {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error", "PYTHONVERBOSE": "9"},
        {"MALLOC_PERTURB_": "165", "MALLOC_ARENA_MAX": "1"},
        {
            "MALLOC_CHECK_": "3",
            "MALLOC_PERTURB_": "90",
            "LD_PRELOAD": "libc_malloc_debug.so.0",
        },
    ],
    ids=lambda environment: "-".join(environment),
)
def test_environments(library: Path, programs: Path, run: Run, environment: dict[str, str]) -> None:
    """Nothing but these variables: no HOME, no PATH, no locale but what is said."""
    done = run(programs / "work", library, base={}, **environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, *WHOLE)


@pytest.mark.parametrize(
    "surroundings",
    [
        'umask 0; exec "$@"',
        'umask 0777; exec "$@"',
        'mkdir gone; cd gone; rmdir ../gone; exec "$@"',
        'trap "" CHLD PIPE INT XFSZ; exec "$@"',
        'ulimit -n 16; exec "$@"',
        'ulimit -s 256; exec "$@"',
        'ulimit -c 0 -v 400000; exec "$@"',
    ],
)
def test_surroundings(
    library: Path, programs: Path, run: Run, tmp_path: Path, surroundings: str
) -> None:
    done = run(*shell(f"cd {tmp_path}; {surroundings}", programs / "work", library))
    assert (done.returncode, done.stdout, done.stderr) == (0, *WHOLE)
    assert (tmp_path / "tokens").stat().st_mode & 0o7777 == 0o700
    for file in (tmp_path / "tokens").iterdir():
        assert file.stat().st_mode & 0o7777 == 0o600, file


@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(
    library: Path, programs: Path, run: Run, tmp_path: Path, streams: str
) -> None:
    """What the host prints must not reach a file of the token's."""
    done = run(*shell(f'exec "$@" {streams}', programs / "work", library))
    assert done.returncode == 0
    whole_tokens(tmp_path / "tokens")
    for file in (tmp_path / "tokens").iterdir():
        assert b"whole\n" not in file.read_bytes() and b"end\n" not in file.read_bytes()


def test_a_standard_error_that_nobody_reads(
    library: Path, programs: Path, settings: dict[str, str], tmp_path: Path
) -> None:
    """SIGPIPE does not end the host: neither the start's message nor the log's brings it."""
    (tmp_path / "config.toml").write_text("nonsense")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [programs / "secure", library],
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=writer,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stdout) == (0, b"secure 0\nC_Initialize 0x5\n")


def test_a_clock_that_goes_back(library: Path, programs: Path, run: Run, tmp_path: Path) -> None:
    done = run(programs / "work", library, LD_PRELOAD=str(programs / "backwards.so"))
    assert (done.returncode, done.stdout, done.stderr) == (0, *WHOLE)
    whole_tokens(tmp_path / "tokens")


def test_signals_at_any_moment(library: Path, programs: Path, run: Run) -> None:
    """Calls are interrupted all the time; whose handlers were there are there still."""
    done = run(programs / "storm", library)
    assert (done.returncode, done.stdout, done.stderr) == (0, "whole\n", "")


def test_limits(library: Path, programs: Path, run: Run, tmp_path: Path) -> None:
    """Files of a limited size and no descriptors left cost errors, not the process."""
    done = run(programs / "limits", library)
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr
    whole_tokens(tmp_path / "tokens")


def test_memory_is_used_as_it_should_be(
    library: Path, programs: Path, run: Run, tmp_path: Path
) -> None:
    """Valgrind finds no fault in what the library's own C does."""
    report = tmp_path / "report.xml"
    options = ("-q", "--leak-check=no", "--xml=yes", f"--xml-file={report}")
    done = run("valgrind", *options, programs / "work", library)
    assert (done.returncode, done.stdout, done.stderr) == (0, *WHOLE)
    for error in ElementTree.parse(report).iter("error"):
        objects = [frame.findtext("obj") or "" for frame in error.iter("frame")]
        assert not any(Path(name).name == library.name for name in objects[:3]), error


@pytest.mark.parametrize("kilobytes", [25_000, 40_000, 50_000, 60_000])
def test_too_little_memory(library: Path, programs: Path, run: Run, kilobytes: int) -> None:
    done = run(*shell(f'ulimit -v {kilobytes}; exec "$@"', programs / "secure", library))
    assert (done.returncode, done.stdout) == (0, "secure 0\nC_Initialize 0x5\n")
    assert done.stderr.startswith("pypkcs11: there is not enough memory to start Python; ")


def test_the_environment_is_read_anew(
    library: Path, programs: Path, run: Run, tmp_path: Path
) -> None:
    done = run(programs / "setenv", library, tmp_path / "later")
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr
    whole_tokens(tmp_path / "later")
    assert "PYPKCS11_CONF names it" in done.stderr


@pytest.mark.parametrize("variable", ["PYPKCS11_CONF", "XDG_CONFIG_HOME", "HOME"])
def test_a_caller_with_fewer_rights_configures_nothing(
    library: Path, programs: Path, tmp_path: Path, variable: str
) -> None:
    """Any of these variables brings a wrong configuration, unless it is ignored."""
    for directory in ("pypkcs11", ".config/pypkcs11"):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "config.toml").write_text("nonsense")
    value = tmp_path / "pypkcs11" / "config.toml" if variable == "PYPKCS11_CONF" else tmp_path
    environment = {variable: str(value), "PYPKCS11_TOKEN_DIR": str(tmp_path)}
    program = Path(shutil.copy(programs / "secure", tmp_path / "secure"))

    def start(**more: str) -> str:
        command = [str(program), str(library)]
        return subprocess.check_output(command, env={**environment, **more}, text=True, timeout=60)

    assert start() == "secure 0\nC_Initialize 0x5\n"
    _set_group_id(program)
    secure = start()
    if not secure.startswith("secure 1\n"):  # where files cannot give rights
        secure = start(LD_PRELOAD=str(programs / "secure.so"))
    assert secure == "secure 1\nC_Initialize 0x0\n"


def _set_group_id(program: Path) -> None:
    """Give a program another group's rights, if there is a group that we may give."""
    groups = [65534] if os.geteuid() == 0 else os.getgroups()
    for group in groups:
        if group != os.getgid():
            os.chown(program, -1, group)
            program.chmod(0o2755)
            return
