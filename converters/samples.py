"""Network inputs for verification: real pictures through the C++ preprocessing, and noise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import edgepose
from edgepose.artifact import Preprocess
from edgepose.bundle.manifest import preprocess_member
from edgepose.core import core_errors, load_core
from edgepose.errors import BundleError, ConversionError, EdgePoseError, UsageError
from edgepose.media import list_pictures, read_picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Box = tuple[float, float, float, float]

MAX_USER_PICTURES = 16
RANDOM_SAMPLES = 2
GOLDEN_SIDE_PX = 256

_SEED = 20260101


@dataclass(frozen=True, slots=True)
class Sample:
    """One network input [1, 3, h, w]; is_real tells pictures from noise."""

    name: str
    tensor: NDArray[np.float32]
    is_real: bool


@dataclass(frozen=True, slots=True)
class GoldenPicture:
    """The picture that every bundle carries, and boxes on it to choose the golden ones from."""

    picture: Picture
    candidate_boxes: tuple[Box, ...]


def picture_files(folder: Path | None) -> list[Path]:
    """List the pictures to verify with: the package's own and at most 16 of `folder`, evenly taken by name.

    Errors: UsageError where the folder is none or holds no picture.
    """
    own = sorted((Path(edgepose.__file__).parent / "data").glob("*.jpg"))
    if folder is None:
        return own
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder of pictures", hint="give a folder with --pictures")
    found = list_pictures(folder)
    step = max(1.0, len(found) / MAX_USER_PICTURES)
    return own + [found[int(i * step)] for i in range(min(len(found), MAX_USER_PICTURES))]


def make_samples(preprocess: Preprocess, files: Sequence[Path]) -> list[Sample]:
    """Make the inputs that every stage is compared on; the same for the same pictures and preprocessing.

    Errors: UsageError (a picture that cannot be read, or is too large), ConversionError.
    """
    spec_json = json.dumps(preprocess_member(preprocess))
    pictures = [(path.name, read_picture(path)) for path in files]
    samples = []
    if preprocess.resize == "affine":
        for name, picture in pictures:
            for label, box in _boxes(name, picture, many=len(files) <= 4).items():
                tensor, _ = preprocessed(name, picture, box, spec_json)
                samples.append(Sample(f"{name}:{label}", tensor, is_real=True))
    else:
        views = [*pictures, *_montages(pictures)]
        for name, picture in views:
            tensor, _ = preprocessed(name, picture, None, spec_json)
            samples.append(Sample(name, tensor, is_real=True))
    return samples + _noise(preprocess, spec_json)


def golden_picture(files: Sequence[Path]) -> GoldenPicture:
    """Make the golden picture: the first of the package, at most 256 px wide and high."""
    import cv2
    import numpy as np

    picture = read_picture(files[0])
    height, width = picture.shape[:2]
    factor = min(1.0, GOLDEN_SIDE_PX / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    parts = (
        (0, 0, 1, 1),
        (0.2, 0, 0.75, 1),
        (0.1, 0, 0.9, 0.8),
        (0.25, 0, 0.75, 0.5),
        (0, 0.2, 1, 1),
        (0, 0, 0.8, 1),
    )
    boxes = [tuple(float(round(v * size[i % 2])) for i, v in enumerate(part)) for part in parts]
    return GoldenPicture(small, tuple(boxes))  # type: ignore[arg-type]


def preprocessed(
    name: str, picture: Picture, box: Box | None, spec_json: str
) -> tuple[NDArray[np.float32], Sequence[float]]:
    """Return a picture as the network's input [1, 3, h, w], and the transform.

    Errors: UsageError (the picture, by its name), ConversionError (a preprocessing that no bundle can have).
    """
    try:
        with core_errors():
            tensor, transform = load_core().preprocess(picture, box, spec_json)
    except BundleError as error:
        raise ConversionError(
            f"the network fits no bundle: {error.message}", hint="change the network where it was trained"
        ) from error
    except EdgePoseError as error:
        raise type(error)(f"{name}: {error.message}", hint=error.hint) from error
    return tensor[None], transform


def _boxes(name: str, picture: Picture, *, many: bool) -> dict[str, Box]:
    """Make sensible person boxes on a picture of one person: whole, centre, and jittered ones."""
    height, width = picture.shape[:2]
    whole = (0.0, 0.0, float(width), float(height))
    boxes = {"whole": whole, "centre": _inset(whole, 0.15)}
    if many:
        random = _generator(name)
        boxes["upper"] = (width * 0.1, 0.0, width * 0.9, height * 0.6)
        for index in range(2):
            dx, dy, factor = random.uniform(-0.12, 0.12, 3)
            x1, y1, x2, y2 = _inset(whole, 0.1 + factor / 2)
            boxes[f"jitter{index}"] = (x1 + dx * width, y1 + dy * height, x2 + dx * width, y2 + dy * height)
    return {label: tuple(round(float(v), 2) for v in box) for label, box in boxes.items()}  # type: ignore[misc]


def _inset(box: Box, share: float) -> Box:
    x1, y1, x2, y2 = box
    dx, dy = (x2 - x1) * share, (y2 - y1) * share
    return (x1 + dx, y1 + dy, x2 - dx, y2 - dy)


def _montages(pictures: Sequence[tuple[str, Picture]]) -> list[tuple[str, Picture]]:
    """Paste the pictures smaller and several to a frame, so that a detector sees people of other sizes."""
    import cv2
    import numpy as np

    side = 512
    views: list[tuple[str, Picture]] = []
    for columns in (2, 3):
        canvas = np.full((side, side, 3), 114, np.uint8)
        cell = side // columns
        for index in range(columns * columns):
            picture = pictures[index % len(pictures)][1]
            factor = 0.92 * cell / max(picture.shape[:2])
            size = (max(1, int(picture.shape[1] * factor)), max(1, int(picture.shape[0] * factor)))
            tile = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            if (index // len(pictures)) % 2:
                tile = tile[:, ::-1]
            y, x = (index // columns) * cell, (index % columns) * cell
            canvas[y : y + size[1], x : x + size[0]] = tile
        views.append((f"montage{columns}", np.ascontiguousarray(canvas)))
    return views


def _noise(preprocess: Preprocess, spec_json: str) -> list[Sample]:
    """Make inputs of uniform noise, as wide as real pictures are."""
    import numpy as np

    height, width = preprocess.input_hw
    samples = []
    for index in range(RANDOM_SAMPLES):
        picture = _generator(f"noise{index}").integers(0, 256, (height, width, 3), dtype=np.uint8)
        box = (0.0, 0.0, float(width), float(height)) if preprocess.resize == "affine" else None
        tensor, _ = preprocessed(f"noise{index}", picture, box, spec_json)
        samples.append(Sample(f"noise{index}", tensor, is_real=False))
    return samples


def _generator(name: str) -> np.random.Generator:
    import numpy as np

    digest = hashlib.sha256(f"{_SEED}/{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:8], "little")))
