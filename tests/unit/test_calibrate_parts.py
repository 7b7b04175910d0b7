"""Parts of a calibration that need no network: names, seeds, and the samples that a choice looks at."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from edgepose.artifact import (
    Artifact,
    BoxHead,
    KeypointSet,
    ModelSpec,
    Preprocess,
    SimccHead,
)
from edgepose.bundle.manifest import encode
from edgepose.calibration import agreement, calibrate, network
from edgepose.calibration.agreement import telling_samples
from edgepose.calibration.base import calibrator
from edgepose.calibration.calibrate import CalibrationRequest, check_request, target_folder
from edgepose.calibration.from_bundle import artifact_of
from edgepose.calibration.pictures import digests, read_pictures
from edgepose.calibration.samples import Half, Samples, make_samples
from edgepose.cli.main import cli
from edgepose.converters.engine import run_engine
from edgepose.errors import BundleError, CalibrationError, ConfigurationError, UsageError
from edgepose.skeletons import KEYPOINT_SETS
from edgepose.writers import write_picture

SIDE = 32
DETECTOR = ModelSpec(
    name="detector",
    family="rtmdet",
    task="detect",
    preprocess=Preprocess("letterbox", (SIDE, SIDE), "bgr", (0, 0, 0), (1, 1, 1), (114, 114, 114)),
    head=BoxHead((8, 16, 32), False, ("person",), 0.05, 0.6, 1000, 100),
    input_names=("input",),
    output_names=("cls_8", "cls_16", "cls_32", "box_8", "box_16", "box_32"),
    license="",
    parameters=1,
)
POSE = SimpleNamespace(spec=SimpleNamespace(head=SimccHead(2.0, KeypointSet("one", ("a",), (), (), (0.1,)))))


class Engine:
    """Finds one box in inputs whose values are positive, and is hardly sure of it in negative ones."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, inputs: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        self.runs += 1
        sides = [SIDE // stride for stride in (8, 16, 32)]
        scores = [np.full((1, 1, side, side), -9, np.float32) for side in sides]
        scores[0][0, 0, 1, 1] = 3 if inputs[0].max() > 0 else -1.4 if inputs[0].max() < 0 else -9
        return scores + [np.full((1, 4, side, side), 1, np.float32) for side in sides]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine()
    monkeypatch.setattr(agreement, "open_engine", lambda artifact: made)
    return made


def detector() -> Artifact:
    return Artifact(DETECTOR, "onnx", "fp32", {}, {}, {}, {}, ())


def samples(*values: int) -> list[NDArray[np.float32]]:
    return [np.full((1, 3, SIDE, SIDE), value, np.float32) for value in values]


def values_of(chosen: Any) -> list[int]:
    return [int(sample.flat[0]) for sample in chosen]


def test_the_samples_with_people_come_first(engine: Engine) -> None:
    given = samples(0, -1, 1, 2, -2, 3, 4)
    assert values_of(telling_samples(detector(), given, 3)) == [1, 2, 3]
    assert engine.runs == 6  # no further than needed
    assert values_of(telling_samples(detector(), given, 5)) == [1, 2, 3, 4, 0]
    assert values_of(telling_samples(detector(), samples(0, -1, -2), 2)) == [0, -1]
    assert values_of(telling_samples(detector(), given[:2], 9)) == [0, -1]


def test_crops_of_persons_are_taken_as_they_come(engine: Engine) -> None:
    assert values_of(telling_samples(POSE, samples(0, -1, 1), 2)) == [0, -1]  # type: ignore[arg-type]
    assert engine.runs == 0


def calibrate_toy(calibrator: Any, held_out: Half, work_dir: Path) -> None:
    network.calibrate_network(
        detector(),
        calibrator,
        Samples(Half(), held_out, 0, ()),
        None,  # type: ignore[arg-type]
        mode="auto",
        budget_changes={},
        with_sensitivity=False,
        work_dir=work_dir,
        stage=lambda *_: None,
        advance=lambda: None,
    )


def test_the_sensitivity_looks_at_samples_with_people(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out pictures that begin with empty ones are a good set."""
    looked_at: list[int] = []

    def sensitivity(artifact: Any, quantiser: Any, chosen: Any, **_: Any) -> None:
        looked_at.extend(values_of(chosen))
        raise InterruptedError

    monkeypatch.setattr(network, "sensitivity", sensitivity)
    quantiser = SimpleNamespace(names=lambda: ["a"], worthwhile=lambda: ["a"])
    calibrator = SimpleNamespace(observe=lambda *_: quantiser, max_mean_px=None)
    empty, people = [-n for n in range(20)], list(range(1, 31))
    held_out = Half(samples(*empty, *people), [])
    with pytest.raises(InterruptedError):
        calibrate_toy(calibrator, held_out, tmp_path)
    assert looked_at == people[:16]


def test_a_full_folder_for_temporary_files_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a write, which names no file

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ConfigurationError, match=f"^{tmp_path}, the folder for temporary files: No") as error:
        calibrate_toy(SimpleNamespace(observe=full), Half(), tmp_path)
    assert "TMPDIR" in str(error.value.hint)


def test_a_search_on_few_samples_looks_at_samples_with_people(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []

    def search(artifact: Any, quantiser: Any, report: Any, chosen: Any, budget: Any, **_: Any) -> None:
        looked_at.extend(values_of(chosen))
        raise InterruptedError

    monkeypatch.setattr(network, "search", search)
    few: Any = SimpleNamespace(search_samples=2)
    any_: Any = None
    with pytest.raises(InterruptedError):
        network._search(detector(), few, any_, any_, samples(0, 1, 0, 2, 3), any_, lambda: None)
    assert looked_at == [1, 2]


@pytest.mark.parametrize(
    ("mode", "chip", "advice"),
    [
        ("int8", "rk3588", "the network does not stand it; use --precision auto"),
        ("auto", "rk3588", "convert with --precision fp16 (or fp32, where the target has it)"),
        (
            "int8",
            "rv1106",
            "the network does not stand it; give more pictures, or take a chip with half precision",
        ),
    ],
)
@pytest.mark.parametrize("wrong", [lambda a: np.full_like(a, np.nan), np.negative])
def test_a_network_that_is_off_is_refused_with_what_to_do(
    mode: Any, chip: str, advice: str, wrong: Any
) -> None:
    outputs = [np.ones((1, n, side, side), np.float32) for n in (1, 4) for side in (4, 2, 1)]
    made, simulated = dataclasses.replace(detector(), precision="int8"), calibrator("rknn", chip)
    with pytest.raises(CalibrationError) as caught:
        network._checked(made, [outputs], [[wrong(a) for a in outputs]], mode, simulated)
    assert caught.value.hint == advice


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/b", "..", "", ".a"])
def test_a_name_that_is_a_path_is_refused(name: str, tmp_path: Path) -> None:
    maker: Any = SimpleNamespace(label="ncnn")
    request = CalibrationRequest(tmp_path)
    with pytest.raises(BundleError, match="cannot be a bundle's name"):
        target_folder(tmp_path, name, maker, request)
    assert target_folder(tmp_path, "a+b", maker, request) == tmp_path / "a+b.ncnn.auto"


def test_a_request_that_cannot_work_is_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    check_request(CalibrationRequest(tmp_path, samples=4))
    for change, message in (
        ({"samples": 3}, "3 samples are too few"),
        ({"samples": 20_001}, "20001 samples are too many for the record"),
        ({"mode": "int4"}, "unknown precision 'int4'"),
        ({"plan": "best"}, "unknown plan 'best'"),
        ({"budgets": ("p95=2",)}, "--budget p95=2: there is no limit 'p95'"),
        ({"budgets": ("p95_px=2",), "mode": "mixed"}, "--budget has no effect with --precision mixed"),
        ({"source": tmp_path / "none"}, "none: no such file or folder"),
        ({"evaluation": tmp_path / "typo"}, "typo: no such file or folder"),
    ):
        with pytest.raises(UsageError, match=message):
            check_request(CalibrationRequest(**{"source": tmp_path, **change}))  # type: ignore[arg-type]


def test_whose_boxes_count_is_not_asked_before_the_network_is_known(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    animal = KEYPOINT_SETS["ap10k17"]
    document = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [
            {"id": 1, "name": "dog", "keypoints": animal.keypoints},
            {"id": 2, "name": "leash"},
        ],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]},
            {"image_id": 1, "category_id": 2},
        ],
    }
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(document))
    check_request(CalibrationRequest(labels, evaluation=labels))
    assert list(digests(labels).values()) == ["a.png"]
    assert [picture.boxes for picture in read_pictures(labels, animal)] == [((1, 2, 4, 6),)]
    document["images"] = [{"id": 1, "file_name": "b.png"}]
    labels.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"the picture b\.png is neither in"):
        check_request(CalibrationRequest(labels))


@pytest.mark.parametrize("command", [["calibrate", "a"], ["convert", "a.pth", "--to", "ncnn"]])
def test_more_samples_than_a_bundle_can_record_are_refused(command: list[str]) -> None:
    """The runtime refuses a bundle.json of more than 16 MiB, once all the work is done."""
    box = (-32767.25, -32767.25, 32767.25, 32767.25)
    halves = [Half([], [("f" * 64, shown)] * calibrate.MAX_SAMPLES) for shown in (box, None)]
    arguments = [Samples(half, half, 0, ()).record() for half in halves]  # a pose network's, a detector's
    manifest = {"lineage": [{"step": "quantise", "arguments": each} for each in arguments]}
    assert len(encode(manifest)) < 0.8 * 2**24
    header = Path(__file__).resolve().parents[2] / "runtime_cpp/src/json_reader.h"
    assert "kMaxJsonBytes = 16u << 20;" in header.read_text()
    result = CliRunner().invoke(cli, [*command, "--samples", str(calibrate.MAX_SAMPLES + 1)])
    assert result.exit_code == 2 and f"4<=x<={calibrate.MAX_SAMPLES}" in result.output


def test_a_bundle_with_integers_written_as_2_0_is_calibrated(float_bundle: Path, tmp_path: Path) -> None:
    artifact = artifact_of(float_bundle, "pose")
    assert repr([*artifact.input_shapes.values(), *artifact.output_shapes.values()]) == (
        "[(-1, 3, 32, 24), (-1, 3, 48), (-1, 3, 64)]"
    )
    for number in range(8):
        write_picture(tmp_path / f"{number}.png", np.full((40, 60, 3), number, np.uint8))
    made = make_samples(
        read_pictures(tmp_path), artifact.spec.preprocess, count=4, find_persons=lambda _: [(1, 2, 30, 40)]
    )
    assert made.calibration.tensors[0].shape == (1, 3, 32, 24)
    assert len(run_engine(artifact, made.held_out.tensors)) == 4


@pytest.mark.parametrize("more", [[], ["--calib", "pictures"]])
def test_a_precision_that_is_not_calibrated_is_refused_by_its_name(more: list[str]) -> None:
    with pytest.raises(UsageError, match=r"^unknown precision 'fp16'$") as caught:
        CliRunner().invoke(cli, ["calibrate", "a", "--precision", "fp16", *more], catch_exceptions=False)
    assert caught.value.hint == "choose from: int8, mixed, auto"


def test_the_hint_for_a_one_stage_network_is_something_that_works() -> None:
    with pytest.raises(CalibrationError, match=r"^rtmo: one-stage networks are not calibrated yet") as caught:
        calibrate.refuse_one_stage("rtmo", {"models": {"one_stage": {}}})
    assert caught.value.hint == "convert the checkpoint with --precision fp16"


def test_what_a_bundle_for_a_chip_is_calibrated_from_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr(calibrate, "read_manifest", lambda path: {"backend": "rknn"})
    with pytest.raises(
        UsageError, match="board is for rknn, whose int8 networks are made from another"
    ) as error:
        calibrate.calibrate(Path("board"), CalibrationRequest(tmp_path), out_dir=tmp_path)
    assert error.value.hint == "convert the checkpoint with --to rknn --soc CHIP --precision auto"


@pytest.mark.parametrize("seed", [-1, 2**64, 2**200])
def test_a_seed_beyond_its_limits_is_refused(seed: int, tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    check_request(CalibrationRequest(tmp_path, seed=2**64 - 1))
    with pytest.raises(UsageError, match=f"the seed {seed} is not from 0 to"):
        check_request(CalibrationRequest(tmp_path, seed=seed))
    result = CliRunner().invoke(cli, ["calibrate", "bundle", "--calib", str(tmp_path), "--seed", str(seed)])
    assert result.exit_code == 2


def test_the_persons_to_calibrate_on_are_those_that_the_pipeline_would_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of another label, or less sure than its threshold, a box is none of a person."""
    detected = [
        [1, 2, 30, 40, 0.9, 1], [3, 4, 20, 30, 0.9, 0], [5, 6, 20, 30, 0.25, 1], [7, 8, 9, 10, 0.5, 1],
    ]  # fmt: skip
    pipeline = SimpleNamespace(detect=lambda image: np.array(detected, np.float32))
    monkeypatch.setattr(calibrate, "PosePipeline", lambda bundle, *, threads: pipeline)
    settings = {"person_label": 1, "box_score_threshold": 0.5}
    manifest: dict[str, Any] = {"models": {"detector": {}, "pose": {}}, "pipeline": settings}
    find = calibrate._finder(Path("bundle"), manifest)
    assert find is not None
    assert find(np.zeros((60, 60, 3), np.uint8)) == [(1, 2, 30, 40), (7, 8, 9, 10)]
    assert calibrate._finder(Path("bundle"), {**manifest, "models": {"pose": {}}}) is None


def test_the_folder_and_the_video_labels_of_synth(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(UsageError, match="no pictures in this folder") as caught:
        read_pictures(tmp_path)
    assert caught.value.hint == f"its pictures seem to lie in {tmp_path / 'images'}"
    labels = tmp_path / "video.json"
    images = [{"id": 1, "file_name": "video.mp4#0", "width": 64, "height": 48}]
    labels.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    with pytest.raises(UsageError, match="is neither in") as caught:
        read_pictures(labels)
    assert "labels of a video's frames" in str(caught.value.hint)
