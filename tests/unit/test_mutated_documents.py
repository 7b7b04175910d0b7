"""Documents that somebody has changed: each command says what is wrong with its file, or takes it."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_documents import V1, bench_document, eval_document, gate_document

from edgepose import log
from edgepose.bundle.folder import require_bundle
from edgepose.calibration.plan import load_plan
from edgepose.cli.main import main
from edgepose.device.profile import load_profile, parse_profile
from edgepose.errors import ConfigurationError, UsageError
from edgepose.hashing import sha256_json
from edgepose.person_boxes import read_person_boxes
from edgepose.skeletons import read_keypoint_file
from edgepose.verify.evaluation import open_data, open_subject
from edgepose.verify.gate_limits import limits_for
from edgepose.writers import write_picture

BUNDLE = V1 / "top_down"
HUGE = 10**400  # JSON has it, float64 does not
DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 0.5, 1e308, float("nan"), float("inf"), HUGE, "", "a", "\0", "\x1b[31m", "\ud800"),
    *([], {}, [[]], [None], {"a": 1}, [0, 0, 0, 0], DEEP),
)


def bench(**members: Any) -> dict[str, Any]:
    return {**bench_document(BUNDLE), "created": "2026-01-01T00:00:00+00:00", **members}


def changed(document: Any, chance: random.Random) -> Any:
    """Delete, rename, replace or wrap at a random place; equal elements of lists count as one place."""
    document = copy.deepcopy(document)
    found: dict[tuple[Any, ...], list[tuple[Any, Any]]] = {}

    def walk(node: Any, path: tuple[Any, ...]) -> None:
        children = (
            node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        )
        for key, child in children:
            step = (*path, "*" if isinstance(node, list) else key)
            found.setdefault(step, []).append((node, key))
            walk(child, step)

    walk(document, ())
    parent, key = chance.choice(chance.choice(list(found.values())))
    kind = chance.choice(("delete", "rename", "replace", "replace", "replace", "wrap"))
    if kind == "delete":
        del parent[key]
    elif kind == "rename" and isinstance(parent, dict):
        parent[f"{key}_"] = parent.pop(key)
    else:
        parent[key] = [parent[key]] if kind == "wrap" else chance.choice(VALUES)
    return document


def ends_well(argv: list[Any], capsys: pytest.CaptureFixture[str]) -> int:
    """Run a command; it may refuse its input, in one line with a hint, and may not fail otherwise."""
    code = main([str(word) for word in argv])
    captured = capsys.readouterr()
    assert code in (0, 2, 7), captured.err
    if code:
        lines = captured.err.splitlines()
        assert [line.partition(":")[0] for line in lines] == ["error", "hint"], captured.err
    elif "--json" in argv:
        json.loads(captured.out, parse_constant=lambda name: pytest.fail(f"{name} in the output"))
    return code


@pytest.mark.parametrize("kind", ["eval", "gate", "bench"])
def test_documents_of_a_report(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make: Callable[[Path], Any] = {"eval": eval_document, "gate": gate_document, "bench": bench_document}[
        kind
    ]
    chance, whole = random.Random(kind), make(BUNDLE)
    source, page = tmp_path / "a.json", tmp_path / "a.html"
    for _ in range(40):
        page.unlink(missing_ok=True)
        source.write_text(json.dumps(changed(whole, chance)))
        code = ends_well(["report", BUNDLE, f"--{kind}", source, "--no-run", "-o", page], capsys)
        assert page.exists() == (code == 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.update(AP_interval=[float("-inf"), 61.0]),
        lambda found: found.update(AP_interval=[HUGE, 61.0]),
        lambda found: found.update(AP_interval=["58", 61.0]),
        lambda found: found.update(parts={}),
    ],
)
def test_an_ap_that_is_none(change: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = eval_document(BUNDLE)
    change(document["accuracy"])
    (tmp_path / "a.json").write_text(json.dumps(document))
    argv = ["report", BUNDLE, "--eval", tmp_path / "a.json", "--no-run", "-o", tmp_path / "a.html"]
    assert ends_well(argv, capsys) == 2


def annotations(**members: Any) -> dict[str, Any]:
    """COCO annotations of a picture for the bundle "pose", with a changed first person."""
    points = json.loads((V1 / "pose" / "bundle.json").read_text())["models"]["pose"]["head"]["points"]
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 30], "area": 300}
    person["keypoints"] = [10, 12, 2] * len(points["keypoints"])
    return {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "person", "keypoints": points["keypoints"]}],
        "annotations": [{**person, **members}, {**person, "id": 2}],
    }


@pytest.mark.parametrize(
    ("members", "part"),
    [
        # Empty in the 32-bit numbers of the runtime, which would say so without a file's name.
        ({"bbox": [10, 10, 1e-7, 10]}, "annotation 1 has an empty box"),
        ({"bbox": [999_999_000, 0, 1, 10]}, "annotation 1 has an empty box"),
        ({"keypoints": [1e308, -1e308, 2] * 3}, "annotation 1 has a keypoint beyond every picture"),
    ],
)
def test_labels_that_no_picture_has(members: Any, part: str, tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.zeros((48, 64, 3), np.uint8))
    (tmp_path / "a.json").write_text(json.dumps(annotations(**members)))
    with pytest.raises(UsageError, match=part):
        open_data(open_subject(V1 / "pose"), tmp_path, tmp_path / "a.json")
    if "bbox" in members:
        x, y, width, height = members["bbox"]
        (tmp_path / "b.json").write_text(json.dumps([[x, y, x + width, y + height]]))
        with pytest.raises(UsageError, match=r"b\.json: the list has an empty box"):
            read_person_boxes(tmp_path / "b.json")


def test_signed_baselines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    write_picture(tmp_path / "a.png", np.zeros((48, 64, 3), np.uint8))
    (tmp_path / "a.json").write_text(json.dumps(annotations()))
    data = ["--images", tmp_path, "--data", tmp_path / "a.json", "--processes", 1]
    kept, file = tmp_path / "kept.json", tmp_path / "b.json"
    assert ends_well(["baseline", "record", V1 / "pose", "-o", kept, *data], capsys) == 0
    whole, chance = json.loads(kept.read_text()), random.Random(2)
    del whole["sha256"]
    refused = 0
    for _ in range(40):
        document = changed(whole, chance)
        with suppress(ValueError):  # NaN has no digest
            file.write_text(json.dumps({**document, "sha256": sha256_json(document)}))
            refused += ends_well(["baseline", "compare", file, V1 / "pose", *data], capsys) > 0
    assert 10 < refused < 40


def patched(folder: Path, path: str, value: Any) -> Path:
    """Make a signed copy of a good bundle in which one member is another value."""
    from bundles.cases import build

    build({"patch": [{"op": "add", "path": path, "value": value}]}, folder)
    return folder


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("model", None),
        ("stage", ["ncnn"]),
        ("limits", True),
        ("limits", {"mean_px": "0.3"}),
        ("cosine", ""),
        ("recall", []),
        ("real_samples", {"a": 1}),
    ],
)
def test_a_stage_of_other_types(
    member: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = {"model": "tiny-pose", "stage": "fake", "mean_px": 0.1, "limits": {"mean_px": 0.3, "cosine": 0.9}}
    bundle = patched(tmp_path / "bundle", "/verification/stages/0", {**stage, member: value})
    assert ends_well(["info", bundle], capsys) == 0
    assert ends_well(["diff", bundle, BUNDLE], capsys) == 7
    assert ends_well(["report", bundle, "--no-run", "-o", tmp_path / "a.html"], capsys) == 7
    assert not (tmp_path / "a.html").exists()


def test_what_a_stage_says_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = {"model": "a\x1b[2J\nforged: passed\x9b", "engine": "e" * 5000}
    bundle = patched(tmp_path / "bundle", "/verification/stages/0", stage)
    assert main(["info", str(bundle)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("a?[2J?forged: passed?" in line for line in lines)
    assert all(line.isprintable() and len(line) < 300 for line in lines)


@pytest.mark.parametrize("half", [None, "x", {"sha256": "x"}, ["x"], [{"sha256": {}}], [{}]])
def test_a_calibration_record_that_cannot_be_read(
    half: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says which pictures prove nothing, so that it may not be passed over."""
    step = {"step": "quantise", "tool": "t", "version": "1", "inputs": {}, "outputs": {}}
    bundle = patched(tmp_path / "bundle", "/lineage/0", {**step, "arguments": {"held_out": half}})
    write_picture(tmp_path / "a.png", np.zeros((48, 64, 3), np.uint8))
    argv = ["eval", bundle, "--images", tmp_path, "--reference", BUNDLE, "--processes", 1]
    assert main([str(word) for word in argv]) == 7
    assert f"error: {bundle}: its record of the pictures" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["manifest", "checksum", "missing", "added", "link"])
def test_of_two_bundles_the_damaged_one_is_named(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = 1 if damage == "manifest" else "make"
    network = patched(tmp_path / "bad", "/lineage/0/step", step) / "tiny-pose.fake"
    if damage == "added":
        (tmp_path / "bad" / "more").touch()
    elif damage != "manifest":
        network.unlink()
    if damage == "checksum":
        network.write_bytes(b"other")
    elif damage == "link":
        network.symlink_to(BUNDLE / network.name)
    write_picture(tmp_path / "a.png", np.zeros((48, 64, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    for argv in (
        ["info", "bad"],
        ["verify", "bad"],
        ["diff", BUNDLE, "bad"],
        ["report", BUNDLE, "bad", "--no-run", "-o", "a.html"],
        ["run", "bad", "a.png"],
        ["bench", "bad"],
    ):
        assert main([str(word) for word in argv]) == 7
        error = capsys.readouterr().err
        assert error.startswith("error: bad: "), argv
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "bad"]


def test_results_of_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(1)
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text(json.dumps(bench()))
    for _ in range(40):
        second.write_text(json.dumps(changed(bench(), chance)))
        ends_well(["bench", "compare", *chance.sample([first, second], 2), "--json"], capsys)


@pytest.mark.parametrize(
    ("sample", "part"),
    [
        ([0, 0, 5], "impossible time"),
        ([0, -5, 5], "impossible time"),
        ([0, HUGE, 5], "impossible time"),
        ([0, True, 5], "not 3 whole numbers"),
        ([0, 5.0, 5], "not 3 whole numbers"),
    ],
)
def test_samples_that_no_runner_takes(
    sample: list[Any], part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = bench()
    document["phases"][0]["samples"][7] = sample
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert main(["bench", "compare", *[str(tmp_path / "a.json")] * 2]) == 2
    assert part in capsys.readouterr().err


def test_a_stage_that_seldom_ran_has_no_ratio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = bench()
    for row in document["phases"][0]["samples"][5:]:
        row[2] = 0
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert ends_well(["bench", "compare", *[tmp_path / "a.json"] * 2], capsys) == 0
    assert main(["bench", "compare", *[str(tmp_path / "a.json")] * 2, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["stages"]) == ["total"]


def test_numbers_that_are_too_large(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"ap_loss": HUGE}))
    with pytest.raises(UsageError, match="ap_loss is 1000"):
        limits_for("int8", file=path)
    path.write_text(json.dumps({"keypoints": ["a"], "sigmas": [HUGE]}))
    with pytest.raises(UsageError, match="1 positive numbers"):
        read_keypoint_file(path)


def test_a_plan_that_is_too_deep(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(UsageError, match="not JSON"):
        load_plan(tmp_path / "a.json")


@pytest.mark.parametrize(
    "value",
    ["2026-13-01", "0x_", "!!int x", "!!float x", "!!timestamp x", "9" * 5000, "[" * 5000, "9" * 400, ".nan"],
)
def test_values_that_yaml_stumbles_over(value: str) -> None:
    text = (
        f"title: a\ntransport: local\nengines: [ncnn]\nthreads: [1]\nfolder: a\nmax_temperature_c: {value}\n"
    )
    with pytest.raises(ConfigurationError, match=r"^mine: ") as caught:
        parse_profile(text, name="a", where="mine")
    assert caught.value.hint
    assert load_profile("host").name == "host"


@pytest.mark.parametrize("command", ["info", "verify", "diff", "report", "eval", "run"])
def test_a_bundle_whose_name_is_not_utf_8(command: str, tmp_path: Path) -> None:
    bundle = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(BUNDLE, bundle)
    more = {
        "diff": [BUNDLE],
        "report": ["--no-run", "-o", tmp_path / "a.html"],
        "eval": ["--images", tmp_path, "--reference", BUNDLE],
        "run": [tmp_path / "a.png"],
    }
    assert main([command, str(bundle), *map(str, more.get(command, []))]) == 2
    with pytest.raises(UsageError, match="the name is not UTF-8"):
        require_bundle(bundle)


def test_a_folder_for_a_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["gate", BUNDLE, "--reference", BUNDLE, "--images", tmp_path, "--baseline", tmp_path]
    assert ends_well(argv, capsys) == 2
    assert ends_well(["baseline", "compare", tmp_path, BUNDLE, "--images", tmp_path], capsys) == 2


def test_a_loop_of_links(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert ends_well(["report", loop, "--no-run", "-o", tmp_path / "a.html"], capsys) == 2
    argv = ["report", BUNDLE, "--eval", loop, "--no-run", "-o", tmp_path / "a.html"]
    assert main([str(word) for word in argv]) == 3
    assert f"{loop}: Too many levels" in capsys.readouterr().err


def test_errors_are_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.error("a\r\x1b[2Kb\nc\x9b" + "d" * 5000)
    line = capsys.readouterr().err
    assert line.startswith("error: a  [2Kb c d") and line.endswith("d...\n") and len(line) < 2100
