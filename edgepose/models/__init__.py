"""Load a checkpoint: recognise the network from its tensors, build it and describe it."""

from __future__ import annotations

from edgepose.models.loading import LoadedModel, load_model

__all__ = ["LoadedModel", "load_model"]
