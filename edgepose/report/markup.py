"""HTML and SVG from Python: everything that is not markup already is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

# HTML allows no other control characters, and UTF-8 no half of a surrogate pair.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_VOID = frozenset({"meta", "br", "img", "hr"})


# What stands where a table has no figure.
DASH = "\u2013"


class Markup(str):
    """Text that is markup and is not escaped again."""

    __slots__ = ()


Child = str | int | float | Markup | None | Iterable["Child"]


def text(value: object) -> Markup:
    """Escape a text, for content and for quoted attributes alike."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(_FORBIDDEN.sub("\ufffd", str(value)), quote=True))


def join(*children: Child) -> Markup:
    """Put children in a row: markup as it is, texts escaped, lists flattened, None left out."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, str | int | float):
            parts.append(text(child))
        else:
            parts.append(join(*child))
    return Markup("".join(parts))


def el(tag: str, *children: Child, **attributes: object) -> Markup:
    """Make an element. In attribute names `_` stands for `-` and a last `_` is dropped (class_, for_).

    An attribute that is None or False is left out; one that is True has no value.
    """
    parts = [tag]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        key = name.rstrip("_").replace("_", "-")
        parts.append(key if value is True else f'{key}="{text(_short(value))}"')
    opening = f"<{' '.join(parts)}>"
    return Markup(opening if tag in _VOID else f"{opening}{join(*children)}</{tag}>")


def _short(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def table(
    head: Iterable[Child],
    rows: Iterable[Iterable[Child]],
    *,
    caption: Child = None,
    text_columns: int = 1,
    class_: str | None = None,
) -> Markup:
    """Make a table that scrolls by itself where it is too wide: first columns of text, then of figures."""

    def cells(row: Iterable[Child], tag: str) -> list[Markup]:
        made = []
        for number, cell in enumerate(row):
            scope = "col" if tag == "th" else None
            made.append(el(tag, cell, class_=None if number < text_columns else "n", scope=scope))
        return made

    body = [el("tr", cells(row, "td")) for row in rows]
    parts = [
        el("caption", caption) if caption is not None else None,
        el("thead", el("tr", cells(head, "th"))),
    ]
    return el("div", el("table", *parts, el("tbody", body), class_=class_), class_="scroll", tabindex="0")


def details(summary: Child, *children: Child, open_: bool = False) -> Markup:
    """Make a part that is folded until it is asked for."""
    return el("details", el("summary", summary), *children, open=open_)


def number(value: object, digits: int = 3) -> str:
    """Spell a figure for a table: a dash where there is none, exponents for tiny ones."""
    if value is None:
        return DASH
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value and abs(value) < 10.0**-digits:
        return f"{value:.1e}"
    return f"{value:,.{digits}f}"


def share_text(part: int, whole: int) -> str:
    """Spell a share in percent."""
    percent = 100 * part / max(1, whole)
    return "under 0.1 %" if 0 < percent < 0.1 else f"{percent:.1f} %".replace(".0 %", " %")


def size(count_bytes: int) -> str:
    """Spell a number of bytes."""
    return f"{count_bytes / 1e6:.2f} MB" if count_bytes >= 1e5 else f"{count_bytes / 1e3:.1f} kB"
