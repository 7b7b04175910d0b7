"""Every numeric tolerance of the tests, with what it is measured in."""

from __future__ import annotations

# Mean shift of confident keypoints (docs/accuracy.md says which) against torch fp32, in source pixels.
DRIFT_MEAN_PX = {"fp32": 0.1, "fp16": 0.3}

# A port in float64: max|y - ref| / max|ref| for each output (the references are stored as float32).
FLOAT64_RELATIVE = 1e-6
# A port in float32: this many times the noise of the original network, which its golden pack states.
FLOAT32_NOISE_FACTOR = 10.0

# Recall at IoU 0.5 through the C++ pipeline against the torch network, in points of 100.
RECALL_POINTS = 0.5

# A converted fp32 network run by the C++ engine: max|y - ref| / max|ref| for each output of a golden pack.
ARTIFACT_RELATIVE = 1e-3

# Persons of an RTMO bundle against the original code: box corners and keypoints in input pixels, and scores.
RTMO_PERSON_PX = 0.1
RTMO_PERSON_SCORE = 1e-3
