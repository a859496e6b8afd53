"""cdefs/*.h: what CFFI reads. It knows no preprocessor, so macros are written out."""

from __future__ import annotations

from generator.clang import NOTICE, comment, member, ordered, parameters
from generator.tables import Tables


def types(tables: Tables) -> str:
    """Return the types and structures; constants stay in Python, where they cost nothing."""
    lines = [comment(NOTICE), ""]
    lines += [f"typedef {t.definition} {t.name};" for t in tables.types if t.kind == "scalar"]
    lines += ["", *(f"typedef struct {s.name} {s.name};" for s in tables.structs)]
    lines += [f"typedef struct {fl.name} {fl.name};" for fl in tables.lists]
    lines.append("")
    for typedef in tables.types:
        if typedef.kind == "pointer":
            target = typedef.definition.removeprefix("struct ")
            lines.append(f"typedef {target}{typedef.name};")
    for typedef in tables.types:
        if typedef.kind == "callback":
            lines.append(f"typedef {typedef.definition.replace('(*)', f'(*{typedef.name})', 1)};")
    for struct in ordered(tables):
        lines += ["", f"struct {struct.name} {{", *(f"    {member(f)}" for f in struct.fields)]
        lines.append("};")
    return "\n".join(lines) + "\n"


def entries(tables: Tables) -> str:
    """Return the Python entry points: every function but those that C answers alone."""
    lines = [comment(NOTICE), ""]
    lines += [f'extern "Python+C" CK_RV py_{f.name}({parameters(f)});' for f in tables.entries]
    return "\n".join(lines) + "\n"
