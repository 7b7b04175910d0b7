"""The manifest of a bundle, bundle.json: from the dataclasses of edgepose.artifact to its bytes and back.

The specification is schema/bundle-v1.json; the validator is the C++ one (`_core.Bundle.open`).
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgepose.artifact import (
    BoxHead,
    Head,
    KeypointSet,
    LineageEntry,
    ModelSpec,
    OneStageHead,
    Preprocess,
    SimccHead,
)
from edgepose.hashing import sha256_bytes

FORMAT = "edgepose-bundle"
FORMAT_VERSION = 1
MANIFEST_NAME = "bundle.json"

ROLE_OF_TASK = {"detect": "detector", "pose": "pose", "one_stage": "one_stage"}

_UNSIGNED = "0" * 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def is_valid_name(name: str) -> bool:
    """Tell whether a bundle may have this name: letters, digits and `._+-`, at most 100, first no sign."""
    return _NAME.fullmatch(name) is not None


def preprocess_member(preprocess: Preprocess) -> dict[str, Any]:
    """Return a "preprocess" member."""
    members: dict[str, Any] = _plain(dataclasses.asdict(preprocess))
    return members


def head_member(head: Head) -> dict[str, Any]:
    """Return a "head" member, its type first."""
    members = _plain(dataclasses.asdict(head))
    return {"type": members.pop("type"), **members}


def spec_to_json(spec: ModelSpec) -> dict[str, Any]:
    """Return a specification as a JSON value."""
    members = _plain(dataclasses.asdict(spec))
    return {**members, "preprocess": preprocess_member(spec.preprocess), "head": head_member(spec.head)}


def spec_from_json(data: Mapping[str, Any]) -> ModelSpec:
    """Rebuild a specification from spec_to_json's value. Errors: KeyError, TypeError, ValueError."""
    members = dict(data)
    members["preprocess"] = _dataclass(Preprocess, data["preprocess"])
    members["head"] = head_from_json(data["head"])
    spec: ModelSpec = _dataclass(ModelSpec, members)
    return spec


def head_from_json(data: Mapping[str, Any]) -> Head:
    """Rebuild a head from its member. Errors: KeyError, TypeError, ValueError (an unknown type)."""
    members = dict(data)
    kinds: dict[str, type[Head]] = {"simcc": SimccHead, "rtmdet": BoxHead, "rtmo": OneStageHead}
    kind = members.get("type")
    if kind not in kinds:
        raise ValueError(f"unknown head type {kind!r}")
    if "points" in members:
        points = dict(members["points"])
        for name in ("skeleton", "flip_pairs"):
            points[name] = tuple((int(a), int(b)) for a, b in points[name])
        members["points"] = _dataclass(KeypointSet, points)
    head: Head = _dataclass(kinds[kind], members)
    return head


def lineage_member(entries: Sequence[LineageEntry]) -> list[dict[str, Any]]:
    """Return the "lineage" member: everything but the seconds, so that the same work gives the same bytes."""
    members = []
    for entry in entries:
        member = _plain(dataclasses.asdict(entry))
        del member["seconds"]
        members.append(member)
    return members


def encode(manifest: Mapping[str, Any]) -> bytes:
    """Return the bytes of bundle.json with its own checksum.

    manifest_sha256 is the SHA-256 of these very bytes with its 64 digits replaced by zeros. Errors:
    ValueError for NaN or infinity.
    """
    text = _spell({**manifest, "manifest_sha256": _UNSIGNED}) + "\n"
    digest = sha256_bytes(text.encode("ascii"))
    before, mark, after = text.rpartition(_UNSIGNED)
    if not mark:
        raise ValueError("the manifest does not end with its checksum")
    return (before + digest + after).encode("ascii")


def pipeline_type(roles: Sequence[str]) -> str:
    """Return the pipeline type for a set of roles. Errors: ValueError for a set that no pipeline has."""
    types = {
        ("detector", "pose"): "top_down",
        ("pose",): "pose",
        ("detector",): "detect",
        ("one_stage",): "one_stage",
    }
    key = tuple(sorted(roles))
    if key not in types:
        raise ValueError(f"no pipeline has the roles {', '.join(key)}")
    return types[key]


def _plain(value: Any) -> Any:
    """Turn tuples into lists, at any depth."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _dataclass(kind: type[Any], members: Mapping[str, Any]) -> Any:
    known = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    unknown = set(members) - known.keys()
    if unknown:
        raise ValueError(f"{kind.__name__} has no member {', '.join(sorted(unknown))}")
    return kind(**{name: _member(known[name], value) for name, value in members.items()})


def _member(annotation: str, value: Any) -> Any:
    """Make a field's value of JSON, where a list stands for a tuple and an integer may be written as 2.0."""
    if annotation == "int":
        return int(value)
    if isinstance(value, list):
        return tuple(int(item) for item in value) if annotation.startswith("tuple[int,") else tuple(value)
    return value


def _spell(value: Any, indent: str = "") -> str:
    """Write JSON for people: two spaces a level, and a list of plain values on one line."""
    inner = indent + "  "
    if isinstance(value, Mapping) and value:
        lines = [f"{inner}{json.dumps(str(key))}: {_spell(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        return "[\n" + ",\n".join(inner + _spell(item, inner) for item in value) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False)
