"""Draw what objects.py measured: cost against the number of objects, one panel for each figure.

python benchmarks/draw.py build/objects.csv build/objects.svg
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

from matplotlib import pyplot

#: A panel for each: the column, its title, and whether more is better.
PANELS = {
    "create_per_s": ("C_CreateObject in a row, per second", True),
    "destroy_per_s": ("C_DestroyObject in a row, per second", True),
    "search_us": ("search by CKA_ID, µs", False),
    "refresh_us": ("seeing another process's new key, µs", False),
    "login_and_first_search_ms": ("C_Login and the first search, ms", False),
    "initialize_ms": ("C_Initialize, ms", False),
}


def read(path: Path) -> dict[str, list[dict[str, str]]]:
    """The rows of the table by module."""
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            rows[row["module"]].append(row)
    return rows


def main() -> None:
    """Read the table, draw it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    rows = read(arguments.table)
    pyplot.switch_backend("svg")
    # Text stays text, and the same table gives the same picture.
    pyplot.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "objects"})
    figure, panels = pyplot.subplots(3, 2, figsize=(9, 10), layout="constrained")
    for panel, (column, (title, more)) in zip(panels.flat, PANELS.items(), strict=True):
        for module, measured in rows.items():
            counts = [int(row["objects"]) for row in measured]
            panel.plot(counts, [float(row[column]) for row in measured], "o-", label=module)
        better = "more is better" if more else "less is better"
        panel.set(xscale="log", yscale="log", title=title, xlabel=f"objects ({better})")
        panel.grid(True, which="major", alpha=0.3)
    panels.flat[0].legend()
    figure.savefig(arguments.picture, metadata={"Date": None})


if __name__ == "__main__":
    main()
