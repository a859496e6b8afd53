"""Every command in the documentation is run, page by page, and shows what the page says.

In a ``console`` block ``$`` starts a command and ``>`` continues it; other lines are its output, of
which ``...`` stands for anything. A block after a ``<!-- not run: why -->`` comment is left out.
The pages are written for an installed library and a fixed port; the tests put in their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from clients.harness import free_port, run

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(<!-- not run: [^>]+ -->\n)?^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INSTALLED = "/usr/local/lib/pkcs11/libpypkcs11.so"
HEADERS = "/usr/local/include/pypkcs11"
PORT = "4433"


@dataclass
class Command:
    """One command of a page, with the output that the page shows."""

    text: str
    shown: list[str] = field(default_factory=list)


def commands(page: str) -> list[Command]:
    """The commands of a page that are to be run, in order."""
    found: list[Command] = []
    for skipped, block in BLOCK.findall(page):
        for line in [] if skipped else block.splitlines():
            if line.startswith("$ "):
                found.append(Command(line[2:]))
            elif line.startswith(">"):
                found[-1].text += "\n" + line[2:]
            else:
                found[-1].shown.append(line)
    return found


def script(page: list[Command]) -> str:
    """A shell script that runs the commands and writes a line before each one's output."""
    parts = ["exec 2>&1", "trap 'kill $(jobs -p) $SSH_AGENT_PID 2>/dev/null || true' EXIT"]
    for number, command in enumerate(page):
        parts += [f"echo '@@ {number}'", command.text]
    return "\n".join(parts) + "\n"


def matches(shown: list[str], output: list[str]) -> bool:
    """Whether the output is what a page shows, where ``...`` is any text or any lines."""
    pattern = "\n".join(
        "(?s:.*)" if line == "..." else ".*".join(map(re.escape, line.rstrip().split("...")))
        for line in shown
    )
    return re.fullmatch(pattern, "\n".join(line.rstrip() for line in output)) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_do_what_the_page_says(
    page: Path, library: Path, tmp_path: Path, env: dict[str, str]
) -> None:
    wanted = commands(page.read_text(encoding="utf-8"))
    if not wanted:
        return
    own = script(wanted)
    for fixed, ours in (
        (INSTALLED, library),
        (HEADERS, ROOT / "include"),
        (PORT, free_port()),
    ):
        own = own.replace(fixed, str(ours))
    result = run("bash", "-e", "-c", own, env=env, cwd=tmp_path, timeout=120)
    parts = re.split(r"^@@ \d+\n", result.stdout.decode(), flags=re.MULTILINE)[1:]
    assert len(parts) == len(wanted)
    for command, output in zip(wanted, parts, strict=True):
        assert matches(command.shown, output.splitlines()), (
            f"{page.name}: $ {command.text}\nwrote\n{output}"
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
