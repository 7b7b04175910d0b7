"""bundle.json: its members, its spelling and its checksum."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgepose
from edgepose.artifact import (
    BoxHead,
    KeypointSet,
    LineageEntry,
    ModelSpec,
    OneStageHead,
    Preprocess,
    SimccHead,
)
from edgepose.bundle import manifest
from edgepose.hashing import sha256_bytes

POINTS = KeypointSet("three", ("nose", "left", "right"), ((0, 1), (0, 2)), ((1, 2),), (0.1, 0.2, 0.2))
PREPROCESS = Preprocess("affine", (64, 48), "rgb", (1.5, 2, 3), (4, 5, 6), (0, 0, 0), 1.25)
HEADS = {
    "simcc": SimccHead(2.0, POINTS, z_range=2.1744869),
    "rtmdet": BoxHead((8, 16, 32), True, ("person", "dog"), 0.05, 0.6, 1000, 100),
    "rtmo": OneStageHead((16, 32), POINTS, 0.1, 0.65, 100, 50, 1.25, 192, 256),
}


def _spec(head: str) -> ModelSpec:
    return ModelSpec("n", "f", "pose", PREPROCESS, HEADS[head], ("input",), ("a", "b"), "Apache-2.0", 12)


@pytest.mark.parametrize("head", HEADS)
def test_a_specification_survives_json(head: str) -> None:
    text = json.dumps(manifest.spec_to_json(_spec(head)))
    assert manifest.spec_from_json(json.loads(text)) == _spec(head)


@pytest.mark.parametrize("head", HEADS)
def test_integers_may_be_written_as_2_0(head: str) -> None:
    """Only means, standard deviations and the like are of any kind."""
    text = json.dumps(manifest.spec_to_json(_spec(head)))
    found = manifest.spec_from_json(json.loads(text, parse_int=float))
    numbers = dataclasses.replace(PREPROCESS, mean=(1.5, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    assert repr(found) == repr(dataclasses.replace(_spec(head), preprocess=numbers))


@pytest.mark.parametrize("head", HEADS)
def test_a_head_member_begins_with_its_type(head: str) -> None:
    assert next(iter(manifest.head_member(HEADS[head]).items())) == ("type", head)


def test_unknown_members_and_types_are_refused() -> None:
    head = manifest.head_member(HEADS["simcc"])
    with pytest.raises(ValueError, match="colour"):
        manifest.head_from_json({**head, "colour": 1})
    with pytest.raises(ValueError, match="heatmap"):
        manifest.head_from_json({**head, "type": "heatmap"})


def test_lineage_leaves_out_the_seconds() -> None:
    entry = LineageEntry("convert", "pnnx", "1", {"fp16": 0}, {"a": "0"}, {"b": "1"}, 3.25)
    assert manifest.lineage_member([entry]) == [
        {
            "step": "convert",
            "tool": "pnnx",
            "version": "1",
            "arguments": {"fp16": 0},
            "inputs": {"a": "0"},
            "outputs": {"b": "1"},
        }
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text().filter(lambda key: key != "manifest_sha256"), JSON, max_size=5))
def test_the_bytes_hold_every_value_and_their_own_checksum(members: dict[str, Any]) -> None:
    data = manifest.encode(members)
    decoded = json.loads(data)
    digest = decoded.pop("manifest_sha256")
    assert decoded == members
    assert sha256_bytes(data.replace(digest.encode(), b"0" * 64)) == digest


def test_a_member_that_looks_like_the_blank_checksum_stays_as_it_is() -> None:
    data = manifest.encode({"name": "0" * 64})
    assert json.loads(data)["name"] == "0" * 64
    assert json.loads(data)["manifest_sha256"] != "0" * 64


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        manifest.encode({"a": [{"b": value}]})


@pytest.mark.parametrize("name", ["rtmpose-t", "rtmdet-nano+rtmpose-t", "a", "x_1.2"])
def test_good_names(name: str) -> None:
    assert manifest.is_valid_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-o", "a/b", "a\\b", "a b", "ä", "a\n", "a" * 101, ".hidden"]
)
def test_names_that_could_leave_their_folder_are_refused(name: str) -> None:
    assert not manifest.is_valid_name(name)


@pytest.mark.parametrize(
    ("roles", "kind"),
    [
        (("pose", "detector"), "top_down"),
        (("pose",), "pose"),
        (("detector",), "detect"),
        (("one_stage",), "one_stage"),
    ],
)
def test_pipeline_types(roles: tuple[str, ...], kind: str) -> None:
    assert manifest.pipeline_type(roles) == kind


@pytest.mark.parametrize("roles", [(), ("pose", "pose"), ("detector", "one_stage"), ("pose", "one_stage")])
def test_contradictory_roles_are_refused(roles: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="no pipeline"):
        manifest.pipeline_type(roles)


def test_preprocess_and_heads_fit_the_schema() -> None:
    path = Path(edgepose.__file__).parent / "bundle" / "schema" / "bundle-v1.json"
    schema = json.loads(path.read_text())
    definitions = {"$defs": schema["$defs"]}
    members = {
        "preprocess": manifest.preprocess_member(PREPROCESS),
        "simcc_head": manifest.head_member(HEADS["simcc"]),
        "box_head": manifest.head_member(HEADS["rtmdet"]),
        "rtmo_head": manifest.head_member(HEADS["rtmo"]),
    }
    for name, member in members.items():
        jsonschema.validate(member, {**definitions, "$ref": f"#/$defs/{name}"})
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**member, "surplus": 1}, {**definitions, "$ref": f"#/$defs/{name}"})
