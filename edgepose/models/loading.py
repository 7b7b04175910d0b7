"""From a checkpoint file to a ready network with its description."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgepose.artifact import KeypointSet, ModelSpec
from edgepose.errors import CheckpointError, EdgePoseError
from edgepose.models import rtmdet, rtmo, rtmpose, rtmw
from edgepose.models.checkpoint import is_batch_counter, read_checkpoint
from edgepose.models.family import Family, Source
from edgepose.models.fixed_settings import check_settings
from edgepose.models.shapes import Shapes
from edgepose.models.tested_settings import tested_preprocess
from edgepose.models.training_config import stated_preprocess, unquoted_notes, unread_notes
from edgepose.zoo import known_license

if TYPE_CHECKING:
    from torch import Tensor, nn

# First match wins.
FAMILIES: tuple[Family, ...] = (rtmpose.FAMILY, rtmw.FAMILY, rtmo.FAMILY, rtmdet.FAMILY)

_NAMED_DIFFERENCES = 4
_HINT = "only unmodified networks of a known family can be loaded"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A float32 network in evaluation mode, its description, its file's SHA-256, and what was assumed."""

    spec: ModelSpec
    network: nn.Module
    sha256: str
    notes: tuple[str, ...]


def load_model(
    path: Path,
    *,
    keypoints: KeypointSet | None = None,
    input_hw: tuple[int, int] | None = None,
    detector_input_hw: tuple[int, int] | None = None,
) -> LoadedModel:
    """Load a checkpoint without running anything in it; its tensors tell family, size, input and keypoints.

    keypoints: names, skeleton and flip pairs instead of those that the checkpoint suggests. input_hw:
    (height, width) in pixels for networks whose checkpoint does not fix it (RTMDet, RTMO); detector_input_hw:
    the same, if it is a detector. Errors: UsageError (missing file, a request that does not fit),
    CheckpointError (everything about the content).
    """
    path = Path(path)
    checkpoint = read_checkpoint(path)
    shapes = Shapes({key: tuple(value.shape) for key, value in checkpoint.tensors.items()})
    try:
        if detector_input_hw is not None and rtmdet.FAMILY.matches(shapes):
            input_hw = detector_input_hw
        loaded = build(
            Source(
                tensors=checkpoint.tensors,
                shapes=shapes,
                meta=checkpoint.meta,
                keypoints=keypoints,
                input_hw=input_hw,
                normalisation=checkpoint.normalisation,
            )
        )
    except EdgePoseError as error:
        raise type(error)(f"{path.name}: {error.message}", hint=error.hint or _HINT) from error
    spec, network, notes = loaded
    official = known_license(path, checkpoint.sha256) is not None
    unquoted = () if official else unquoted_notes(checkpoint.meta)
    return LoadedModel(
        spec=spec, network=network, sha256=checkpoint.sha256, notes=(*checkpoint.notes, *unquoted, *notes)
    )


def build(source: Source) -> tuple[ModelSpec, nn.Module, tuple[str, ...]]:
    import torch

    family = next((family for family in FAMILIES if family.matches(source.shapes)), None)
    if family is None:
        raise _unknown_family(source.tensors)
    plan = family.plan(source)
    check_settings(source.meta)
    preprocess, preprocess_notes = stated_preprocess(plan.spec.preprocess, source.meta, source.normalisation)
    preprocess, padding_notes = tested_preprocess(preprocess, source.meta)
    with torch.device("meta"):
        network = plan.make()
    expected = network.state_dict()
    counters = {key: torch.zeros((), dtype=torch.long) for key in expected if is_batch_counter(key)}
    weights = {key: value for key, value in expected.items() if key not in counters}
    tensors = {**source.tensors, **plan.restored}
    _check_tensors(family.title, weights, tensors)
    network.load_state_dict({**tensors, **counters}, strict=True, assign=True)
    network.eval().requires_grad_(False)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    spec = dataclasses.replace(plan.spec, parameters=parameters, preprocess=preprocess)
    return spec, network, (*unread_notes(source.meta), *plan.notes, *preprocess_notes, *padding_notes)


def _check_tensors(title: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Refuse missing, unexpected and misshapen tensors, naming the first few. Errors: CheckpointError."""
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    differing = [
        f"{key} {list(found[key].shape)} instead of {list(value.shape)}"
        for key, value in expected.items()
        if key in found and found[key].shape != value.shape
    ]
    integers = [
        key
        for key, value in expected.items()
        if key in found and found[key].is_floating_point() != value.is_floating_point()
    ]
    parts = [
        f"{len(names)} {what}: {_first(names)}"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", differing),
            ("of another kind of number", integers),
        )
        if names
    ]
    if parts:
        raise CheckpointError(
            f"the tensors are not those of {title}: {'; '.join(parts)}",
            hint=_HINT,
        )


def _first(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - _NAMED_DIFFERENCES
    return ", ".join(names[:_NAMED_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")


def _unknown_family(tensors: Mapping[str, Tensor]) -> CheckpointError:
    groups: dict[str, int] = {}
    for key in tensors:
        group = ".".join(key.split(".")[:2])
        groups[group] = groups.get(group, 0) + 1
    found = ", ".join(f"{group} ({count})" for group, count in sorted(groups.items())[:8])
    more = f" and {len(groups) - 8} more groups" if len(groups) > 8 else ""
    if any(key.startswith("bbox_head.head_module.") for key in tensors):
        return CheckpointError(
            f"a network of mmyolo; found {len(tensors)} tensors: {found}{more}",
            hint="of detectors mmdet's RTMDet is read, not mmyolo's: train it there, or take an official one",
        )
    return CheckpointError(
        f"no known network family; found {len(tensors)} tensors: {found}{more}",
        hint=f"known families: {', '.join(family.title for family in FAMILIES)}",
    )
