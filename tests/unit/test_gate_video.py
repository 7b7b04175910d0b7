"""Jitter, lag and identity switches between two runs over a video, on tracks whose motion is known."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.bundle.manifest import MANIFEST_NAME, encode
from edgepose.bundle.tracking import tracking_member
from edgepose.errors import UsageError
from edgepose.verify.gate import GateRequest, gate
from edgepose.verify.gate_limits import limits_for
from edgepose.verify.predictions import Predictions
from edgepose.verify.text import video_line, what_decides
from edgepose.verify.video import Motion, Tracks, compare, track, video_checks, video_member
from edgepose.writers import open_video, write_picture

Floats = NDArray[np.float64]
FPS, SECONDS, PERSONS = 10.0, 12, 3
FRAMES = int(FPS) * SECONDS


def tracks(
    change: Callable[[Floats, NDArray[np.int64]], None] | None = None, noise_px: float = 0.1
) -> Tracks:
    """Let three people swing past each other; change (F, P, K, 3) points and (F, P) ids."""
    random = np.random.default_rng(0)
    time = np.arange(FRAMES) / FPS
    corner = np.stack([np.full((FRAMES, PERSONS), 0.0), np.full((FRAMES, PERSONS), 50.0)], axis=2)
    corner[..., 0] = np.arange(PERSONS) * 200 + 40 * np.sin(time[:, None] + np.arange(PERSONS))
    places = random.uniform(10, 90, (PERSONS, 17, 2))
    points = np.zeros((FRAMES, PERSONS, 17, 3))
    points[..., :2] = corner[:, :, None] + places
    points[..., :2] += random.normal(0, noise_px, (*points.shape[:-1], 2))
    points[..., 2] = 0.8
    ids = np.tile(np.arange(1, PERSONS + 1), (FRAMES, 1))
    if change:
        change(points, ids)
    boxes = np.concatenate([corner, corner + 100, np.ones((FRAMES, PERSONS, 1))], axis=2)
    persons = Predictions(
        picture_of=np.repeat(np.arange(FRAMES), PERSONS),
        person_of=np.full(FRAMES * PERSONS, -1),
        boxes=boxes.reshape(-1, 5),
        keypoints=points.reshape(-1, 17, 3),
        input_scale=np.full(FRAMES * PERSONS, 2.0),
        picture_digests=(),
    )
    return Tracks(persons, ids.ravel(), FRAMES, FPS, {"smoothing": {"min_cutoff_hz": 0.6}}, seen=0.3)


def checks(reference: Tracks, candidate: Tracks, precision: str = "fp16") -> dict[str, Any]:
    found = video_checks(
        compare(reference, candidate), limits_for(precision), samples=500, confidence=0.95, seed=0
    )
    return {check.name: check for check in found}


def test_an_equal_run_passes_with_zeros() -> None:
    found = checks(tracks(), tracks())
    assert set(found) == {"video_unmatched", "video_added", "id_switches", "jitter", "lag"}
    assert all(check.estimate == 0 for check in found.values())
    assert found["jitter"].verdict == found["lag"].verdict == "PASS"
    # Twelve seconds do not show that nobody would be lost in others.
    check = found["video_unmatched"]
    assert check.verdict == "INCONCLUSIVE" and check.high == pytest.approx(100 * (1 - 0.05 ** (1 / 12)))
    assert check.needed(40) == 149 and not check.may_exceed


def test_enough_seconds_pass() -> None:
    for seconds, verdict in ((148, "INCONCLUSIVE"), (149, "PASS")):
        some, none = np.full(seconds, 30.0), np.zeros(seconds)
        motion = Motion(some, none, none, some, some, none, np.zeros((seconds, 2)), none, none, none, 0)
        found = video_checks(motion, limits_for("fp16"), samples=200, confidence=0.95, seed=0)
        assert {check.name: check.verdict for check in found} == {
            "video_unmatched": verdict, "video_added": verdict, "id_switches": "PASS",
        }  # fmt: skip


def test_seconds_that_show_nobody_do_not_count() -> None:
    """Of 20 seconds 7 have persons: 149 that have them are about 426 in all."""
    some, none = np.where(np.arange(20) < 7, 30.0, 0.0), np.zeros(20)
    motion = Motion(some, none, none, some, some, none, np.zeros((20, 2)), none, none, none, 0)
    check = video_checks(motion, limits_for("fp16"), samples=200, confidence=0.95, seed=0)[0]
    assert check.high == pytest.approx(100 * (1 - 0.05 ** (1 / 7))) and check.needed(40) == 426


def test_jitter_is_seen() -> None:
    def shake(points: Floats, ids: NDArray[np.int64]) -> None:
        points[..., :2] += np.random.default_rng(1).normal(0, 0.5, (*points.shape[:-1], 2))

    found = checks(tracks(noise_px=0.5), tracks(shake, noise_px=0.5))
    assert found["jitter"].verdict == "FAIL"
    # Two equal noises on top of each other: the square root of two, but for the swing's own bend.
    assert 30 < found["jitter"].estimate < 42
    assert found["lag"].verdict == "PASS"


def test_points_that_are_out_of_sight_do_not_count() -> None:
    """Nor do their neighbours in time: the path through them is noise."""

    def hide(points: Floats, ids: NDArray[np.int64]) -> None:
        points[::5, :, 3, 2] = 0.05

    def guess(points: Floats, ids: NDArray[np.int64]) -> None:
        hide(points, ids)
        points[::5, :, 3, 0] += 50

    motion = compare(tracks(hide), tracks(guess))
    assert motion.points.sum() == PERSONS * ((FRAMES - 2) * 16 + FRAMES // 5 * 2)
    found = checks(tracks(hide), tracks(guess))
    assert (found["jitter"].estimate, found["lag"].estimate) == (0, 0)


@pytest.mark.parametrize("frames", [-1, 1, 2])
def test_lag_is_measured_in_frames(frames: int) -> None:
    def delay(points: Floats, ids: NDArray[np.int64]) -> None:
        points[:] = np.roll(points, frames, axis=0)
        points[: max(frames, 0)] = points[max(frames, 0)]

    lag = checks(tracks(noise_px=0.02), tracks(delay, noise_px=0.02))["lag"]
    assert lag.estimate == pytest.approx(frames, abs=0.12)
    assert lag.verdict == ("FAIL" if frames > 0 else "PASS")


def test_identity_switches_are_counted() -> None:
    def swap(points: Floats, ids: NDArray[np.int64]) -> None:
        for start in range(20, FRAMES, 40):  # 3 times two people exchange their ids
            ids[start:, [0, 1]] = ids[start:, [1, 0]]

    motion = compare(tracks(), tracks(swap))
    assert motion.switches.sum() == 6 and motion.pairs.sum() == FRAMES * PERSONS
    check = checks(tracks(), tracks(swap))["id_switches"]
    assert check.estimate == pytest.approx(1000 * 6 / (FRAMES * PERSONS))
    assert check.verdict == "INCONCLUSIVE"  # 6 switches in 12 seconds, in 3 of them
    member = check.as_member(40)
    assert member["images_needed"] is None and member["seconds_needed"] > SECONDS
    assert what_decides(member) == f"{member['seconds_needed']} seconds of video"


def only(run: Tracks, rows: NDArray[Any]) -> Tracks:
    names = ("picture_of", "person_of", "boxes", "keypoints", "input_scale")
    kept = {name: getattr(run.persons, name)[rows] for name in names}
    return dataclasses.replace(run, persons=dataclasses.replace(run.persons, **kept), ids=run.ids[rows])


def test_persons_who_are_lost_fail() -> None:
    whole = tracks()
    check = checks(whole, only(whole, whole.ids != 2))["video_unmatched"]
    assert check.verdict == "FAIL" and check.estimate == pytest.approx(100 / 3)


def test_persons_who_are_invented_fail(tmp_path: Path) -> None:
    whole = tracks()
    two = only(whole, whole.ids != 2)
    found = checks(two, whole)
    assert found["video_added"].verdict == "FAIL" and found["video_unmatched"].estimate == 0
    assert found["video_added"].estimate == pytest.approx(100 / 3)
    file = tmp_path / "v.mp4"
    file.write_bytes(b"x")
    assert f"0 not found again, {FRAMES} added;" in video_line(video_member(file, two, compare(two, whole)))


def test_persons_without_an_id_are_no_track() -> None:
    def unborn(points: Floats, ids: NDArray[np.int64]) -> None:
        ids[:, 1:] = -1

    def one_is_born(points: Floats, ids: NDArray[np.int64]) -> None:
        ids[:, 2] = -1

    motion = compare(tracks(unborn), tracks(one_is_born))
    assert motion.switches.sum() == 0 and motion.pairs.sum() == FRAMES * PERSONS
    # Who is named again, as the same, was not exchanged.
    motion = compare(tracks(), tracks(lambda points, ids: unborn(points[50:60], ids[50:60])))
    assert motion.switches.sum() == 0
    motion = compare(tracks(), tracks(one_is_born))
    assert motion.points.sum() == 3 * 17 * (FRAMES - 2) and motion.named.sum() == 2 * FRAMES


def test_a_candidate_that_names_nobody_does_not_pass() -> None:
    """Without an id nobody is smoothed."""

    def tremble(points: Floats, ids: NDArray[np.int64]) -> None:
        ids[:] = -1
        points += np.random.default_rng(5).normal(0, 3, points.shape)

    found = checks(tracks(noise_px=0.02), tracks(tremble, noise_px=0.02))
    assert found["jitter"].verdict == "FAIL" and found["id_switches"].verdict == "INCONCLUSIVE"


def test_persons_without_an_id_do_not_hide_a_lag() -> None:
    """They jump from one place to another, in both runs."""

    def jump(points: Floats, ids: NDArray[np.int64]) -> None:
        for start in range(5, FRAMES, 30):
            ids[start : start + 3, 2] = -1
            points[start : start + 3, 2, :, 0] += np.array([0, 400, 800])[:, None]

    def late(points: Floats, ids: NDArray[np.int64]) -> None:
        points[1:] = points[:-1].copy()
        jump(points, ids)

    lag = checks(tracks(jump, noise_px=0.02), tracks(late, noise_px=0.02))["lag"]
    assert lag.verdict == "FAIL" and lag.estimate == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize(("shown", "verdict"), [(1, "INCONCLUSIVE"), (4, "INCONCLUSIVE"), (5, "FAIL")])
def test_few_seconds_that_show_people_fail_nothing(shown: int, verdict: str) -> None:
    def late(points: Floats, ids: NDArray[np.int64]) -> None:
        points[1:] = points[:-1].copy()

    def begin(run: Tracks) -> Tracks:
        return only(run, run.persons.picture_of < shown * int(FPS))

    whole, behind = begin(tracks(noise_px=0.02)), begin(tracks(late, noise_px=0.02))
    assert checks(whole, behind)["lag"].verdict == verdict
    lost = checks(whole, only(behind, behind.ids != 2))["video_unmatched"]
    assert lost.verdict == verdict and lost.low > lost.limit
    if verdict == "INCONCLUSIVE":
        assert lost.needed(40) == SECONDS * 5 / shown


def test_few_seconds_that_show_people_pass_nothing() -> None:
    """Equal runs have intervals without a width."""
    whole = only(tracks(), tracks().persons.picture_of < 4 * int(FPS))
    found = checks(whole, whole)
    for name in ("jitter", "lag"):
        assert found[name].verdict == "INCONCLUSIVE" and found[name].needed(40) == 15
        assert found[name].hides_much and found[name].high == 0


def test_people_at_rest_say_nothing_about_lag(tmp_path: Path) -> None:
    def stand(points: Floats, ids: NDArray[np.int64]) -> None:
        points[..., :2] = points[:1, ..., :2]

    still = tracks(stand)
    assert set(checks(still, still)) == {"video_unmatched", "video_added", "id_switches"}
    shaking = checks(still, tracks())["jitter"]
    assert shaking.verdict != "PASS"  # nothing at all in the reference, and something here
    file = tmp_path / "still.mp4"
    file.write_bytes(b"x")
    member = video_member(file, still, compare(still, still))
    assert member["lag_frames"] is None and "too little motion" in video_line(member)


def test_nobody_in_the_video_is_inconclusive() -> None:
    run = tracks()
    empty = only(run, run.ids < 0)
    assert {check.verdict for check in checks(empty, empty).values()} == {"INCONCLUSIVE"}


def test_a_picture_is_no_video(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG")
    with pytest.raises(UsageError, match=r"a\.png: not a video"):
        track(tmp_path, picture, device="CPU")


def test_of_the_constants_that_differ_those_are_named_that_the_tracker_used(
    bundles_v1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person is lost by its keypoints in frames without a detection only, and the gate has none."""
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    noise = np.random.default_rng(1).integers(0, 256, (80, 48, 64, 3), np.uint8)
    with open_video(tmp_path / "v.mp4", fps=FPS) as out:
        for frame in noise:
            out.write(noise[0] // 4 * 3 + frame // 4)
    (tmp_path / "images").mkdir()
    for number in range(10):
        write_picture(tmp_path / "images" / f"{number}.png", noise[number])

    def bundle(score: float, **tracking: float) -> Path:
        folder = tmp_path / f"of-{score}"
        shutil.copytree(bundles_v1 / "top_down", folder)
        manifest = json.loads((folder / MANIFEST_NAME).read_text())
        del manifest["manifest_sha256"]
        manifest["pipeline"]["keypoint_score_threshold"] = score
        # Ids that depend on little else than which keypoints count.
        loose = {"match_similarity": 0.0, "nms_oks": 1.0, "birth_box_score": 0.0}
        manifest["tracking"] = {**tracking_member(score), **loose, **tracking}
        (folder / MANIFEST_NAME).write_bytes(encode(manifest))
        return folder

    reference, candidate = bundle(0.3), bundle(3.0, pose_box_padding=1.5, pose_box_pull=0.2)
    images, video = tmp_path / "images", tmp_path / "v.mp4"
    found = gate(GateRequest(candidate, reference, images, video=video, samples=200, processes=1))
    assert [check["name"] for check in found["checks"] if check["verdict"] == "FAIL"] == ["id_switches"]
    said = "pipeline.keypoint_score_threshold is 3.0 in the candidate, 0.3 in the reference"
    assert found["diagnosis"] == [{"cause": "constants", "message": said}]
