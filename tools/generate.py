"""Write everything that follows from tables/: run it after changing a table, and commit the result.

python tools/generate.py            write the files that changed
python tools/generate.py --check    write nothing; fail and name the files that differ
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from generator import cdefs, embed, functions_page, header, mechanisms_page, python
from generator.tables import Tables

ROOT = Path(__file__).resolve().parent.parent


def outputs(tables: Tables) -> dict[str, str]:
    """Return every generated file's text by its path below the project's root."""
    return {
        "include/pkcs11.h": header.render(tables),
        "cdefs/types.h": cdefs.types(tables),
        "cdefs/entries.h": cdefs.entries(tables),
        "src/embed/generated/exports.inc": embed.exports(tables),
        "src/embed/generated/lists.inc": embed.lists(tables),
        "src/embed/generated/entries.h": embed.entry_prototypes(tables),
        "src/embed/generated/entries.inc": embed.entry_table(tables),
        "src/embed/generated/exports.map": embed.version_script(tables),
        "src/pypkcs11/standard/constants.py": python.constants(tables),
        "docs/functions.md": functions_page.render(tables),
        "docs/mechanisms.md": mechanisms_page.render(tables),
    }


def stale(root: Path) -> list[str]:
    """Return the paths below `root` whose text is not what the tables say."""
    return [
        path
        for path, text in outputs(Tables.read(root / "tables")).items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(description="Generate the files that follow from tables/.")
    parser.add_argument("--check", action="store_true", help="only say which files differ")
    options = parser.parse_args(arguments)
    differing = stale(ROOT)
    if options.check:
        for path in differing:
            print(f"{path} is not what tables/ says; run tools/generate.py", file=sys.stderr)
        return 1 if differing else 0
    texts = outputs(Tables.read(ROOT / "tables"))
    for path in differing:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(texts[path], encoding="utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
