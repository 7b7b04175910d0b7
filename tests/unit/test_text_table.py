"""Tables for a terminal."""

from __future__ import annotations

from edgepose.text_table import aligned


def test_texts_to_the_left_figures_to_the_right_and_no_blanks_at_the_end() -> None:
    rows = [("name", "p50", ""), ("a", "1.25", "x"), ("longest", "10", "")]
    assert aligned(rows, texts=1) == ["name      p50", "a        1.25  x", "longest    10"]
    assert aligned(rows, texts=3) == ["name     p50", "a        1.25  x", "longest  10"]
    assert aligned([], texts=1) == []
