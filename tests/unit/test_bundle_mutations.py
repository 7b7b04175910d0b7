"""A thousand damaged bundles: each ends in a typed error, and none is opened."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from bundles import cases

from edgepose import _core

VALUES: tuple[Any, ...] = (None, True, -1, 0, 0.5, 1e300, 10**30, "", "a", "../x", "\u0000", [], {}, {"a": 1})
BUNDLE_ERRORS = {"invalid_bundle", "checksum_mismatch", "unsupported"}


def _refused(folder: Path, what: str) -> str:
    with pytest.raises(_core.CoreError) as caught:
        _core.Bundle.open(str(folder))
    name = str(_core.code_table()[caught.value.code])
    assert name in BUNDLE_ERRORS, f"{what}: {name}: {caught.value.message}"
    assert caught.value.message and caught.value.hint, what
    return name


def _damage(content: bytes, chance: random.Random) -> bytes:
    kind = chance.choice(("flip", "flip", "cut", "drop", "double", "zero"))
    at = chance.randrange(len(content))
    if kind == "flip":
        return content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]
    if kind == "cut":
        return content[:at]
    if kind == "drop":
        return content[:at] + content[at + 1 + chance.randrange(8) :]
    if kind == "double":
        return content[:at] + content[at : at + 1 + chance.randrange(8)] + content[at:]
    return content[:at] + b"\0" + content[at + 1 :]


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place for key, child in children for place in ((*path, key), *_places(child, (*path, key)))]


def _change(manifest: Any, chance: random.Random) -> str:
    """Delete, replace, rename or swap at one random place; return what was done."""
    places = _places(manifest)
    place = chance.choice(places)
    parent = manifest
    for key in place[:-1]:
        parent = parent[key]
    key = place[-1]
    kind = chance.choice(("delete", "replace", "replace", "rename", "swap"))
    if kind == "delete":
        del parent[key]
    elif kind == "rename" and isinstance(parent, dict):
        parent[f"{key}_"] = parent.pop(key)
    elif kind == "swap":
        other = chance.choice(places)
        source = manifest
        for step in other[:-1]:
            source = source[step]
        parent[key], source[other[-1]] = source[other[-1]], parent[key]
        kind += f" {other}"
    else:
        parent[key] = chance.choice(VALUES)
    return f"{kind} {place}"


@pytest.mark.parametrize("seed", range(5))
def test_damaged_files(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    good = cases.GOOD[seed % len(cases.GOOD)]
    folder = tmp_path / "bundle"
    shutil.copytree(good, folder)
    names = sorted(path.name for path in folder.iterdir())
    for number in range(100):
        name = "bundle.json" if number % 2 else chance.choice(names)
        content = (folder / name).read_bytes()
        damaged = _damage(content, chance)
        if damaged == content:
            damaged = content + b"\0"
        (folder / name).write_bytes(damaged)
        _refused(folder, f"{good.name}/{name} {number}")
        (folder / name).write_bytes(content)
    _core.Bundle.open(str(folder))


@pytest.mark.parametrize("seed", range(5))
def test_changed_and_signed_manifests(seed: int, tmp_path: Path) -> None:
    """Nothing but a valid manifest opens, even where somebody signed it: the schema is the judge."""
    jsonschema = pytest.importorskip("jsonschema")
    import edgepose.bundle

    path = Path(edgepose.bundle.__file__).parent / "schema" / "bundle-v1.json"
    schema = jsonschema.Draft202012Validator(json.loads(path.read_text(encoding="ascii")))
    chance = random.Random(1000 + seed)
    good = cases.GOOD[seed % len(cases.GOOD)]
    folder = tmp_path / "bundle"
    shutil.copytree(good, folder)
    text = (folder / "bundle.json").read_text(encoding="ascii")
    refused = 0
    for _ in range(100):
        manifest = json.loads(text)
        what = _change(manifest, chance)
        manifest.pop("manifest_sha256", None)
        (folder / "bundle.json").write_text(cases.sign(manifest), encoding="ascii")
        try:
            _core.Bundle.open(str(folder))
        except _core.CoreError as error:
            assert _core.code_table()[error.code] in BUNDLE_ERRORS, f"{what}: {error.message}"
            assert error.message and error.hint, what
            refused += 1
        else:
            signed = json.loads((folder / "bundle.json").read_text(encoding="ascii"))
            assert schema.is_valid(signed), f"{what}: opened, but the schema refuses it"
    assert refused >= 50


def test_one_flipped_bit_in_every_file_is_found(tmp_path: Path) -> None:
    for good in cases.GOOD:
        folder = tmp_path / good.name
        shutil.copytree(good, folder)
        for path in sorted(folder.iterdir()):
            content = path.read_bytes()
            for at in range(0, len(content), max(1, len(content) // 40)):
                path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
                assert _refused(folder, f"{path.name} at {at}") in BUNDLE_ERRORS
            path.write_bytes(content)


def test_the_untouched_hash_is_what_hashlib_gives() -> None:
    for good in cases.GOOD:
        listed = json.loads((good / "bundle.json").read_text(encoding="ascii"))["files"]
        for name, facts in listed.items():
            assert facts["sha256"] == hashlib.sha256((good / name).read_bytes()).hexdigest()
