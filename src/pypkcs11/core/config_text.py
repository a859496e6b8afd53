"""What error messages of the configuration show of a file: places, words and values."""

from __future__ import annotations

from collections.abc import Iterable


def line_of(text: str, key: str) -> int | None:
    """Where ``key`` stands. tomllib does not tell, so this looks at the lines as a person would."""
    import re

    table, _, name = key.partition(".")

    def quoted(word: str) -> str:
        return rf"""["']?{re.escape(word)}["']?"""

    header = re.compile(r"\s*\[{1,2}\s*([^\]]*?)\s*\]")
    dotted = re.compile(rf"\s*{quoted(table)}\s*(\.\s*{quoted(name)}\s*)?=")
    entry = re.compile(rf"\s*{quoted(name)}\s*[.=]")
    here = ""
    start = None
    for number, line in enumerate(text.splitlines(), 1):
        if found := header.match(line):
            here = found[1].strip("\"'")
            if here == table and start is None:
                start = number
        elif (here == "" and dotted.match(line)) or (name and here == table and entry.match(line)):
            return number
    return start


def nearest(word: str, known: Iterable[str]) -> str:
    import difflib

    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are: {', '.join(names)}" if len(names) < 40 else ""


def show(text: str) -> str:
    """A path or a key on one line, whatever is in it."""
    return text if text.isprintable() else repr(text)[1:-1]


def quote(value: object) -> str:
    """A value as it may stand in the file, on one line and not too long."""
    if isinstance(value, bool):
        return str(value).lower()
    shown = f'"{show(value)}"' if isinstance(value, str) else repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
