"""Tables of the documents that repeat what the code says, and their links."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edgepose import errors
from edgepose.verify import gate_limits

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "demo" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def rows(document: str, head: str) -> list[list[str]]:
    """The cells of the table whose first line starts with head."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    lines = text[text.index(head) :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_gates_limits() -> None:
    file = Path(gate_limits.__file__).with_name("gate_limits.json")
    limits = json.loads(file.read_text(encoding="utf-8"))
    assert limits["mixed"] == limits["int8"] and set(limits) == {"fp32", "fp16", "int8", "mixed"}
    written = {
        row[0].strip("`"): [float(cell) for cell in row[3:]] for row in rows("accuracy.md", "| limit |")
    }
    assert tuple(written) == gate_limits.NAMES
    assert written == {
        name: [limits[precision][name] for precision in ("fp32", "fp16", "int8")]
        for name in gate_limits.NAMES
    }  # fmt: skip


def test_the_codes_of_the_core() -> None:
    written = {
        int(number): (name, int(row[0]))
        for row in rows("errors.md", "| exit code | Python error")
        for name, number in re.findall(r"`(\w+)` (\d)", row[2])
    }
    kinds = {number: kind for number, (_, kind) in errors.CORE_CODES.items()}
    assert {number: name for number, (name, _) in written.items()} == {
        number: name for number, (name, _) in errors.CORE_CODES.items()
    }
    for number, (_, exit_code) in written.items():
        kind = kinds[number]
        assert exit_code == (0 if number == 0 else kind.exit_code if kind else 1)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target
