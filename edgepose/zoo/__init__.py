"""The official checkpoints: their facts, and verified downloads of them into the cache."""

from __future__ import annotations

from edgepose.zoo.catalog import ZooModel, find, known_keypoints, known_license, models
from edgepose.zoo.store import pull, resolve

__all__ = ["ZooModel", "find", "known_keypoints", "known_license", "models", "pull", "resolve"]
