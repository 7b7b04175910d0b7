"""The document of `edgepose diff` as text for a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from edgepose.text_table import aligned

_MAX_LISTED = 12
_MAX_VALUE = 48


def diff_text(document: Mapping[str, Any]) -> str:
    """Return what `edgepose diff` prints."""
    a, b = document["a"], document["b"]
    lines = [f"a  {_describe(a)}", f"b  {_describe(b)}"]
    if document["identical"]:
        return "\n".join([*lines, "", "identical, byte for byte"])
    sections = [
        _section("constants", _rows(document["constants"]), "the same"),
        *(_layers(role, layers, document["precision"][role]) for role, layers in document["layers"].items()),
        _section("figures against the float network", _figures(document["figures"]), "the same"),
        _section("sizes", _sizes(document["sizes"]), "the same files"),
        _section("tools", _tool_rows(document["tools"]), "the same"),
        _section("licence", _rows(document["license"]), "the same"),
    ]
    return "\n".join([*lines, *(line for section in sections for line in ["", *section])])


def value_text(value: Any) -> str:
    """Return a value on one short line; a dash where there is none."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.7g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = printable(text)
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 3] + "..."


def printable(text: str) -> str:
    """Replace control characters: those of an untrusted manifest would steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def changed_members(a: Any, b: Any) -> list[tuple[str, Any, Any]]:
    """Return the members of two objects that differ, as (name, a, b)."""
    mine, theirs = a or {}, b or {}
    names = [*mine, *(name for name in theirs if name not in mine)]
    return [(n, mine.get(n), theirs.get(n)) for n in names if mine.get(n) != theirs.get(n)]


def _describe(bundle: Mapping[str, Any]) -> str:
    name = f"{bundle['name']} ({bundle['backend']}, {bundle['precision']})"
    return f"{value_text(name)}  {bundle['digest'][:12]}"


def _section(title: str, rows: Sequence[Sequence[str]], none: str) -> list[str]:
    if not rows:
        return [f"{title}: {none}"]
    return [f"{title}:", *_table([("", "a", "b"), *rows])]


def _rows(changes: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [(value_text(c["name"]), value_text(c["a"]), value_text(c["b"])) for c in changes]


def _layers(role: str, layers: Mapping[str, Any], precision: Sequence[Mapping[str, Any]]) -> list[str]:
    title = f"layers of {role}"
    count = layers["count"]
    if layers["note"]:
        lines = [f"{title}: {count['a']} and {count['b']}; {printable(layers['note'])}"]
    else:
        parts = [f"{len(layers[name])} {name}" for name in ("added", "removed", "changed")]
        weights = f"{len(layers['weights_changed'])} with other weights or constants of the same precision"
        lines = [f"{title}: {count['a']} and {count['b']}; {', '.join(parts)}, {weights}"]
        lines += _named("+", layers["added"]) + _named("-", layers["removed"])
        lines += _grouped(layers["changed"])
        if layers["weights_changed"]:
            shown = ", ".join(value_text(name) for name in layers["weights_changed"][:6])
            lines.append(
                f"  other weights or constants: {shown}"
                + (", ..." if len(layers["weights_changed"]) > 6 else "")
            )
    if precision:
        stored = [
            (f"parameters in {value_text(c['name'])}", *(f"{c[side] or 0:,}" for side in ("a", "b")))
            for c in precision
        ]
        lines += _table([("", "a", "b"), *stored])
    return lines


def group_changes(layers: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any, Any, list[str]]]:
    """Gather layers that changed alike: (what, a, b, names of the layers), the most frequent first."""
    groups: dict[tuple[str, str, str], tuple[str, Any, Any, list[str]]] = {}
    for layer in layers:
        for change in layer["changes"]:
            name, a, b = change["name"], change["a"], change["b"]
            groups.setdefault((name, str(a), str(b)), (name, a, b, []))[3].append(layer["name"])
    return sorted(groups.values(), key=lambda group: -len(group[3]))


def _grouped(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    groups = group_changes(layers)
    lines = [
        f"  {value_text(name)} {value_text(a)} -> {value_text(b)}: {len(names)} layers ({_some(names)})"
        for name, a, b, names in groups[:_MAX_LISTED]
    ]
    return lines + _more(groups)


def _some(names: Sequence[str]) -> str:
    return ", ".join(value_text(name) for name in names[:4]) + (", ..." if len(names) > 4 else "")


def _named(sign: str, layers: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [f"  {sign} {value_text(x['name'])} ({value_text(x['type'])})" for x in layers[:_MAX_LISTED]]
    return lines + _more(layers)


def _more(listed: Sequence[Any]) -> list[str]:
    hidden = len(listed) - _MAX_LISTED
    return [f"  ... and {hidden} more (--json lists all)"] if hidden > 0 else []


def _figures(figures: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (f"{value_text(row['model'])} {c['name']}", value_text(c["a"]), value_text(c["b"]))
        for row in figures
        for c in row["changes"]
    ]


def _sizes(sizes: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = [(value_text(f["name"]), _bytes(f["a"]), _bytes(f["b"])) for f in sizes["files"]]
    total = sizes["total"]
    return [*rows, ("total", _bytes(total["a"]), _bytes(total["b"]))] if rows else []


def _bytes(count: int | None) -> str:
    return "-" if count is None else f"{count:,} bytes"


def _tool_rows(changes: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    rows = []
    for change in changes:
        if change["a"] is None or change["b"] is None:
            cells = ["-" if change[side] is None else value_text(change[side]["version"]) for side in "ab"]
            rows.append((printable(change["name"]), *cells))
            continue
        for name, mine, theirs in changed_members(change["a"], change["b"]):
            rows.append(
                (f"{printable(change['name'])} {value_text(name)}", value_text(mine), value_text(theirs))
            )
    return rows


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"  {line}" for line in aligned(rows, texts=3)]
