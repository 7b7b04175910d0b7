"""Rendered people with exact COCO labels: pictures and videos from a seed, the same pixels on every machine.

They serve tests, the demo and users who have no data at hand. `render_scene` and `render_video` need NumPy
only; the files of `edgepose synth` are written by `edgepose.synth.dataset`.
"""

from __future__ import annotations

from edgepose.synth.annotate import PersonLabel, coco_annotation, coco_document, person_category
from edgepose.synth.body import KEYPOINTS
from edgepose.synth.motion import MOTIONS
from edgepose.synth.pose import POSES
from edgepose.synth.scene import MAX_PERSONS, SyntheticImage, render_scene
from edgepose.synth.video import render_video

__all__ = [
    "KEYPOINTS",
    "MAX_PERSONS",
    "MOTIONS",
    "POSES",
    "PersonLabel",
    "SyntheticImage",
    "coco_annotation",
    "coco_document",
    "person_category",
    "render_scene",
    "render_video",
]
