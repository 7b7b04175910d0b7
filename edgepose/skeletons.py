"""Sets of keypoints (names, skeletons, flip pairs, OKS sigmas): known, from a file, or from a checkpoint.

Source of names, links and sigmas: mmpose 1.3.2, configs/_base_/datasets/{coco,halpe26,coco_wholebody,
coco_wholebody_hand,lapa,ap10k,crowdpose}.py.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgepose.artifact import KeypointSet, is_text
from edgepose.errors import UsageError

# For sets without published sigmas: a middle value of COCO's, which lie between 0.025 and 0.107.
DEFAULT_SIGMA = 0.05
# What the runtime takes (runtime_cpp/src/manifest_parts.cpp).
MAX_SIGMA, MAX_POINTS = 10.0, 1024
_MAX_NAME = 100  # characters of a data set's name
_MEMBERS = "see docs/add-a-model.md for the members"

Pairs = tuple[tuple[int, int], ...]

_COCO = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
_COCO_SIGMAS = (26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89)
_LEGS: Pairs = ((15, 13), (13, 11), (16, 14), (14, 12))
_TRUNK: Pairs = ((11, 12), (5, 11), (6, 12), (5, 6))
_ARMS: Pairs = ((5, 7), (6, 8), (7, 9), (8, 10))
_HEAD: Pairs = ((1, 2), (0, 1), (0, 2), (1, 3), (2, 4))
_EARS_TO_SHOULDERS: Pairs = ((3, 5), (4, 6))
_BODY = _LEGS + _TRUNK + _ARMS + _HEAD + _EARS_TO_SHOULDERS

_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_HAND_SIGMAS = (29, 22, 35, 37, 47, 26, 25, 24, 35, 18, 24, 22, 26, 17, 21, 21, 32, 20, 19, 22, 31)
_FOOT_SIGMAS = (68, 66, 66, 92, 94, 94)
_FACE_SIGMAS = (
    *(42, 43, 44, 43, 40, 35, 31, 25, 20, 23, 29, 32, 37, 38, 43, 41, 45),
    *(13, 12, 11, 11, 12, 12, 11, 11, 13, 15, 9, 7, 7, 7, 12, 9, 8, 16, 10),
    *(17, 11, 9, 11, 9, 7, 13, 8, 11, 12, 10, 34),
    *(8, 8, 9, 8, 8, 7, 10, 8, 9, 9, 9, 7, 7, 8, 11, 8, 8, 8, 10, 8),
)


def _mirror(first: int, last: int) -> Pairs:
    """Pair the points of a symmetric run from the outside in; a middle one stays alone."""
    return tuple((first + n, last - n) for n in range((last - first + 1) // 2))


def _side_by_side(first: int, last: int) -> Pairs:
    """Pair neighbours: (first, first + 1), ..."""
    return tuple((n, n + 1) for n in range(first, last, 2))


def _hand_links(root: int) -> Pairs:
    """Chain the four joints of each finger to the wrist."""
    chains = ([root, *range(root + 1 + 4 * n, root + 5 + 4 * n)] for n in range(5))
    return tuple(link for chain in chains for link in itertools.pairwise(chain))


def _hand_names(prefix: str, root: str) -> list[str]:
    return [prefix + root, *(f"{prefix}{finger}{joint}" for finger in _FINGERS for joint in range(1, 5))]


def _thousandths(values: Iterable[int]) -> tuple[float, ...]:
    return tuple(value / 1000 for value in values)


def _make(
    name: str, names: Sequence[str], links: Pairs, flips: Pairs, sigmas: tuple[float, ...]
) -> KeypointSet:
    return KeypointSet(name=name, keypoints=tuple(names), skeleton=links, flip_pairs=flips, sigmas=sigmas)


def _halpe26() -> KeypointSet:
    # 17 head top, 18 neck, 19 hip centre, then toes and heels.
    feet = [f"{side}_{part}" for part in ("big_toe", "small_toe", "heel") for side in ("left", "right")]
    links = (
        *((15, 13), (13, 11), (11, 19), (16, 14), (14, 12), (12, 19), (17, 18), (18, 19)),
        *((18, 5), (5, 7), (7, 9), (18, 6), (6, 8), (8, 10)),
        *(_HEAD + _EARS_TO_SHOULDERS),
        *((15, 20), (15, 22), (15, 24), (16, 21), (16, 23), (16, 25)),
    )
    sigmas = (*_COCO_SIGMAS, 26, 26, 66, *[79] * 6)
    flips = _side_by_side(1, 16) + _side_by_side(20, 25)
    return _make("halpe26", [*_COCO, "head", "neck", "hip", *feet], links, flips, _thousandths(sigmas))


def _wholebody() -> KeypointSet:
    # Points 17..22 feet, 23..90 face (the 68 points of iBUG), 91..111 left hand, 112..132 right hand.
    feet = [f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")]
    face = [f"face-{n}" for n in range(68)]
    hands = _hand_names("left_", "hand_root") + _hand_names("right_", "hand_root")
    foot_links: Pairs = ((15, 17), (15, 18), (15, 19), (16, 20), (16, 21), (16, 22))
    links = (*_BODY, *foot_links, *_hand_links(91), *_hand_links(112))
    jaw, brows, nose = _mirror(23, 39), _mirror(40, 49), _mirror(54, 58)
    eyes = (*((59 + n, 68 - n) for n in range(4)), (63, 70), (64, 69))
    mouth = _mirror(71, 77) + _mirror(78, 82) + _mirror(83, 87) + _mirror(88, 90)
    flips = (
        *_side_by_side(1, 16),
        *((n, n + 3) for n in range(17, 20)),
        *(jaw + brows + nose + eyes + mouth),
        *((n, n + 21) for n in range(91, 112)),
    )
    sigmas = (*_COCO_SIGMAS, *_FOOT_SIGMAS, *_FACE_SIGMAS, *_HAND_SIGMAS, *_HAND_SIGMAS)
    return _make("wholebody133", [*_COCO, *feet, *face, *hands], links, flips, _thousandths(sigmas))


def _lapa106() -> KeypointSet:
    brows = (*_mirror(33, 46)[:5], (38, 50), (39, 49), (40, 48), (41, 47))
    nose = _mirror(55, 65)
    eyes = (*((66 + n, 79 - n) for n in range(5)), *((71 + n, 82 - n) for n in range(3)), (74, 83))
    mouth = (*_mirror(84, 90), *_mirror(91, 95), *_mirror(96, 100), *_mirror(101, 103))
    flips = (*_mirror(0, 32), *brows, *nose, *eyes, *mouth, (104, 105))
    return _make("lapa106", [f"kpt-{n}" for n in range(106)], (), flips, (DEFAULT_SIGMA,) * 106)


def _ap10k17() -> KeypointSet:
    limbs = [f"{side}_{part}" for end in "FB" for side in "LR" for part in _limb(end)]
    names = ["L_Eye", "R_Eye", "Nose", "Neck", "Root of tail", *limbs]
    links = (
        *((0, 1), (0, 2), (1, 2), (2, 3), (3, 4)),
        *(
            link
            for n, root in ((5, 3), (8, 3), (11, 4), (14, 4))
            for link in ((root, n), (n, n + 1), (n + 1, n + 2))
        ),
    )
    flips = ((0, 1), *((n, n + 3) for n in (5, 6, 7, 11, 12, 13)))
    sigmas = (25, 25, 26, 35, 35, 79, 72, 62, 79, 72, 62, 107, 87, 89, 107, 87, 89)
    return _make("ap10k17", names, links, flips, _thousandths(sigmas))


def _limb(end: str) -> tuple[str, str, str]:
    return ("Shoulder", "Elbow", "F_Paw") if end == "F" else ("Hip", "Knee", "B_Paw")


def _crowdpose14() -> KeypointSet:
    links = (
        *((10, 8), (8, 6), (11, 9), (9, 7), (6, 7), (0, 6), (1, 7), (0, 1)),
        *((0, 2), (1, 3), (2, 4), (3, 5), (12, 13), (1, 13), (0, 13)),
    )
    sigmas = (*_COCO_SIGMAS[5:], 79, 79)
    names = [*_COCO[5:], "top_head", "neck"]
    return _make("crowdpose14", names, links, _side_by_side(0, 11), _thousandths(sigmas))


# In order of preference where only the count of points is known.
KEYPOINT_SETS: Mapping[str, KeypointSet] = {
    points.name: points
    for points in (
        _make("coco17", _COCO, _BODY, _side_by_side(1, 16), _thousandths(_COCO_SIGMAS)),
        _halpe26(),
        _wholebody(),
        _make("hand21", _hand_names("", "wrist"), _hand_links(0), (), _thousandths(_HAND_SIGMAS)),
        _lapa106(),
        _ap10k17(),
        _crowdpose14(),
    )
}

# Names that training data sets carry (dataset_meta.dataset_name), lower case without punctuation.
_DATASET_NAMES = {
    **dict.fromkeys(("coco", "humanart", "ochuman", "body7", "body8"), "coco17"),
    **dict.fromkeys(("cocowholebody", "ubody2d", "h3wb", "wholebody"), "wholebody133"),
    **dict.fromkeys(("cocowholebodyhand", "onehand10k", "hand5"), "hand21"),
    **{"halpe26": "halpe26", "lapa": "lapa106", "ap10k": "ap10k17", "crowdpose": "crowdpose14"},
}


def numbered_points(count: int) -> KeypointSet:
    """Make a set of points without known names, links or pairs."""
    return _make(f"points{count}", [f"point_{n}" for n in range(count)], (), (), (DEFAULT_SIGMA,) * count)


def keypoints_argument(text: str) -> KeypointSet:
    """Return the known set of that name, or the one in the JSON file of that path. Errors: UsageError."""
    return KEYPOINT_SETS[text] if text in KEYPOINT_SETS else read_keypoint_file(Path(text))


def read_keypoint_file(path: Path) -> KeypointSet:
    """Read {"name", "keypoints": [names], "skeleton", "flip_pairs": [[a, b], ...], "sigmas"} from JSON.

    Only "keypoints" is required; pairs are of 0-based indices or of names. Where sigmas are missing, the set
    has none, and choose_keypoints completes it. Errors: UsageError.
    """
    known = ", ".join(KEYPOINT_SETS)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(
            f"{path}: no known set of keypoints, and no such file",
            hint=f"give one of {known}, or a file: docs/add-a-model.md",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UsageError(
            f"{path}: cannot be read as a keypoint file: {reason}",
            hint=f"give a JSON file, or one of {known}",
        ) from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}", hint=_MEMBERS) from error
    try:
        return _parse(document, default_name=path.stem)
    except ValueError as error:
        raise UsageError(f"{path}: {error}", hint=_MEMBERS) from error


def _parse(document: Any, *, default_name: str) -> KeypointSet:
    """Check a keypoint document. Errors: ValueError."""
    if not isinstance(document, dict):
        raise ValueError("the top level must be an object")
    unknown = sorted(set(document) - {"name", "keypoints", "skeleton", "flip_pairs", "sigmas"})
    if unknown:
        raise ValueError(f"unknown member {unknown[0]!r}")
    name = document.get("name", default_name)
    if not is_text(name):
        raise ValueError('"name" must be a text of 1 to 1000 characters without control characters')
    names = document.get("keypoints")
    if not isinstance(names, list) or not names or not all(is_text(n) for n in names):
        raise ValueError('"keypoints" must be a list of names of 1 to 1000 characters')
    if len(names) > MAX_POINTS:
        raise ValueError(f'"keypoints" names {len(names)} points, over the limit of {MAX_POINTS}')
    if len(set(names)) != len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise ValueError(f'"keypoints" names {twice!r} twice')
    flips = _parse_pairs(document, "flip_pairs", names)
    flipped = [index for pair in flips for index in pair]
    if len(set(flipped)) != len(flipped):
        twice = next(names[i] for i in flipped if flipped.count(i) > 1)
        raise ValueError(f'"flip_pairs" holds {twice!r} twice')
    sigmas = _sigmas(document["sigmas"], len(names)) if "sigmas" in document else ()
    if sigmas is None:
        raise ValueError(
            f'"sigmas" must be {len(names)} positive numbers up to {MAX_SIGMA:g}, one for each keypoint'
        )
    return _make(name, names, _parse_pairs(document, "skeleton", names), flips, sigmas)


def _parse_pairs(document: Mapping[str, Any], member: str, names: list[str]) -> Pairs:
    value = document.get(member, [])
    if not isinstance(value, list):
        raise ValueError(f'"{member}" must be a list of pairs')
    pairs = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError(f'"{member}" holds {pair!r}, which is not a pair')
        first, second = (_parse_index(member, point, names) for point in pair)
        if first == second:
            raise ValueError(f'"{member}" pairs {names[first]!r} with itself')
        pairs.append((first, second))
    return tuple(pairs)


def _parse_index(member: str, point: Any, names: list[str]) -> int:
    if isinstance(point, str) and point in names:
        return names.index(point)
    if isinstance(point, int) and not isinstance(point, bool) and 0 <= point < len(names):
        return point
    raise ValueError(
        f'"{member}" refers to {point!r}, which is neither a name nor an index below {len(names)}'
    )


def _sigmas(values: Any, count: int) -> tuple[float, ...] | None:
    """Return `count` numbers above 0 and up to MAX_SIGMA, or None if that is not what `values` holds."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        return None
    try:
        numbers = list(values)
        if len(numbers) != count or any(isinstance(v, (bool, str, bytes)) for v in numbers):
            return None
        # Six digits: training code keeps sigmas in float32, where 0.026 becomes 0.02600000053.
        sigmas = tuple(round(float(v), 6) for v in numbers)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # arrays and tensors of other shapes
        return None
    return sigmas if all(0 < v <= MAX_SIGMA for v in sigmas) else None


def choose_keypoints(
    count: int, meta: Mapping[str, Any], *, asked: KeypointSet | None = None, trained_sigmas: Any = None
) -> tuple[KeypointSet, tuple[str, ...]]:
    """Choose the set of a network with `count` points, and say what was assumed.

    First what the user asked for, then what the checkpoint's dataset_meta states (all names; or the name of
    the data set, flip indices and sigmas), then the known set of that count, then numbered points.
    trained_sigmas: the loss's, for a dataset_meta without sigmas. Errors: UsageError.
    """
    found = meta.get("dataset_meta")
    stated: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    flips = _flip_pairs(stated.get("flip_indices"), count)
    sigmas = _sigmas(stated.get("sigmas"), count) or _sigmas(trained_sigmas, count)
    points = _named_points(count, stated, flips)
    notes: tuple[str, ...] = ()
    if asked is not None:
        if len(asked.keypoints) != count:
            raise UsageError(
                f"the keypoint set {asked.name} has {len(asked.keypoints)} points, the network {count}",
                hint="name every point of the network, in its order",
            )
        completed, notes = _completed(asked, sigmas)
        return completed, (*_order_notes(asked, points), *notes)
    if points is None:
        known = [s for s in KEYPOINT_SETS.values() if len(s.keypoints) == count]
        fitting = [s for s in known if flips is None or set(s.flip_pairs) == set(flips)]
        if fitting:
            points, notes = fitting[0], (f"keypoint names assumed: {fitting[0].name}",)
        else:
            points = dataclasses.replace(numbered_points(count), flip_pairs=flips or ())
            notes = (f"keypoint names unknown: {count} numbered points; --keypoints names them",)
    if sigmas is not None:
        points = dataclasses.replace(points, sigmas=sigmas)
    elif points not in KEYPOINT_SETS.values() or _has_no_sigmas(points):
        notes = (*notes, _assumed_sigmas(points.name))
    return points, notes


def _order_notes(asked: KeypointSet, stated: KeypointSet | None) -> tuple[str, ...]:
    """Say so where a user's set has the checkpoint's own names in another order."""
    own = stated.keypoints if stated else asked.keypoints
    for name, before in zip(asked.keypoints, own, strict=True):
        if name != before and name in own:
            return (
                f"{asked.name} calls {name} what the checkpoint's dataset_meta calls {before}: it renames",
            )
    return ()


def _completed(asked: KeypointSet, sigmas: tuple[float, ...] | None) -> tuple[KeypointSet, tuple[str, ...]]:
    """Take sigmas that a user's set leaves out from the checkpoint, which may state them, or assume them."""
    if asked.sigmas and not _has_no_sigmas(asked):
        return asked, ()
    if sigmas is not None:
        return dataclasses.replace(asked, sigmas=sigmas), ()
    assumed = (DEFAULT_SIGMA,) * len(asked.keypoints)
    return dataclasses.replace(asked, sigmas=assumed), (_assumed_sigmas(asked.name),)


def _has_no_sigmas(points: KeypointSet) -> bool:
    """Tell whether nobody has published the sigmas of a set that is known here."""
    return points in KEYPOINT_SETS.values() and set(points.sigmas) == {DEFAULT_SIGMA}


def _assumed_sigmas(name: str) -> str:
    return f"sigmas of {name} assumed: {DEFAULT_SIGMA:g} each; OKS, AP and tracking hang on them"


def _named_points(count: int, stated: Mapping[str, Any], flips: Pairs | None) -> KeypointSet | None:
    """Return the set that dataset_meta describes in full or names, if it does."""
    name = stated.get("dataset_name")
    dataset = "".join(c for c in name[:_MAX_NAME].lower() if c.isalnum()) if isinstance(name, str) else ""
    known = KEYPOINT_SETS.get(_DATASET_NAMES.get(dataset, ""))
    by_index = stated.get("keypoint_id2name")
    if isinstance(by_index, Mapping):
        names = [by_index.get(index) for index in range(count)]
        if len(by_index) == count and all(is_text(n) for n in names) and len(set(names)) == count:
            texts = tuple(str(n) for n in names)
            if known is not None and known.keypoints == texts:
                return known
            links = _index_pairs(stated.get("skeleton_links"), count)
            name = f"{dataset or 'custom'}{'' if dataset.endswith(str(count)) else count}"
            if name in KEYPOINT_SETS and KEYPOINT_SETS[name].keypoints != texts:
                name = f"custom-{name}"
            return _make(name, texts, links, flips or (), (DEFAULT_SIGMA,) * count)
    if known is None or len(known.keypoints) != count:
        return None
    return known if flips is None or set(flips) == set(known.flip_pairs) else None


def _flip_pairs(indices: Any, count: int) -> Pairs | None:
    """Return the pairs of a mirror permutation, or None if `indices` is none."""
    if not isinstance(indices, (list, tuple)) or len(indices) != count:
        return None
    if not all(isinstance(i, int) and 0 <= i < count and indices[i] == n for n, i in enumerate(indices)):
        return None
    return tuple((index, other) for index, other in enumerate(indices) if index < other)


def _index_pairs(values: Any, count: int) -> Pairs:
    """Return the well-formed index pairs of a list."""
    pairs = values if isinstance(values, (list, tuple)) else ()
    return tuple(
        (p[0], p[1])
        for p in pairs
        if isinstance(p, (list, tuple))
        and len(p) == 2
        and all(isinstance(i, int) and 0 <= i < count for i in p)
        and p[0] != p[1]
    )
