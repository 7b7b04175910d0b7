"""Pose networks' facts and outputs for tests that need no network."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from edgepose.artifact import KeypointSet, ModelSpec, Preprocess, SimccHead
from edgepose.skeletons import KEYPOINT_SETS

TOY_POSE = ModelSpec(
    name="toy",
    family="rtmpose",
    task="pose",
    preprocess=Preprocess("affine", (32, 32), "rgb", (1, 2, 3), (4, 5, 6), (0, 0, 0), 1.25),
    head=SimccHead(2.0, KeypointSet("two", ("a", "b"), (), (), (0.05, 0.05))),
    input_names=("input",),
    output_names=("simcc_x", "simcc_y"),
    license="Apache-2.0",
    parameters=1,
)

WHOLE_BODY = dataclasses.replace(
    TOY_POSE,
    preprocess=dataclasses.replace(TOY_POSE.preprocess, input_hw=(256, 192)),
    head=SimccHead(2.0, KEYPOINT_SETS["wholebody133"]),
)


def whole_bodies(samples: int, *, hands_px: float = 0.0) -> list[list[NDArray[np.float32]]]:
    """Make outputs of WHOLE_BODY with scores of 0.6 to 0.9, of the hands 0.40 to 0.55; these may be moved."""
    random = np.random.default_rng(0)
    scores = random.uniform(0.6, 0.9, (samples, 133))
    scores[:, 91:] = random.uniform(0.4, 0.55, (samples, 42))
    moved = np.zeros(133, int)
    moved[91:] = round(2 * hands_px)
    made = []
    for sample in scores:
        axes = []
        for bins, shift in ((384, moved), (512, 0 * moved)):
            peaks = random.integers(30, bins - 30, 133) + shift
            rows = np.exp(-(((np.arange(bins) - peaks[:, None]) / 12) ** 2)) * sample[:, None]
            axes.append(rows.astype(np.float32)[None])
        made.append(axes)
    return made
