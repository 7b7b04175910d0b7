"""`edgepose eval`: reading labels, every bad input, resuming."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from report_documents import eval_document

from edgepose import log, writers
from edgepose.cli.eval import emit
from edgepose.cli.main import main
from edgepose.errors import UsageError
from edgepose.hashing import sha256_file
from edgepose.skeletons import KEYPOINT_SETS
from edgepose.verify import baseline_job, evaluation, gate, predictions, runtime
from edgepose.verify.dataset import read_dataset
from edgepose.verify.flip_test import require_flip_test
from edgepose.verify.predictions import Recipe, predict
from edgepose.verify.text import accuracy_lines

MakeBundle = Callable[..., Path]
POINTS = KEYPOINT_SETS["coco17"]


def person(identity: int, image_id: int, **members: Any) -> dict[str, Any]:
    places = np.linspace(10, 40, 17)
    keypoints = np.stack([places, places + 2, np.full(17, 2)], axis=1)
    return {
        "id": identity, "image_id": image_id, "category_id": 1, "bbox": [8, 8, 36, 40], "area": 700.0,
        "iscrowd": 0, "num_keypoints": 17, "keypoints": keypoints.ravel().tolist(), **members,
    }  # fmt: skip


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give annotations of three pictures, and keep the results' cache here."""
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    for number in range(3):
        image = np.random.default_rng(number).integers(0, 255, (60, 80, 3), np.uint8)
        (tmp_path / "images").mkdir(exist_ok=True)
        writers.write_picture(tmp_path / "images" / f"{number}.png", image)
    document = {
        "images": [{"id": n + 1, "file_name": f"{n}.png", "width": 80, "height": 60} for n in range(3)],
        "annotations": [person(11, 1), person(12, 1, bbox=[20, 10, 30, 45]), person(13, 2)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(POINTS.keypoints)}],
    }
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(document))
    return path


def change(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def evaluate(bundle: Path, labels: Path, *more: str) -> int:
    images = str(labels.parent / "images")
    return main(["eval", str(bundle), "--data", str(labels), "--images", images, "--processes", "1", *more])


def test_figures_and_document(
    fake_bundle: MakeBundle, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, out = fake_bundle("pose"), labelled.parent / "eval.json"
    assert evaluate(bundle, labelled, "--reference", str(bundle), "--json", str(out)) == 0
    text, err = capsys.readouterr()
    assert "3 persons (labelled boxes)" in text and "left_wrist" in text and "one person" not in err
    document = json.loads(out.read_text())
    assert document["format"] == "edgepose-eval"
    assert document["data"]["images"] == 3 and document["data"]["labelled_keypoints"] == 51
    # The stand-in puts the points on the box's diagonal: the label of person 11 runs beside it.
    first = document["accuracy"]["per_keypoint"][0]
    assert first["name"] == "nose" and first["compared"] == 3
    assert document["drift"]["px"] == {"mean": 0.0, "p95": 0.0, "max": 0.0}
    assert evaluate(bundle, labelled, "--json", "-") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["speed"]["from_cache"] == 3 and again["drift"] is None
    assert again["accuracy"] == document["accuracy"] and again["data"] == document["data"]


def test_several_processes_give_the_same(
    labelled: Path, bundles_v1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "_CHUNK_PICTURES", 1)  # else there is work for one process only
    data = read_dataset(labelled, labelled.parent / "images", POINTS)
    one = predict(bundles_v1 / "pose", data, Recipe(), processes=1)
    import shutil

    shutil.rmtree(labelled.parent / "cache")
    many = predict(bundles_v1 / "pose", data, Recipe(), processes=2)
    assert np.array_equal(one.keypoints, many.keypoints) and one.picture_digests == many.picture_digests
    assert (one.processes, many.processes) == (1, 2)
    with pytest.raises(UsageError, match="'one_stage' and takes no boxes"):
        predict(bundles_v1 / "one_stage", data, Recipe(), processes=2)


def test_an_earlier_run_counts_for_the_same_engine_alone(
    labelled: Path, bundles_v1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = read_dataset(labelled, labelled.parent / "images", POINTS)
    bundle = bundles_v1 / "pose"
    assert predict(bundle, data, processes=1).from_cache == 0
    assert predict(bundle, data, processes=1).from_cache == 3
    assert predict(bundle, data, processes=1, use_cache=False).from_cache == 0
    monkeypatch.setattr(predictions, "runtime_digest", lambda: "another engine")
    assert predict(bundle, data, processes=1).from_cache == 0


def test_another_opencv_is_another_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = runtime.runtime_digest.__wrapped__
    before = digest()
    assert digest() == before
    monkeypatch.setattr(runtime, "load_cv2", lambda: SimpleNamespace(getBuildInformation=lambda: "another"))
    assert digest() != before


def test_a_flip_test_shows_every_person_twice(
    labelled: Path, bundles_v1: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = read_dataset(labelled, labelled.parent / "images", POINTS)
    bundle, out = bundles_v1 / "pose", labelled.parent / "eval.json"
    once, twice, again = (
        predict(bundle, data, Recipe(flip_test=flip_test), processes=1) for flip_test in (False, True, True)
    )
    assert (once.from_cache, twice.from_cache, again.from_cache) == (0, 0, 3)
    assert np.array_equal(once.boxes, twice.boxes) and np.array_equal(twice.keypoints, again.keypoints)
    assert not np.array_equal(once.keypoints, twice.keypoints)
    images = str(labelled.parent / "images")
    command = ["eval", str(bundle), "--images", images, "--reference", str(bundle), "--json", str(out)]
    assert main([*command, "--flip-test"]) == 0
    assert "3 persons (detected boxes, flip test)" in capsys.readouterr().out
    assert json.loads(out.read_text())["settings"]["flip_test"] is True
    assert main(command) == 0
    assert "3 persons (detected boxes)" in capsys.readouterr().out


def test_networks_that_are_published_without_a_flip_test_have_none(
    labelled: Path, bundles_v1: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_stage, images = str(bundles_v1 / "one_stage"), str(labelled.parent / "images")
    assert main(["eval", one_stage, "--images", images, "--reference", one_stage, "--flip-test"]) == 2
    assert "one_stage: a one-stage network has no flip test" in capsys.readouterr().err
    manifest = json.loads((bundles_v1 / "pose" / "bundle.json").read_text())
    manifest["models"]["pose"]["head"]["z_range"] = 2.0
    with pytest.raises(UsageError, match="a 3-D network has no flip test"):
        require_flip_test(Path("deep"), manifest)


def test_persons_of_one_stage_networks_are_ranked_by_their_boxes(labelled: Path, bundles_v1: Path) -> None:
    data = read_dataset(labelled, labelled.parent / "images", POINTS)
    found = predict(bundles_v1 / "one_stage", data, Recipe(boxes="detected"), processes=1)
    assert len(found.boxes) and np.array_equal(found.scores(), found.boxes[:, 4])
    found = predict(bundles_v1 / "pose", data, processes=1)
    assert not np.array_equal(found.scores(), found.boxes[:, 4])


def test_the_text_names_persons_that_were_not_found(bundles_v1: Path) -> None:
    accuracy = eval_document(bundles_v1 / "pose")["accuracy"]
    assert "2 labelled persons were not found" in accuracy_lines(accuracy)
    assert "not found" not in " ".join(accuracy_lines({**accuracy, "unmatched_persons": 0}))


def test_labels_with_other_names_are_taken_in_order(
    fake_bundle: MakeBundle, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(labelled, lambda d: d["categories"][0].update(keypoints=[f"point {n}" for n in range(17)]))
    assert evaluate(fake_bundle("pose"), labelled) == 0
    assert (
        "point 0 is taken as nose, and 16 more, by their order: the network (coco17)"
        in capsys.readouterr().err
    )


OTHERS = [f"point {n}" for n in range(17)]


@pytest.mark.parametrize(
    ("first", "second", "ids"),
    [
        ({"name": "person", "keypoints": OTHERS}, {"keypoints": list(POINTS.keypoints)}, [13]),
        ({"keypoints": OTHERS}, {"name": "person", "keypoints": OTHERS}, [13]),
        ({"name": "person", "keypoints": OTHERS[:16]}, {"keypoints": OTHERS}, [13]),
        ({"keypoints": OTHERS}, {"keypoints": OTHERS}, [11, 12, 13]),
        ({"keypoints": OTHERS}, {"keypoints": ["nose", *OTHERS[1:]]}, [11, 12, 13]),
        ({"keypoints": list(POINTS.keypoints)}, {"keypoints": list(POINTS.keypoints)}, [11, 12, 13]),
    ],
    ids=["names", "person", "count", "same count", "same count, other names", "same names"],
)
def test_of_several_categories_the_likest_counts(
    labelled: Path, first: dict[str, Any], second: dict[str, Any], ids: list[int]
) -> None:
    def two(document: dict[str, Any]) -> None:
        document["categories"] = [{"id": 1, "name": "a", **first}, {"id": 2, "name": "b", **second}]
        document["annotations"][2]["category_id"] = 2

    change(labelled, two)
    data = read_dataset(labelled, labelled.parent / "images", POINTS)
    assert data.annotation_ids.tolist() == ids


def two_species(document: dict[str, Any]) -> None:
    names = list(POINTS.keypoints)
    document["categories"] = [{"id": n, "name": f"species {n}", "keypoints": names} for n in (1, 2)]
    document["annotations"][2]["category_id"] = 2


def test_equally_like_categories_are_evaluated_as_one(
    fake_bundle: MakeBundle, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = fake_bundle("pose")
    assert evaluate(bundle, labelled, "--json", "-") == 0
    one = json.loads(capsys.readouterr().out)
    change(labelled, two_species)
    assert evaluate(bundle, labelled, "--json", "-") == 0
    two = json.loads(capsys.readouterr().out)
    assert two["accuracy"] == one["accuracy"] and two["data"]["persons"] == 3


def test_the_order_of_every_category_is_looked_at(labelled: Path) -> None:
    def turned(document: dict[str, Any]) -> None:
        two_species(document)
        document["categories"][0]["keypoints"] = OTHERS
        document["categories"][1]["keypoints"] = ["left_eye", *OTHERS[1:]]

    change(labelled, turned)
    with pytest.raises(UsageError, match="in another order") as refused:
        read_dataset(labelled, labelled.parent / "images", POINTS)
    assert "only where the bundle's names were assumed" in str(refused.value.hint)


def test_annotations_of_none_of_several_categories_are_told(labelled: Path) -> None:
    def elsewhere(document: dict[str, Any]) -> None:
        two_species(document)
        for annotation in document["annotations"]:
            annotation["category_id"] = 7

    change(labelled, elsewhere)
    with pytest.raises(UsageError, match=r"none of its 3 annotations is of the categories 1, 2$"):
        read_dataset(labelled, labelled.parent / "images", POINTS)


def test_a_baseline_of_one_category_is_none_of_several(labelled: Path) -> None:
    """The same file and pictures, but other persons of it."""
    digests = []
    for edit in (lambda document: None, two_species):
        change(labelled, edit)
        digests.append(
            read_dataset(labelled, labelled.parent / "images", POINTS).digest == sha256_file(labelled)
        )
    assert digests == [True, False]


def test_names_that_are_not_utf8_are_escaped(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    emit({"image": name}, tmp_path / "e.json", lambda document: "")
    assert b"caf\\udce9.png" in (tmp_path / "e.json").read_bytes()
    assert json.loads((tmp_path / "e.json").read_text(encoding="utf-8")) == {"image": name}


@pytest.mark.parametrize("names", ["one_stage pose", "pose one_stage", "one_stage"])
def test_boxes_for_rtmo_are_refused_before_anything_runs(
    labelled: Path,
    bundles_v1: Path,
    names: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError

    def three_points(document: dict[str, Any]) -> None:
        manifest = json.loads((bundles_v1 / "pose" / "bundle.json").read_text())
        document["categories"][0]["keypoints"] = manifest["models"]["pose"]["head"]["points"]["keypoints"]
        for item in document["annotations"]:
            item["keypoints"] = item["keypoints"][:9]

    change(labelled, three_points)
    first, *second = (str(bundles_v1 / name) for name in names.split())
    reference = ["--reference", *second] if second else []
    data = ["--data", str(labelled), "--images", str(labelled.parent / "images"), "--boxes", "labelled"]
    commands = [["eval", first, *reference]]
    commands += [["gate", first, *reference]] if second else [["baseline", "record", first, "-o", "b.json"]]
    for module in (evaluation, gate, baseline_job):
        monkeypatch.setattr(module, "predict", never)
    for command in commands:
        assert main([*command, *data]) == 2
        err = capsys.readouterr().err
        assert "one_stage: the pipeline is 'one_stage' and takes no boxes\nhint: give --boxes detected" in err


def exchange(names: list[str]) -> None:
    names[0], names[5], names[6] = "Nose of a person", "Right-Shoulder", "Left Shoulder"


BAD = [
    (
        lambda d: d["images"].append({"id": 9, "file_name": "none.png"}),
        "1 of 4 pictures are missing: none.png",
    ),
    (
        lambda d: d["images"].append({"id": 9, "file_name": f"sub/{d['images'][0]['file_name']}"}),
        "are one file, ",
    ),
    (lambda d: d["annotations"].clear(), "holds no persons"),
    (lambda d: d["categories"][0]["keypoints"].pop(), "labels 16 keypoints, the network finds 17"),
    (lambda d: d["annotations"][0]["keypoints"].pop(), "annotation 11 has keypoints of 50 values, not 17"),
    (lambda d: d["annotations"][1].update(id=11), "annotation id 11 is there twice"),
    (lambda d: d["images"][1].update(id=1), "picture id 1 is there twice"),
    (lambda d: d["annotations"][1].update(id=2**63), "annotation id 9223372036854775808 has more than 64"),
    (lambda d: d["annotations"][0].update(image_id=[1]), "annotation 11 is of picture [1], which is not"),
    (lambda d: d["categories"][0].update(keypoints=17), "keypoints of the category 1 is no list of names"),
    (lambda d: d["annotations"][0].update(area=10**400), "annotation 11 has the area 1000"),
    (
        lambda d: d["annotations"][0].update(image_id=77),
        "annotation 11 is of picture 77, which is not listed",
    ),
    (lambda d: d["annotations"][0].update(bbox=[1, 1, 0, 5]), "annotation 11 has an empty box"),
    (lambda d: d["annotations"][0].update(bbox=[1e308, 1, 1e308, 5]), "annotation 11 has a box beyond every"),
    (lambda d: d["annotations"][0].update(category_id="1"), 'annotation 11 has the category_id "1"'),
    (lambda d: d["annotations"][0].update(iscrowd="0"), 'annotation 11 has the iscrowd "0"'),
    (
        lambda d: d["images"].append({"id": 9, "file_name": d["images"][0]["file_name"]}),
        "is there twice, under two ids",
    ),
    (lambda d: d["annotations"][0].update(bbox=[1, 1, 5]), "annotation 11 has no bbox of four numbers"),
    (lambda d: d["annotations"][0].pop("id"), "an annotation of picture 1 lacks its id"),
    (lambda d: d["annotations"][0].update(id="x1"), 'of picture 1 has the id "x1"; ids are whole numbers'),
    (lambda d: d["images"][0].update(id="x1"), 'the picture 0.png has the id "x1"; ids are whole numbers'),
    (lambda d: d["images"][0].pop("id"), "a picture lacks its id or file_name"),
    (lambda d: d["categories"][0]["keypoints"].reverse(), "in another order (first at 'right_ankle')"),
    (lambda d: exchange(d["categories"][0]["keypoints"]), "in another order (first at 'Right-Shoulder')"),
    (
        lambda d: d["categories"][0]["keypoints"].__setitem__(0, "LeftEye"),
        "in another order (first at 'LeftEye')",
    ),
    (lambda d: d.update(categories=[1]), "categories is not a list of categories with ids"),
    (lambda d: d.update(categories={}), "categories is not a list of categories with ids"),
    (lambda d: d["images"].append(7), "a picture lacks its id or file_name: 7"),
    (lambda d: d["annotations"].append(7), "an annotation lacks image_id: 7"),
    (lambda d: d.pop("images"), "lacks the lists images and annotations"),
    (lambda d: [a.update(iscrowd=1) for a in d["annotations"]], "has no labelled keypoints"),
]


@pytest.mark.parametrize(("edit", "message"), BAD, ids=[message[:30] for _, message in BAD])
def test_bad_labels_are_named(
    fake_bundle: MakeBundle,
    labelled: Path,
    capsys: pytest.CaptureFixture[str],
    edit: Callable[[dict[str, Any]], Any],
    message: str,
) -> None:
    change(labelled, edit)
    out = labelled.parent / "eval.json"
    assert evaluate(fake_bundle("pose"), labelled, "--json", str(out)) == 2
    err = capsys.readouterr().err
    assert message in err and "hint: " in err and "Traceback" not in err
    assert not out.exists()


@pytest.mark.parametrize("boxes", ["labelled", "detected"])
def test_labels_in_other_pixels_are_told_whether_run_or_kept(
    fake_bundle: MakeBundle, labelled: Path, boxes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = fake_bundle("top_down")
    assert evaluate(bundle, labelled, "--boxes", boxes) == 0 and "outside" not in capsys.readouterr().err

    def turned(document: dict[str, Any]) -> None:
        document["images"][0].update(width=60, height=80)
        document["annotations"][0].update(bbox=[10, 60, 20, 20])  # touches the lower border
        document["annotations"][1].update(iscrowd=1, bbox=[90, 90, 5, 5])

    change(labelled, turned)
    for _ in range(2):
        log.warning_once.cache_clear()  # as in another process
        assert evaluate(bundle, labelled, "--boxes", boxes, "--reference", str(bundle)) == 0
        (told,) = (line for line in capsys.readouterr().err.splitlines() if "outside" in line)
        assert f"{labelled}: the boxes of 1 of 2 persons lie outside their pictures" in told
        assert "annotation 11 on 0.png of 80x60 pixels, which the file calls 60x80; are the labels" in told
    assert evaluate(bundle, labelled, "--boxes", boxes) == 0  # another bundle of the same process
    assert "outside" not in capsys.readouterr().err


def test_outputs_never_replace_an_input(
    fake_bundle: MakeBundle, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, before = fake_bundle("pose"), labelled.read_bytes()
    for target, text in (
        (labelled, "--json would overwrite the input"),
        (bundle / "eval.json", "would write into a bundle"),
        (labelled.parent, "is a folder"),
        (labelled.parent / "none" / "eval.json", "there is no folder"),
    ):
        assert evaluate(bundle, labelled, "--json", str(target)) == 2
        assert text in capsys.readouterr().err
    assert labelled.read_bytes() == before
    gate = ["gate", str(bundle), "--reference", str(bundle), "--images", str(labelled.parent / "images")]
    both = str(labelled.parent / "gate.out")
    assert main([*gate, "--json", both, "--junit", both]) == 2
    assert main([*gate, "--confidence", "nan"]) == 2
    assert not Path(both).exists()


def test_a_picture_that_is_none(
    fake_bundle: MakeBundle, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (labelled.parent / "images" / "1.png").write_bytes(b"no picture")
    assert evaluate(fake_bundle("pose"), labelled) == 2
    assert "1.png: not a picture" in capsys.readouterr().err


def test_a_detector_alone_is_refused(
    fake_bundle: MakeBundle, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(fake_bundle("detect"), labelled) == 2
    assert "finds boxes, not keypoints" in capsys.readouterr().err


def test_without_labels_only_a_reference_helps(
    fake_bundle: MakeBundle, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, images = str(fake_bundle("pose")), str(labelled.parent / "images")
    assert main(["eval", bundle, "--images", images]) == 2
    assert "nothing to measure" in capsys.readouterr().err
    assert main(["eval", bundle, "--images", images, "--reference", bundle, "--json", "-"]) == 0
    text, err = capsys.readouterr()
    document = json.loads(text)
    assert "each picture is taken as one person" in err
    assert (document["accuracy"], document["drift"]["persons"]) == (None, 3)


def test_a_bundle_with_a_detector_is_not_said_to_have_none(
    fake_bundle: MakeBundle, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(fake_bundle(), labelled, "--boxes", "detected") == 0
    assert "one person" not in capsys.readouterr().err
