"""Keypoint sets: the known ones are sound, files are checked, checkpoints are believed as far as they say."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.errors import UsageError
from edgepose.skeletons import (
    KEYPOINT_SETS,
    choose_keypoints,
    keypoints_argument,
    numbered_points,
    read_keypoint_file,
)

COUNTS = {
    "coco17": 17,
    "halpe26": 26,
    "wholebody133": 133,
    "hand21": 21,
    "lapa106": 106,
    "ap10k17": 17,
    "crowdpose14": 14,
}


def test_all_known_sets_are_there() -> None:
    assert {name: len(points.keypoints) for name, points in KEYPOINT_SETS.items()} == COUNTS


@pytest.mark.parametrize("name", COUNTS)
def test_known_sets_are_sound(name: str) -> None:
    points = KEYPOINT_SETS[name]
    count = COUNTS[name]
    assert len(set(points.keypoints)) == count
    assert len(points.sigmas) == count and all(0.005 < sigma < 0.11 for sigma in points.sigmas)
    for a, b in points.skeleton:
        assert a != b and 0 <= a < count and 0 <= b < count
    flipped = [index for pair in points.flip_pairs for index in pair]
    assert len(set(flipped)) == len(flipped) and all(0 <= index < count for index in flipped)


@pytest.mark.parametrize("name", ["coco17", "halpe26", "wholebody133", "crowdpose14", "ap10k17"])
def test_flip_pairs_swap_left_and_right(name: str) -> None:
    """Where names tell sides, pairs are exactly left and right of the same part."""
    points = KEYPOINT_SETS[name]

    def mirrored(text: str) -> str:
        for left, right in (("left_", "right_"), ("L_", "R_")):
            if text.startswith((left, right)):
                return right + text[len(left) :] if text.startswith(left) else left + text[len(right) :]
        return text

    sided = {
        frozenset((i, points.keypoints.index(mirrored(n))))
        for i, n in enumerate(points.keypoints)
        if mirrored(n) != n
    }
    assert {frozenset(pair) for pair in points.flip_pairs if "face" not in points.keypoints[pair[0]]} == sided


def test_golden_packs_agree(shared_dir: Path) -> None:
    """Flip pairs and sigmas of the original data sets, as the packs state them."""
    names = {17: "coco17", 26: "halpe26", 133: "wholebody133", 21: "hand21"}
    checked = set()
    for path in (shared_dir / "goldens").glob("*.npz"):
        with np.load(path) as pack:
            dataset = json.loads(pack["meta"].tobytes()).get("dataset") if "meta" in pack else None
        if not dataset:
            continue
        points = KEYPOINT_SETS[names[dataset["num_keypoints"]]]
        pairs = [(i, j) for i, j in enumerate(dataset["flip_indices"]) if i < j]
        assert sorted(points.flip_pairs) == pairs
        np.testing.assert_allclose(points.sigmas, dataset["sigmas"], atol=1e-6)
        checked.add(points.name)
    assert checked == set(names.values())


def mirror(name: str) -> list[int]:
    """Give a known set's flip permutation."""
    indices = list(range(COUNTS[name]))
    for a, b in KEYPOINT_SETS[name].flip_pairs:
        indices[a], indices[b] = b, a
    return indices


@pytest.mark.parametrize(
    ("count", "stated", "expected"),
    [
        (17, {}, "coco17"),
        (133, {}, "wholebody133"),
        (17, {"dataset_name": "coco"}, "coco17"),
        (17, {"dataset_name": "ap10k"}, "ap10k17"),
        (17, {"dataset_name": "AP-10K", "flip_indices": mirror("ap10k17")}, "ap10k17"),
        (17, {"dataset_name": "unheard of", "flip_indices": mirror("ap10k17")}, "ap10k17"),
        (17, {"dataset_name": "coco", "flip_indices": list(range(17))}, "points17"),
        (133, {"dataset_name": "h3wb", "flip_indices": mirror("wholebody133")}, "wholebody133"),
        (21, {"dataset_name": "coco_wholebody_hand"}, "hand21"),
        (106, {"dataset_name": "lapa", "sigmas": np.zeros(0)}, "lapa106"),
        (14, {"dataset_name": "crowdpose"}, "crowdpose14"),
        (20, {"dataset_name": "coco"}, "points20"),
        (17, {"flip_indices": "nonsense", "sigmas": "nonsense", "keypoint_id2name": 3}, "coco17"),
    ],
)
def test_choice(count: int, stated: dict[str, Any], expected: str) -> None:
    points, notes = choose_keypoints(count, {"dataset_meta": stated})
    assert points.name == expected
    assert len(points.keypoints) == count
    assert bool(notes) == (
        expected.startswith("points")
        or expected == "lapa106"
        or "dataset_name" not in stated
        or "unheard" in str(stated)
    )


def test_sigmas_that_nobody_published_are_said_to_be_assumed() -> None:
    lapa = {"dataset_meta": {"dataset_name": "lapa"}}
    for meta, asked in ((lapa, None), ({}, None), ({}, KEYPOINT_SETS["lapa106"])):
        assert "sigmas of lapa106 assumed" in " ".join(choose_keypoints(106, meta, asked=asked)[1])
    stated = {"dataset_meta": {"dataset_name": "lapa", "sigmas": np.full(106, 0.03)}}
    points, notes = choose_keypoints(106, stated)
    assert points.sigmas[0] == pytest.approx(0.03) and notes == ()


def test_choice_without_meta() -> None:
    assert choose_keypoints(26, {})[0] == KEYPOINT_SETS["halpe26"]
    assert choose_keypoints(9, {"dataset_meta": None})[0] == numbered_points(9)


def test_own_data_set_is_taken_whole() -> None:
    """What mmpose writes about a data set of one's own is enough for names, links, pairs and sigmas."""
    stated = {
        "dataset_name": "robot",
        "keypoint_id2name": {0: "base", 1: "left", 2: "right"},
        "skeleton_links": [(0, 1), (0, 2), (0, 9), (1, 1)],
        "flip_indices": [0, 2, 1],
        "sigmas": np.array([0.1, 0.2, 0.2], np.float32),
    }
    points, notes = choose_keypoints(3, {"dataset_meta": stated})
    assert points.name == "robot3" and points.keypoints == ("base", "left", "right")
    assert points.skeleton == ((0, 1), (0, 2)) and points.flip_pairs == ((1, 2),)
    assert points.sigmas == (0.1, 0.2, 0.2) and notes == ()


@pytest.mark.parametrize(("dataset", "name"), [("coco", "custom-coco17"), ("robot", "robot17")])
def test_own_names_under_the_name_of_another_data_set_are_no_known_set(dataset: str, name: str) -> None:
    stated = {"dataset_name": dataset, "keypoint_id2name": {n: f"joint {n}" for n in range(17)}}
    points, _ = choose_keypoints(17, {"dataset_meta": stated})
    assert points.name == name and points.keypoints[16] == "joint 16"
    coco = dict(enumerate(KEYPOINT_SETS["coco17"].keypoints))
    stated = {"dataset_name": "coco", "keypoint_id2name": coco}
    assert choose_keypoints(17, {"dataset_meta": stated})[0] == KEYPOINT_SETS["coco17"]


def test_the_sigmas_of_the_loss_stand_in_for_those_of_the_data_set() -> None:
    trained = np.full(17, 0.04, np.float32)
    for meta in ({}, {"dataset_meta": {"dataset_name": "coco", "sigmas": np.zeros(0)}}):
        assert choose_keypoints(17, meta, trained_sigmas=trained)[0].sigmas == (0.04,) * 17
    stated = {"dataset_meta": {"sigmas": [0.06] * 17}}
    assert choose_keypoints(17, stated, trained_sigmas=trained)[0].sigmas == (0.06,) * 17
    for wrong in (np.zeros(17), np.full(16, 0.04), None):
        assert choose_keypoints(17, {}, trained_sigmas=wrong)[0] == KEYPOINT_SETS["coco17"]


@pytest.mark.parametrize(
    "sigmas",
    [
        np.array(0.1),
        np.zeros((17, 2)),
        [np.zeros(2)] * 17,
        [10**400] * 17,
        [1 + 2j] * 17,
        [None] * 17,
        {},
        "a",
    ],
    ids=lambda value: type(value).__name__,
)
def test_sigmas_that_are_no_numbers_are_not_taken(sigmas: Any) -> None:
    stated = {"dataset_name": np.array(["a", "b"]), "sigmas": sigmas}
    assert choose_keypoints(17, {"dataset_meta": stated})[0] == KEYPOINT_SETS["coco17"]


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[31m", "\ud800", "a" * 1001])
def test_names_that_no_bundle_holds_are_not_taken(name: str, tmp_path: Path) -> None:
    stated = {"keypoint_id2name": {0: "a", 1: name}, "dataset_name": name * 50}
    assert choose_keypoints(2, {"dataset_meta": stated})[0] == numbered_points(2)
    named = {"keypoint_id2name": {0: "a", 1: "b"}, "dataset_name": "x" * 5000}
    assert len(choose_keypoints(2, {"dataset_meta": named})[0].name) == 101
    for document in ({"keypoints": [name]}, {"name": name, "keypoints": ["a"]}):
        (tmp_path / "a.json").write_text(json.dumps(document))
        with pytest.raises(UsageError, match="1 to 1000 characters"):
            read_keypoint_file(tmp_path / "a.json")


def test_stated_sigmas_win() -> None:
    sigmas = [0.05] * 17
    points, _ = choose_keypoints(17, {"dataset_meta": {"dataset_name": "coco", "sigmas": sigmas}})
    assert points.sigmas == tuple(sigmas) and points.keypoints == KEYPOINT_SETS["coco17"].keypoints


def test_asked_set_must_fit() -> None:
    asked = numbered_points(4)
    assert choose_keypoints(4, {}, asked=asked) == (asked, ())
    with pytest.raises(UsageError, match="points4 has 4 points, the network 5"):
        choose_keypoints(5, {}, asked=asked)


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_file(tmp_path: Path) -> None:
    document = {
        "name": "crane",
        "keypoints": ["foot", "left", "right"],
        "skeleton": [[0, 1], ["foot", "right"]],
        "flip_pairs": [["left", "right"]],
        "sigmas": [0.1, 0.05, 0.05],
    }
    points = read_keypoint_file(write(tmp_path / "a.json", document))
    assert points.name == "crane" and points.keypoints == ("foot", "left", "right")
    assert points.skeleton == ((0, 1), (0, 2)) and points.flip_pairs == ((1, 2),)
    assert points.sigmas == (0.1, 0.05, 0.05)
    short = keypoints_argument(str(write(tmp_path / "tip.json", {"keypoints": ["tip"]})))
    assert short.name == "tip" and short.sigmas == () and short.skeleton == ()
    completed, notes = choose_keypoints(1, {}, asked=short)
    assert completed.sigmas == (0.05,) and notes == (
        "sigmas of tip assumed: 0.05 each; OKS, AP and tracking hang on them",
    )
    assert keypoints_argument("ap10k17") is KEYPOINT_SETS["ap10k17"]


def test_what_a_file_leaves_out_is_the_checkpoint_s(tmp_path: Path) -> None:
    stated = {"dataset_meta": {"flip_indices": [0, 2, 1], "sigmas": np.array([0.1, 0.02, 0.02], np.float32)}}
    named = read_keypoint_file(write(tmp_path / "a.json", {"keypoints": ["foot", "left", "right"]}))
    points, notes = choose_keypoints(3, stated, asked=named)
    assert points.keypoints == ("foot", "left", "right") and notes == ()
    assert points.sigmas == (0.1, 0.02, 0.02) and points.flip_pairs == ()
    own = dataclasses.replace(named, sigmas=(0.3, 0.3, 0.3), flip_pairs=((0, 1),))
    assert choose_keypoints(3, stated, asked=own) == (own, ())


def test_names_in_another_order_than_the_checkpoint_s_are_noted() -> None:
    """The network finds its points in its own order, whatever they are called."""
    stated = {"dataset_meta": {"dataset_name": "tool", "keypoint_id2name": {0: "tip", 1: "left", 2: "right"}}}
    own, _ = choose_keypoints(3, stated)
    for names, told in ((("left", "right", "tip"), True), (("tip", "left", "right"), False), ("abc", False)):
        asked = dataclasses.replace(own, name="mine", keypoints=tuple(names))
        points, notes = choose_keypoints(3, stated, asked=asked)
        note = "mine calls left what the checkpoint's dataset_meta calls tip: it renames"
        assert points == asked and notes == ((note,) if told else ())


@pytest.mark.parametrize(
    ("document", "part"),
    [
        ([], "must be an object"),
        ({}, '"keypoints" must be a list of names'),
        ({"keypoints": []}, '"keypoints" must be a list of names'),
        ({"keypoints": ["a", 1]}, '"keypoints" must be a list of names'),
        ({"keypoints": ["a", "a"]}, "'a' twice"),
        ({"keypoints": ["a"], "edges": []}, "unknown member 'edges'"),
        ({"keypoints": ["a"], "name": ""}, '"name"'),
        ({"keypoints": ["a", "b"], "skeleton": 3}, '"skeleton" must be a list of pairs'),
        ({"keypoints": ["a", "b"], "skeleton": [[0]]}, "is not a pair"),
        ({"keypoints": ["a", "b"], "skeleton": [[0, 2]]}, "refers to 2"),
        ({"keypoints": ["a", "b"], "skeleton": [[0, True]]}, "refers to True"),
        ({"keypoints": ["a", "b"], "skeleton": [["a", "c"]]}, "refers to 'c'"),
        ({"keypoints": ["a", "b"], "flip_pairs": [[1, 1]]}, "pairs 'b' with itself"),
        ({"keypoints": ["a", "b", "c"], "flip_pairs": [[0, 1], [1, 2]]}, "holds 'b' twice"),
        ({"keypoints": ["a", "b"], "sigmas": [0.1]}, '"sigmas" must be 2 positive numbers'),
        ({"keypoints": ["a"], "sigmas": [0]}, '"sigmas" must be 1 positive numbers'),
        ({"keypoints": ["a"], "sigmas": [26]}, '"sigmas" must be 1 positive numbers up to 10'),
        ({"keypoints": [f"p{n}" for n in range(1025)]}, "names 1025 points, over the limit of 1024"),
        ({"keypoints": ["a"], "sigmas": [float("nan")]}, '"sigmas" must be 1 positive numbers'),
        ({"keypoints": ["a"], "sigmas": ["0.1"]}, '"sigmas" must be 1 positive numbers'),
    ],
)
def test_bad_files(document: Any, part: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_keypoint_file(write(tmp_path / "a.json", document))
    assert part in str(caught.value) and "a.json" in str(caught.value) and caught.value.hint


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file") as caught:
        keypoints_argument(str(tmp_path / "none.json"))
    assert caught.value.hint is not None and "halpe26" in caught.value.hint
    with pytest.raises(UsageError, match="cannot be read"):
        read_keypoint_file(tmp_path)
    (tmp_path / "a.json").write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match="is not JSON"):
        read_keypoint_file(tmp_path / "a.json")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_keypoint_file(tmp_path / "b.json")


def test_an_unknown_name_of_keypoints(tmp_path: Path) -> None:
    for text, message, hint in (
        ("coco18", "coco18: no known set of keypoints, and no such file", "give one of coco17, halpe26, "),
        (str(tmp_path), "cannot be read as a keypoint file: Is a directory", "give a JSON file, or one of "),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            keypoints_argument(text)
        assert caught.value.hint and caught.value.hint.startswith(hint)
