"""Readers of the known-answer files that the package cryptography-vectors carries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.resources import files

Case = dict[str, str]


def lines(path: str) -> Iterator[str]:
    """The stripped lines of a file, named by its path in the package."""
    text = files("cryptography_vectors").joinpath(path).read_text(encoding="utf-8")
    return (line.strip() for line in text.splitlines())


def cases(path: str, start: str) -> Iterator[Case]:
    """The cases of a NIST response file of the package.

    :param start: as for :func:`parsed`.
    """
    return parsed(lines(path), start)


def parsed(text: Iterable[str], start: str) -> Iterator[Case]:
    """The cases of a NIST response file: ``name = value`` lines, names in lower case.

    :param text: its stripped lines.
    :param start: the name with which each case begins (in lower case). What stands before the
        first case of a section (``[P-256,SHA-1]``, ``[mod = 1024]``, ``n = ...``) belongs to all
        of the section's cases; a section without a value is under ``section``.
    """
    common: Case = {}
    case: Case | None = None
    for line in text:
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            if case is not None:
                yield {**common, **case}
                common, case = {}, None
            name, _, value = line.strip("[]").partition("=")
            common[name.strip().lower() if value else "section"] = (value or name).strip()
            continue
        name, _, value = line.partition("=")
        name = name.strip().lower()
        if name == "n" and case is not None:  # a new key within a section
            yield {**common, **case}
            case = None
        if name == start:
            if case is not None:
                yield {**common, **case}
            case = {}
        (common if case is None else case)[name] = value.strip()
    if case is not None:
        yield {**common, **case}


def labelled(path: str) -> Iterator[Case]:
    """The cases of an RSA Laboratories file: ``# Label:`` lines, each before lines of hex digits.

    A case ends with its encryption; the key's numbers stay until the next key's.
    """
    values: Case = {}
    label = ""
    for line in lines(path):
        if line.startswith("#"):
            if label.startswith(("encryption", "ciphertext")) and values.get(label):
                yield dict(values)
                values[label] = ""
            text = line.strip("# ").lower()
            label = text[:-1] if text.endswith(":") else ""
            if label:
                values[label] = ""
        elif label and line:
            values[label] += line.replace(" ", "")
    if label.startswith(("encryption", "ciphertext")):
        yield values


def ccm(path: str) -> Iterator[Case]:
    """The cases of a NIST file for CCM: lengths, keys and nonces hold until there are others.

    A section has one of the lengths (``[Tlen = 4]``) or all (``[Alen = 0, Plen = 0, ...]``).
    """
    values: Case = {}
    for line in lines(path):
        if not line and "ct" in values and ("payload" in values or "result" in values):
            yield dict(values)
            for name in ("ct", "payload", "result"):
                values.pop(name, None)
        if line and not line.startswith("#"):
            for pair in line.strip("[]").split(","):
                name, _, value = pair.partition("=")
                values[name.strip().lower()] = value.strip()
