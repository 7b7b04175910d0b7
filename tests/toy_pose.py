"""A pose network's facts for tests that need no network."""

from __future__ import annotations

from edgepose.artifact import KeypointSet, ModelSpec, Preprocess, SimccHead

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
