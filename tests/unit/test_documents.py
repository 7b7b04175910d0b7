"""Tables of the documents that repeat what the code says, and their links."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from edgepose import errors
from edgepose.artifact import Precision
from edgepose.coco_json import open_results
from edgepose.converters.limits import LIMITS, Limits
from edgepose.skeletons import KEYPOINT_SETS
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
    assert limits["mixed"] == limits["int8"] and set(limits) == {"fp32", "fp16", "bf16", "int8", "mixed"}
    written = {
        row[0].strip("`"): [float(cell) for cell in row[3:]] for row in rows("accuracy.md", "| limit |")
    }
    assert tuple(written) == gate_limits.NAMES
    assert written == {
        name: [limits[precision][name] for precision in ("fp32", "fp16", "bf16", "int8")]
        for name in gate_limits.NAMES
    }  # fmt: skip


def test_the_limits_of_a_conversion() -> None:
    written = {
        row[0].strip("`"): [float(cell) for cell in row[2:]]
        for row in rows("accuracy.md", "| limit of a conversion |")
    }
    precisions: tuple[Precision, ...] = ("fp32", "fp16", "bf16", "mixed", "int8")
    assert set(LIMITS) == set(precisions)
    assert written == {
        field.name: [getattr(LIMITS[precision], field.name) for precision in precisions]
        for field in dataclasses.fields(Limits)
    }


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


def test_the_options_of_edgepose_run() -> None:
    source = (ROOT / "runtime_cpp" / "tools" / "edgepose_run.cpp").read_text(encoding="utf-8")
    usage = re.findall(r'^ +"  (--\w.*?)  +\S', source, re.MULTILINE)
    assert usage == [row[0].strip("`") for row in rows("run.md", "| option |")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_snippets_can_be_read(document: Path) -> None:
    for snippet in re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
        ast.parse(snippet)


def test_the_members_of_results_json(tmp_path: Path) -> None:
    points = KEYPOINT_SETS["coco17"]
    with open_results(tmp_path / "results.json", info={}, points=points) as results:
        image = results.add_image("a.mp4#0", width_px=8, height_px=6, time_ns=0)
        persons = np.ones((17, 3), np.float32), np.array([0, 0, 1, 1, 1], np.float32)
        results.add_person(image, *persons, track_id=1, z_m=np.ones(17, np.float32))
    document = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert set(document) == _named(rows("run.md", "| member | |\n|---|---|\n| `info`"))
    assert set(document["annotations"][0]) == _named(rows("run.md", "| member of an annotation |"))
    (described,) = [row[1] for row in rows("run.md", "| member | |\n") if row[0] == "`images`"]
    assert all(f"`{name}`" in described for name in document["images"][0])


def _named(table: list[list[str]]) -> set[str]:
    return {name for row in table for name in re.findall(r"`(\w+)`", row[0])}
