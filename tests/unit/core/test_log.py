"""The log: what is written where, and that nothing goes wrong with it."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pypkcs11.core import log
from pypkcs11.standard import signals

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\d+) (error|warning|info|debug): (.*)")


@pytest.fixture(autouse=True)
def default_log() -> Iterator[None]:
    """The log as it is at first: other tests of this process may have configured it."""
    log.configure(log.WARNING, None)
    yield
    log.configure(log.WARNING, None)


def lines(text: str) -> list[tuple[str, str]]:
    """Level and message of each line; every line must be whole."""
    assert text == "" or text.endswith("\n")
    found = [LINE.fullmatch(line) for line in text.splitlines()]
    assert all(found), text
    assert all(match[1] == str(os.getpid()) for match in found if match)
    return [(match[2], match[3]) for match in found if match]


def test_warnings_go_to_standard_error_by_default(capfd: pytest.CaptureFixture[str]) -> None:
    log.error("one")
    log.warning("two")
    log.info("three")
    log.debug("four")
    assert lines(capfd.readouterr().err) == [("error", "one"), ("warning", "two")]


@pytest.mark.parametrize(
    ("level", "count"), [("error", 1), ("warning", 2), ("info", 3), ("debug", 4)]
)
def test_levels(tmp_path: Path, level: str, count: int) -> None:
    log.configure(log.LEVELS[level], str(tmp_path / "log"))
    for name in ("error", "warning", "info", "debug"):
        getattr(log, name)("said at %s", name)
        assert log.enabled(log.LEVELS[name]) == (log.LEVELS[name] <= log.LEVELS[level])
    expected = [(name, f"said at {name}") for name in log.LEVELS][:count]
    assert lines((tmp_path / "log").read_text()) == expected


def test_a_level_that_is_off_formats_nothing() -> None:
    class Costly:
        def __str__(self) -> str:
            raise AssertionError

    log.debug("%s", Costly())


def test_the_file_is_private_appended_to_and_not_inherited(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    path.chmod(0o640)
    log.configure(log.INFO, str(path))
    log.info("after")
    assert path.read_text().startswith("before\n")
    assert path.stat().st_mode & 0o777 == 0o640  # an operator's choice stays
    assert fcntl.fcntl(log._fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC

    old = os.umask(0)
    try:
        log.configure(log.INFO, str(tmp_path / "new"))
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


def test_a_message_cannot_forge_a_line(tmp_path: Path) -> None:
    log.configure(log.INFO, str(tmp_path / "log"))
    log.info("label %s", "a\nb\r\t\x1b[31m\x85\u2028\u202e\ud800 é \\n")
    text = (tmp_path / "log").read_text(encoding="utf-8")
    message = r"label a\nb\r\t\x1b[31m\x85\u2028\u202e\ud800 é \n"
    assert lines(text) == [("info", message)]


def test_a_wrong_message_is_still_a_line(tmp_path: Path) -> None:
    class Broken:
        def __str__(self) -> str:
            raise ValueError("no")

    log.configure(log.INFO, str(tmp_path / "log"))
    log.info("%d objects", "x")
    log.info("%s", Broken())
    log.info("100%")
    texts = [message for _, message in lines((tmp_path / "log").read_text())]
    assert [text.split(" (")[0] for text in texts] == ["%d objects", "%s", "100%"]


def test_each_line_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.configure(log.INFO, str(tmp_path / "log"))
    written: list[bytes] = []
    monkeypatch.setattr(os, "write", lambda fd, data: written.append(data) or len(data))
    log.info("x" * 100_000)
    assert len(written) == 1


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    log.configure(log.INFO, str(tmp_path / "log"))

    def work(mark: str) -> None:
        for _ in range(200):
            log.info(mark * 500)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = [message for _, message in lines((tmp_path / "log").read_text())]
    assert len(texts) == 600
    assert all(len(set(text)) == 1 and len(text) == 500 for text in texts)


def test_a_full_disk_is_ignored() -> None:
    log.configure(log.INFO, "/dev/full")
    log.error("lost")


def test_a_file_that_cannot_be_opened(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log.configure(log.INFO, str(tmp_path / "missing" / "log"))
    log.info("next")
    (first, second) = lines(capfd.readouterr().err)
    assert first[0] == "error"
    assert "missing/log cannot be opened (No such file or directory)" in first[1]
    assert second == ("info", "next")


def test_a_fifo_that_nobody_reads_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    log.configure(log.INFO, str(tmp_path / "fifo"))
    log.info("said")


def run(code: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    prologue = "import os, sys; from pypkcs11.core import log;"
    command = [sys.executable, "-c", prologue + code]
    return subprocess.run(command, env=environment, timeout=60, check=False, **options)  # type: ignore[call-overload,no-any-return]


def test_a_closed_standard_error_is_ignored() -> None:
    done = run("os.close(2); log.error('lost'); os.write(1, b'alive')", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"alive")


def test_a_closed_standard_error_is_not_replaced_by_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    code = f"os.close(2); log.configure(log.INFO, {str(path)!r}); log.info('said');"
    done = run(code + "print(log._fd > 2)", stdout=subprocess.PIPE)
    assert done.stdout == b"True\n"
    assert "said" in path.read_text()


def test_a_write_keeps_signals_from_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever becomes of it; what C gives for that is tested in tests/abi/test_hosts.py."""
    steps: list[str] = []
    monkeypatch.setattr(signals, "_hold", lambda: steps.append("hold"))
    monkeypatch.setattr(signals, "_release", lambda: steps.append("release"))
    monkeypatch.setattr(log, "_fd", -1)
    log.error("lost")
    assert steps == ["hold", "release"]
