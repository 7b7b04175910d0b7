"""Synthetic people: bodies, labels, motion, and the same pixels everywhere."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepose.skeletons import keypoints_argument
from edgepose.synth import KEYPOINTS, MOTIONS, POSES, SyntheticImage, render_scene, render_video
from edgepose.synth.annotate import SKELETON, coco_annotation, label, person_category
from edgepose.synth.background import Background
from edgepose.synth.body import BONE, BodyShape, Pose, make_skeleton, pose_skeleton, sample_shape
from edgepose.synth.camera import Camera
from edgepose.synth.degrade import Faults, degrade, lossy
from edgepose.synth.figure import make_figure
from edgepose.synth.numeric import Random
from edgepose.synth.outfit import sample_outfit
from edgepose.synth.pose import lowest_point, sample_pose, within_limits
from edgepose.synth.props import Prop, box
from edgepose.synth.render import PosedActor, Rendering, render
from edgepose.synth.shading import sample_light
from edgepose.synth.textures import paint

# SHA-256 of image and owners of render_scene(seed, size_hw=(240, 320)): the same with NumPy 1.26 and 2.4,
# with and
# without AVX. A change here is a change of what every user's seed renders.
GOLDEN: dict[int, str] = {
    0: "f38f132a73c2727d",
    1: "1c1a48720d0262b6",
    2: "eb01dfed2e56bbdf",
    3: "fcdd94a2f863c4d9",
    7: "465c8e95e012bee4",
    23: "b0394b90e9ecd726",
}
GOLDEN_FRAME = "f20eac742627c738"


def _digest(picture: SyntheticImage) -> str:
    return hashlib.sha256(picture.image.tobytes() + picture.owners.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("seed", GOLDEN)
def test_pixels_are_the_same_on_every_machine(seed: int) -> None:
    assert _digest(render_scene(seed, size_hw=(240, 320))) == GOLDEN[seed]


def test_video_pixels_are_the_same_on_every_machine() -> None:
    frames = list(render_video(3, seconds=0.2, size_hw=(120, 160)))
    assert _digest(frames[-1]) == GOLDEN_FRAME


def test_keypoints_and_links_are_those_of_coco() -> None:
    coco = keypoints_argument("coco17")
    assert coco.keypoints == KEYPOINTS
    category = person_category()
    assert category["keypoints"] == list(coco.keypoints)
    ours = {tuple(sorted((a - 1, b - 1))) for a, b in SKELETON}
    assert ours == {tuple(sorted(pair)) for pair in coco.skeleton}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from(sorted(POSES)))
def test_poses_keep_bones_rigid_and_joints_within_limits(seed: int, kind: str) -> None:
    random = Random(seed, "test")
    skeleton = make_skeleton(sample_shape(random))
    name, pose = sample_pose(random, skeleton, kind)
    assert name == kind
    assert within_limits(pose) == pose
    posture = pose_skeleton(skeleton, pose)
    for a, b in (
        ("upper_arm_l", "forearm_l"),
        ("forearm_r", "hand_r"),
        ("thigh_l", "shin_l"),
        ("shin_r", "foot_r"),
    ):
        posed = np.linalg.norm(posture.origins[BONE[a]] - posture.origins[BONE[b]])
        rest = np.linalg.norm(skeleton.origins[BONE[a]] - skeleton.origins[BONE[b]])
        assert posed == pytest.approx(rest, rel=1e-12)
    identity = np.einsum("bij,bkj->bik", posture.rotations, posture.rotations)
    assert np.allclose(identity, np.eye(3), atol=1e-12)
    assert np.linalg.det(posture.rotations) == pytest.approx(1.0)


def test_mirrored_pose_gives_mirrored_keypoints() -> None:
    skeleton = make_skeleton(BodyShape())
    left = Pose(arm_l=(1.0, 0.4, 0.3, 1.1), leg_l=(0.7, 0.2, 0.1, 0.9, 0.1))
    right = Pose(arm_r=left.arm_l, leg_r=left.leg_l)
    a = pose_skeleton(skeleton, left).keypoints
    b = pose_skeleton(skeleton, right).keypoints * [-1, 1, 1]
    other = {"left": "right", "right": "left"}
    names = ["_".join(other.get(word, word) for word in name.split("_")) for name in KEYPOINTS]
    assert np.allclose(a, b[[KEYPOINTS.index(name) for name in names]], atol=1e-12)


def test_joints_bend_the_way_that_people_do() -> None:
    skeleton = make_skeleton(BodyShape())

    def at(name: str, **changes: object) -> np.ndarray:
        return pose_skeleton(skeleton, replace(Pose(), **changes)).keypoints[KEYPOINTS.index(name)]

    rest = {name: at(name) for name in KEYPOINTS}
    assert rest["left_shoulder"][0] > 0 > rest["right_shoulder"][0]  # +x is the person's left
    assert rest["nose"][2] > rest["left_ear"][2]
    # Elbows bend forward, knees backward.
    assert at("left_wrist", arm_l=(0.0, 0.0, 0.0, 1.5))[2] > rest["left_wrist"][2] + 0.15
    assert at("right_ankle", leg_r=(0.0, 0.0, 0.0, 1.5, 0.0))[2] < rest["right_ankle"][2] - 0.2
    assert at("left_wrist", arm_l=(2.6, 0.0, 0.0, 0.0))[1] > rest["nose"][1]
    assert at("nose", spine=(0.8, 0.0, 0.0))[2] > rest["nose"][2] + 0.2
    assert at("nose", head=(0.0, 0.9, 0.0))[0] > 0.05  # the head turns left
    assert at("left_shoulder", turn=np.pi / 2)[2] < -0.1  # facing +x, the left side is at -z


def _actor(pose: Pose, offset: tuple[float, float, float], seed: int = 1) -> PosedActor:
    random = Random(seed, "actor")
    shape = BodyShape()
    outfit = sample_outfit(random.child("outfit"), shape)
    outfit = replace(outfit, headgear="none", hair_length=0.0, skirt_hem=None)
    figure = make_figure(shape, outfit)
    posture = pose_skeleton(figure.skeleton, pose)
    posture = posture.moved(np.array(offset) - [0, lowest_point(figure.skeleton, posture), 0])
    return PosedActor(figure, paint(random.child("textures"), outfit), posture)


_CAMERA = Camera(1.2, 0.05, 0.0, 420.0, (300, 320))


def _render(actors: list[PosedActor], props: list[Prop] | None = None, camera: Camera = _CAMERA) -> Rendering:
    height, width = camera.size_hw
    pixels = np.full((-(-height // 2), -(-width // 2), 3), 90, dtype=np.uint8)
    background = Background(pixels, np.zeros(pixels.shape[:2], dtype=np.bool_))
    return render(actors, props or [], camera, sample_light(Random(2, "light")), background)


def test_a_whole_person_in_view_is_all_visible() -> None:
    pose = Pose(arm_l=(0.5, 0.0, 0.0, 0.1), arm_r=(0.5, 0.0, 0.0, 0.1))
    actor = _actor(pose, (0.0, 0.0, -3.4))
    rendering = _render([actor])
    (person,) = label(rendering, [actor], _CAMERA)
    assert person.keypoints[:, 2].tolist() == [2.0] * 17
    projected, _ = _CAMERA.project(actor.posture.keypoints)
    assert np.array_equal(person.keypoints[:, :2], projected)
    mask = rendering.owners == 0
    y, x = np.nonzero(mask)
    assert person.box_xywh == (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)
    assert person.area_px == mask.sum() > 5000


def test_seen_from_behind_the_face_is_hidden_and_the_joints_are_not() -> None:
    pose = Pose(turn=np.pi, arm_l=(0.5, 0.0, 0.0, 0.1), arm_r=(0.5, 0.0, 0.0, 0.1))
    actor = _actor(pose, (0.0, 0.0, -3.4))
    (person,) = label(_render([actor]), [actor], _CAMERA)
    flags = dict(zip(KEYPOINTS, person.keypoints[:, 2], strict=True))
    assert flags["nose"] == flags["left_eye"] == flags["right_eye"] == 1
    assert all(flags[name] == 2 for name in KEYPOINTS[5:])
    # Their left is at the picture's left now.
    assert person.keypoints[5, 0] < person.keypoints[6, 0]


def test_seen_from_the_side_the_far_shoulder_and_eye_are_hidden() -> None:
    actor = _actor(Pose(turn=np.pi / 2), (0.0, 0.0, -3.4))  # it faces the right of the picture
    (person,) = label(_render([actor]), [actor], _CAMERA)
    flags = dict(zip(KEYPOINTS, person.keypoints[:, 2], strict=True))
    assert flags["right_shoulder"] == flags["right_ear"] == flags["right_eye"] == 2
    assert flags["left_shoulder"] == flags["left_ear"] == 1
    # Nor are they seen through a head of four pixels: the person is 27 to 32 pixels tall.
    for depth_m in (-22.0, -26.0):
        actor = _actor(Pose(turn=np.pi / 2), (0.0, 0.0, depth_m))
        (person,) = label(_render([actor]), [actor], _CAMERA)
        flags = dict(zip(KEYPOINTS, person.keypoints[:, 2], strict=True))
        assert flags["left_eye"] == flags["left_ear"] == 1


@pytest.mark.parametrize("degrees", range(-95, 100, 10))
def test_a_nose_on_the_outline_of_the_face_is_visible(degrees: int) -> None:
    actor = _actor(Pose(turn=np.deg2rad(degrees)), (0.0, 0.0, -3.4))
    (person,) = label(_render([actor]), [actor], _CAMERA)
    assert person.keypoints[0, 2] == 2
    # Nor does it show where something stands in front.
    board = box((0, 1.6, -2.4), (1.0, 0.8, 0.1), (120, 110, 100))
    (person,) = label(_render([actor], [board]), [actor], _CAMERA)
    assert person.keypoints[0, 2] == 1


def test_what_stands_in_front_hides_keypoints_and_shrinks_the_box() -> None:
    actor = _actor(Pose(), (0.0, 0.0, -3.4))
    wall = box((0, 0.45, -2.4), (3.0, 0.9, 0.1), (120, 110, 100))
    (free,) = label(_render([actor]), [actor], _CAMERA)
    (person,) = label(_render([actor], [wall]), [actor], _CAMERA)
    flags = dict(zip(KEYPOINTS, person.keypoints[:, 2], strict=True))
    assert flags["left_knee"] == flags["right_ankle"] == 1
    assert flags["nose"] == flags["left_shoulder"] == 2
    assert person.box_xywh[3] < 0.8 * free.box_xywh[3]
    assert np.array_equal(person.keypoints[:, :2], free.keypoints[:, :2])


def test_a_wall_behind_hides_nothing() -> None:
    actor = _actor(Pose(), (0.0, 0.0, -3.4))
    wall = box((0, 1.0, -4.4), (5.0, 2.0, 0.1), (120, 110, 100))
    (free,) = label(_render([actor]), [actor], _CAMERA)
    (person,) = label(_render([actor], [wall]), [actor], _CAMERA)
    assert np.array_equal(person.keypoints, free.keypoints)
    assert person.area_px == free.area_px


def test_one_person_hides_another_and_identities_stay() -> None:
    front, behind = _actor(Pose(), (0.0, 0.0, -3.0), 1), _actor(Pose(), (0.0, 0.0, -4.0), 2)
    people = label(_render([behind, front]), [behind, front], _CAMERA)
    by_identity = {person.identity: person for person in people}
    assert by_identity[1].keypoints[11:15, 2].min() == 2
    if 0 in by_identity:
        assert by_identity[0].keypoints[11:15, 2].max() == 1
        assert by_identity[0].area_px < 0.3 * by_identity[1].area_px


def test_outside_the_picture_a_keypoint_is_zero() -> None:
    actor = _actor(Pose(), (0.0, 0.0, -1.3))  # close: no feet
    (person,) = label(_render([actor]), [actor], _CAMERA)
    ankle = KEYPOINTS.index("left_ankle")
    assert person.keypoints[ankle].tolist() == [0.0, 0.0, 0.0]
    annotation = coco_annotation(person, 1, 1, None)
    assert annotation["num_keypoints"] == np.count_nonzero(person.keypoints[:, 2]) < 17
    x, y, width, height = person.box_xywh
    assert x >= 0 and y >= 0 and x + width <= 320 and y + height <= 300


@pytest.mark.parametrize("seed", range(8))
def test_labels_agree_with_the_pixels(seed: int) -> None:
    picture = render_scene(seed, size_hw=(160, 200), persons=(1, 5))
    height, width = picture.owners.shape
    assert picture.image.shape == (160, 200, 3) and picture.image.dtype == np.uint8
    for person in picture.annotations:
        mask = picture.owners == person.identity
        y, x = np.nonzero(mask)
        assert person.area_px == len(y)
        assert person.box_xywh == (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)
        for x_px, y_px, flag in person.keypoints:
            if flag == 0:
                assert x_px == y_px == 0
                continue
            column, row = int(np.floor(x_px + 0.5)), int(np.floor(y_px + 0.5))
            assert 0 <= column < width and 0 <= row < height
            if flag == 2:
                assert mask[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].any()


def test_most_scenes_show_the_persons_asked_for() -> None:
    shown = [len(render_scene(seed, size_hw=(120, 160), persons=3).annotations) for seed in range(40)]
    assert max(shown) == 3
    assert np.mean(shown) > 2.6


def test_portraits_show_the_head_large() -> None:
    shown = 0
    for seed in range(12):
        for person in render_scene(seed, size_hw=(96, 128), persons=1, shot="portrait").annotations:
            x, y, _ = person.keypoints[:5].T  # nose, eyes, ears
            in_view = (y >= 0) & (y < 96) & (person.keypoints[:5, 2] > 0)
            shown += bool(in_view.any() and np.ptp(x[in_view]) > 8)
    assert shown >= 8


def test_who_sits_is_often_hidden_below_the_waist() -> None:
    lower = np.array([11, 12, 13, 14])  # hips, knees
    seen, thigh, trunk = [], [], []
    for seed in range(24):
        for person in render_scene(seed, size_hw=(96, 128), persons=2, shot="seated").annotations:
            points = person.keypoints
            if points[5:7, 2].all() and points[lower, 2].all():
                seen.append(np.mean(points[lower, 2] == 2))
                thigh.append(abs(points[13, 1] - points[11, 1]))
                trunk.append(abs(points[11, 1] - points[5, 1]))
    assert len(seen) >= 15 and np.mean(seen) < 0.5
    # A thigh hangs down by less than the trunk is high, where a standing person's is nearly as long as it.
    assert np.median(thigh) < 0.6 * np.median(trunk)


def test_nobody_and_crowds() -> None:
    assert render_scene(1, size_hw=(96, 128), persons=0).annotations == ()
    crowd = render_scene(2, size_hw=(240, 320), persons=14)
    assert len(crowd.annotations) >= 9
    assert len({person.identity for person in crowd.annotations}) == len(crowd.annotations)
    for wrong in (-1, 41, (3, 2)):
        with pytest.raises(ValueError, match="persons must be"):
            render_scene(0, persons=wrong)


@pytest.mark.parametrize("size_hw", [(97, 131), (64, 64), (333, 75)])
def test_odd_sizes(size_hw: tuple[int, int]) -> None:
    picture = render_scene(4, size_hw=size_hw, persons=2)
    assert picture.image.shape == (*size_hw, 3) and picture.owners.shape == size_hw


def test_seeds_differ_and_repeat() -> None:
    a, b, c = (render_scene(seed, size_hw=(96, 128)) for seed in (10, 10, 11))
    assert _digest(a) == _digest(b) != _digest(c)


def test_camera_faults_are_only_in_the_picture() -> None:
    spoilt, clean = (render_scene(6, size_hw=(160, 200), clean=flag) for flag in (False, True))
    assert not np.array_equal(spoilt.image, clean.image)
    assert np.array_equal(spoilt.owners, clean.owners)


def test_lossy_is_close_at_high_and_blocky_at_low_quality() -> None:
    image = render_scene(6, size_hw=(100, 120), clean=True).image
    fine = np.abs(lossy(image, 95).astype(int) - image).mean()
    coarse = np.abs(lossy(image, 10).astype(int) - image).mean()
    assert fine < 3.0 < coarse < 20
    flat = np.full((30, 50, 3), (10, 200, 90), dtype=np.uint8)
    assert np.abs(lossy(flat, 90).astype(int) - flat).max() <= 3


@pytest.mark.parametrize("quality", [30, 75])
def test_lossy_is_what_a_jpeg_file_does(quality: int) -> None:
    cv2 = pytest.importorskip("cv2")
    image = render_scene(6, size_hw=(160, 192), clean=True).image
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    file = cv2.imdecode(data, cv2.IMREAD_COLOR).astype(int)
    ours = lossy(image, quality).astype(int)
    # Decoders smooth the halved chroma, and we do not: compare the grey levels.
    weights = np.array([0.114, 0.587, 0.299])
    assert np.abs((ours - file) @ weights).mean() < 0.35 * np.abs((file - image) @ weights).mean() + 0.3


def test_noise_has_the_strength_asked_for() -> None:
    grey = np.full((200, 200, 3), 128, dtype=np.uint8)
    faults = Faults(blur=0, motion_px=0, noise=12, quality=None, contrast=1.0, offset=0.0)
    noisy = degrade(grey, faults, Random(1)).astype(float)
    assert noisy.mean() == pytest.approx(127.5, abs=0.5)
    assert noisy.std() == pytest.approx(12 * np.sqrt(2) * 74 / 128, rel=0.1)
    assert np.array_equal(degrade(grey, replace(faults, noise=0), Random(1)), grey)


@pytest.mark.parametrize("motion", MOTIONS)
def test_motion_is_smooth_and_identities_stay(motion: str) -> None:
    frames = list(render_video(5, seconds=0.7, size_hw=(120, 160), persons=2, motion=motion, clean=True))
    assert len(frames) == 21
    moved = 0.0
    for before, after in pairwise(frames):
        people = {person.identity: person for person in before.annotations}
        for person in after.annotations:
            if person.identity not in people:
                continue
            old = people[person.identity].keypoints
            both = (old[:, 2] > 0) & (person.keypoints[:, 2] > 0)
            step = np.abs(person.keypoints[both, :2] - old[both, :2]).max(initial=0)
            assert step < 0.12 * 120, "a joint jumps"
            moved = max(moved, float(step))
    assert moved > 0.02
    assert {p.identity for f in frames for p in f.annotations} <= {0, 1}


def test_walking_feet_do_not_slide() -> None:
    from edgepose.synth.motion import walk
    from edgepose.synth.scene import make_character, stand

    character = make_character(Random(3, "walker"))
    way = walk(Random(3, "way"), 0.0, -6.0, 30.0, 0.5, character.figure.skeleton.shape.height_m)
    pelvis, slowest = [], []
    last = None
    for frame in range(90):
        state = way(frame / 30)
        origins = stand(character, state.pose, state.x, state.z).origins
        feet = origins[[BONE["foot_l"], BONE["foot_r"]]]
        if last is not None:
            slowest.append(np.linalg.norm((feet - last[0])[:, [0, 2]], axis=1).min())
            pelvis.append(np.linalg.norm((origins[0] - last[1])[[0, 2]]))
        last = feet, origins[0]
    # The standing foot moves far less than the body.
    assert np.mean(slowest) < 0.45 * np.mean(pelvis)
