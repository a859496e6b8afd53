"""`make demo` is the first thing that anybody runs."""

from __future__ import annotations

from pathlib import Path

from clients.harness import attempt, run


def test_the_demo_signs_and_verifies(
    root: Path, library: Path, tmp_path: Path, env: dict[str, str]
) -> None:
    shown = run(root / "examples" / "demo", library, env=env, cwd=tmp_path, timeout=120).text
    assert shown.count("Verified OK") == 2
    assert shown.count("Verification failure") == 1
    assert "$ export PYPKCS11_TOKEN_DIR=" in shown
    assert "demo: all signatures verified." in shown


def test_the_commands_can_be_repeated_by_hand(
    root: Path, library: Path, tmp_path: Path, env: dict[str, str]
) -> None:
    """What is shown after the dollar signs is a script that does the same."""
    demo = root / "examples" / "demo"
    shown = run(demo, library, env=env, cwd=tmp_path, timeout=120).stdout.decode()
    lines = [line[2:] for line in shown.splitlines() if line.startswith("$ ")]
    directory = tmp_path / "again"
    directory.mkdir()
    again = [f"cd {directory}" if line.startswith("cd ") else line for line in lines]
    result = run("bash", "-ec", "\n".join(again), env=env, cwd=tmp_path, timeout=120)
    assert result.text.count("Verified OK") == 2


def test_the_demo_fails_loudly(root: Path, tmp_path: Path, env: dict[str, str]) -> None:
    not_a_module = tmp_path / "libpypkcs11.so"
    not_a_module.write_bytes(b"")
    result = attempt(root / "examples" / "demo", not_a_module, env=env, cwd=tmp_path)
    assert result.code != 0
    assert "demo: FAILED" in result.text
