"""The schema and the C++ validator over one shared folder of good and bad bundles."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from bundles import cases

from edgepose import _core

jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(scope="module")
def schema() -> Any:
    import edgepose.bundle

    path = Path(edgepose.bundle.__file__).parent / "schema" / "bundle-v1.json"
    text = json.loads(path.read_text(encoding="ascii"))
    jsonschema.Draft202012Validator.check_schema(text)
    return jsonschema.Draft202012Validator(text)


def _name(case: dict[str, Any]) -> str:
    return str(case["name"])


def _codes() -> dict[str, int]:
    return {name: code for code, name in _core.code_table().items()}


def test_the_schema_closes_every_object(schema: Any) -> None:
    free = {"arguments", "stages"}

    def walk(node: Any, path: tuple[str, ...]) -> None:
        if isinstance(node, dict):
            if "properties" in node and "required" in node:
                assert node.get("additionalProperties") is False or path[-1] in ("if", "pipeline"), path
            elif node.get("type") == "object" and "additionalProperties" not in node:
                # models, files and head are closed by the role, the backend and the task.
                assert free & set(path) or path[-1] in ("models", "files", "head"), path
            for key, value in node.items():
                walk(value, (*path, key))
        elif isinstance(node, list):
            for item in node:
                walk(item, path)

    walk(schema.schema, ("",))


@pytest.mark.parametrize("folder", cases.GOOD, ids=lambda folder: folder.name)
def test_bundles_of_every_version_open(folder: Path, schema: Any) -> None:
    bundle = _core.Bundle.open(str(folder))
    assert bundle.manifest_json == (folder / "bundle.json").read_text(encoding="ascii")
    assert Path(bundle.path) == folder
    schema.validate(json.loads(bundle.manifest_json))


def test_the_digest_is_that_of_the_manifest() -> None:
    folder = cases.GOOD[0]
    expected = json.loads((folder / "bundle.json").read_bytes())["manifest_sha256"]
    assert _core.Bundle.open(str(folder)).digest == expected


@pytest.mark.parametrize("case", cases.VALID, ids=_name)
def test_both_accept(case: dict[str, Any], tmp_path: Path, schema: Any) -> None:
    cases.build(case, tmp_path / "bundle")
    bundle = _core.Bundle.open(str(tmp_path / "bundle"))
    schema.validate(json.loads(bundle.manifest_json))


@pytest.mark.parametrize("case", cases.INVALID, ids=_name)
def test_the_validator_refuses_and_says_why(case: dict[str, Any], tmp_path: Path) -> None:
    cases.build(case, tmp_path / "bundle")
    with pytest.raises(_core.CoreError) as caught:
        _core.Bundle.open(str(tmp_path / "bundle"))
    error = caught.value
    assert error.code == _codes()[case["expect_code"]], error.message
    assert case["expect_in_message"] in error.message
    assert error.hint and "\n" not in error.message


@pytest.mark.parametrize("case", [c for c in cases.INVALID if "schema_refuses" in c], ids=_name)
def test_the_schema_refuses_what_a_schema_can(case: dict[str, Any], schema: Any) -> None:
    manifest = cases.manifest_of(case)
    assert schema.is_valid(manifest) is not case["schema_refuses"]


def test_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "none", tmp_path / "file", tmp_path / "loop"):
        with pytest.raises(_core.CoreError) as caught:
            _core.Bundle.open(str(path))
        assert caught.value.code == _codes()["io"]
        assert path.name in caught.value.message
    with pytest.raises(_core.CoreError) as caught:
        _core.Bundle.open("")
    assert caught.value.code == _codes()["io"]


def test_a_manifest_of_more_than_16_mib_is_refused_unread(tmp_path: Path) -> None:
    shutil.copytree(cases.GOOD[0], tmp_path / "bundle")
    with (tmp_path / "bundle" / "bundle.json").open("ab") as file:
        file.truncate(1 << 40)
    with pytest.raises(_core.CoreError, match=r"at most 16777216 are allowed") as caught:
        _core.Bundle.open(str(tmp_path / "bundle"))
    assert caught.value.code == _codes()["invalid_bundle"]


def test_a_link_to_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(cases.GOOD[0])
    assert Path(_core.Bundle.open(str(tmp_path / "latest")).path) == cases.GOOD[0]
