"""One bundle of a report with everything that is known about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgepose.report.bundles import OpenedBundle
from edgepose.report.documents import Document
from edgepose.report.golden import GoldenRun
from edgepose.report.markup import Markup, el, join

LETTERS = "ABCDEF"


@dataclass(slots=True)
class Subject:
    """A bundle, its letter, its golden run, and the documents that are about it."""

    letter: str
    bundle: OpenedBundle
    golden: GoldenRun
    evals: list[Document] = field(default_factory=list)
    gates: list[Document] = field(default_factory=list)
    benches: list[Document] = field(default_factory=list)

    @property
    def manifest(self) -> dict[str, Any]:
        """The bundle's bundle.json."""
        return self.bundle.manifest

    @property
    def is_one_stage(self) -> bool:
        """Whether it takes no boxes."""
        return bool(self.manifest["pipeline"]["type"] == "one_stage")

    @property
    def key(self) -> str:
        """The class that gives marks this bundle's colour."""
        return self.letter.lower()

    def badge(self) -> Markup:
        """Return the letter in the bundle's colour."""
        return el("span", self.letter, class_=f"badge {self.key}")

    def title(self) -> Markup:
        """Return the letter and the name."""
        return join(self.badge(), " ", self.bundle.label)

    @property
    def stages(self) -> list[dict[str, Any]]:
        """The comparisons with the float network that `convert` and `calibrate` made."""
        stages: list[dict[str, Any]] = self.manifest["verification"]["stages"]
        return stages


@dataclass(frozen=True, slots=True)
class Report:
    """What the page shows: the bundles, and the folder of pictures for the worst cases.

    note: what to know about the comparison on the pictures. run: whether the bundles were to be run.
    """

    subjects: Sequence[Subject]
    images: Path | None = None
    note: str | None = None
    run: bool = True

    def evidence(self, subject: Subject) -> list[tuple[str, Document]]:
        """Return the evaluations of a bundle, or else its gates: both hold drift and worst cases."""
        return [("eval", d) for d in subject.evals] or [("gate", d) for d in subject.gates]

    def each(self, kind: str) -> Iterator[tuple[Subject, Document]]:
        """Yield every document of a kind with its bundle."""
        for subject in self.subjects:
            for document in {"eval": subject.evals, "gate": subject.gates, "bench": subject.benches}[kind]:
                yield subject, document


def section(key: str, title: str, *children: Any) -> Markup:
    """Make a titled part of the page."""
    return el("section", el("h2", title, id=key), *children)


def verdict(kind: str, words: str) -> Markup:
    """Say an outcome with a sign, so that colour is not needed: kind is pass, fail or unsure."""
    sign = {"pass": "✓", "fail": "✗", "unsure": "?"}[kind]
    return el("span", f"{sign} {words}", class_=f"verdict {kind}")


def within_limits(stage: Mapping[str, Any]) -> bool | None:
    """Tell whether a verified stage kept its limits; None where it states none."""
    limits = stage.get("limits")
    if not isinstance(limits, Mapping):
        return None
    checks = []
    for name, limit in limits.items():
        value = stage.get(name)
        if value is not None:
            checks.append(value >= limit if name in ("cosine", "recall") else value <= limit)
    return all(checks) if checks else None
