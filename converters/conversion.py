"""From checkpoints to bundles: the whole conversion, each step cached, nothing written that is off."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose.artifact import BoxHead, Head, KeypointSet, LineageEntry, Precision
from edgepose.bundle.manifest import ROLE_OF_TASK, is_valid_name
from edgepose.bundle.pack import StagedBundle, refuse_existing, stage_bundle
from edgepose.cache import Cache
from edgepose.converters import assemble, steps
from edgepose.converters.base import (
    PRECISIONS,
    Children,
    DeviceExporter,
    Exporter,
    bundle_label,
    exporter,
    require,
)
from edgepose.converters.parity import ParityError, StageResult
from edgepose.converters.samples import picture_files
from edgepose.errors import UsageError
from edgepose.hashing import sha256_file
from edgepose.zoo import known_license

if TYPE_CHECKING:
    from edgepose.models import LoadedModel
    from edgepose.progress import Progress

_WORKERS = 2
_COMBINATIONS = (("detector", "pose"), ("pose",), ("detector",), ("one_stage",))


@dataclass(frozen=True, slots=True)
class ConvertedBundle:
    """A bundle that was written: where, what it holds, and how far each stage was from torch.

    digest is its manifest_sha256. cached: no stage had to be run again.
    """

    path: Path
    name: str
    backend: str
    precision: Precision
    digest: str
    stages: tuple[StageResult, ...]
    lineage: tuple[LineageEntry, ...]
    notes: tuple[str, ...]
    cached: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    exporters: list[Exporter]
    precision: Precision
    requests: list[steps.Request]
    cache: Cache | None
    work_dir: Path
    children: Children
    progress: Progress | None
    box_class: str | None

    def stage(self, name: str, total: int | None = None) -> None:
        if self.progress:
            self.progress.stage(name, total=total)

    def advance(self) -> None:
        if self.progress:
            self.progress.advance()

    def folder(self, name: str) -> Path:
        path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.work_dir))
        return path


def convert(
    checkpoints: Sequence[Path],
    targets: Sequence[str],
    *,
    precision: Precision = "fp32",
    soc: str | None = None,
    out_dir: Path,
    name: str | None = None,
    input_hw: tuple[int, int] | None = None,
    keypoints: KeypointSet | None = None,
    box_class: str | None = None,
    pictures: Path | None = None,
    use_cache: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> list[ConvertedBundle]:
    """Convert one network, or a detector and a pose network, into one bundle per target.

    A bundle is out_dir/NAME.TARGET.PRECISION, the target with the chip `soc` where it has one; all of them
    appear at the end, or none. pictures: a folder whose pictures are used in the comparisons beside the
    package's own. input_hw and keypoints say what a
    checkpoint cannot; in a pipeline, input_hw is the detector's. box_class: the detector's class whose boxes
    the pose network gets, in place of persons. Errors: UsageError, CheckpointError,
    ParityError and other ConversionErrors, MissingDependencyError, ConfigurationError, OSError.
    """
    exporters = [exporter(target, soc) for target in dict.fromkeys(targets)]
    if not exporters:
        raise UsageError("no target is given", hint="for example --to ncnn")
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}", hint=f"choose from: {', '.join(PRECISIONS)}")
    _check_devices(exporters, precision, soc)
    if name is not None and not is_valid_name(name):
        raise UsageError(f"{name!r} cannot be a bundle's name", hint="use letters, digits and . _ + - only")
    requests = _requests(checkpoints, input_hw, keypoints, tuple(picture_files(pictures)))
    children = Children()
    with tempfile.TemporaryDirectory(prefix="edgepose-convert-", ignore_cleanup_errors=True) as work:
        plan = _Plan(
            exporters,
            precision,
            requests,
            Cache("convert") if use_cache else None,
            Path(work),
            children,
            progress,
            box_class,
        )
        done: list[StageResult] = []
        try:
            return _convert(plan, out_dir, name, force, done)
        except ParityError as error:
            error.stages = (*done, *error.stages)
            raise
        except BaseException:
            children.kill()
            raise


def _check_devices(exporters: Sequence[Exporter], precision: Precision, soc: str | None) -> None:
    """Check chips and their precisions before any work."""
    devices = [e for e in exporters if isinstance(e, DeviceExporter)]
    if soc is not None and not devices:
        raise UsageError(f"--soc {soc} is for the target rknn only", hint="add --to rknn, or leave --soc out")
    others = [e.target for e in exporters if e.target != "openvino"]
    if precision == "bf16" and others:
        raise UsageError(
            f"bf16 is for openvino, not for {others[0]}",
            hint="convert for openvino alone, or give another --precision",
        )
    for device in devices:
        device.check(precision)


def _requests(
    checkpoints: Sequence[Path],
    input_hw: tuple[int, int] | None,
    keypoints: KeypointSet | None,
    pictures: tuple[Path, ...],
) -> list[steps.Request]:
    if not checkpoints:
        raise UsageError(
            "no checkpoint is given", hint="give a .pth file, or a detector's and a pose network's"
        )
    if len(checkpoints) > 2:
        raise UsageError(
            f"{len(checkpoints)} checkpoints are given",
            hint="a bundle holds one network, or a detector and a pose network",
        )
    if len({path.resolve() for path in checkpoints}) < len(checkpoints):
        raise UsageError(
            f"{checkpoints[0]} is given twice", hint="give a detector's and a pose network's checkpoint"
        )
    requests = []
    for path in checkpoints:
        if not path.is_file():
            raise UsageError(f"{path} is not a file", hint="give the path of a checkpoint (.pth)")
        digest = sha256_file(path)
        requests.append(
            steps.Request(path, digest, input_hw, keypoints, pictures, known_license(path, digest))
        )
    return requests


def _convert(
    plan: _Plan, out_dir: Path, name: str | None, force: bool, done: list[StageResult]
) -> list[ConvertedBundle]:
    loaded = [_known_or_loaded(plan, request) for request in plan.requests]
    specs = [item.artifact.spec if isinstance(item, steps.Canonical) else item.spec for item in loaded]
    roles = [ROLE_OF_TASK[spec.task] for spec in specs]
    _check_combination(plan.requests, roles)
    _check_box_class(plan.box_class, [spec.head for spec in specs])
    ordered = sorted(zip(roles, specs, strict=True), key=lambda pair: pair[0])
    bundle_name = name or _default_name([spec.name for _, spec in ordered])
    paths = {e.target: out_dir / f"{bundle_name}.{bundle_label(e)}.{plan.precision}" for e in plan.exporters}
    for path in paths.values():
        refuse_existing(path, force=force)
    canonicals = []
    for request, item in zip(plan.requests, loaded, strict=True):
        if not isinstance(item, steps.Canonical):
            plan.stage(f"{item.spec.name}: torch to ONNX")
            item = steps.make_canonical(request, item, plan.cache, plan.folder(item.spec.name))
        canonicals.append(item)
        done.append(item.stage)
    del loaded
    converted = _convert_targets(plan, canonicals, done)
    plan.stage("write the bundles", total=len(plan.exporters))
    return _write(plan, bundle_name, paths, converted, force=force)


def _known_or_loaded(plan: _Plan, request: steps.Request) -> steps.Canonical | LoadedModel:
    """Take a network from the cache, or load its checkpoint."""
    found = steps.cached_canonical(request, plan.cache) if plan.cache else None
    if found and _takes_the_asked_input(found, request, alone=len(plan.requests) == 1):
        return found
    plan.stage(f"load {request.checkpoint.name}")
    require(steps.CANONICAL_TOOLS, purpose="convert a checkpoint")
    from edgepose.models import load_model

    asked = "input_hw" if len(plan.requests) == 1 else "detector_input_hw"
    model = load_model(request.checkpoint, keypoints=request.keypoints, **{asked: request.input_hw})
    if model.sha256 != request.checkpoint_sha256:
        raise UsageError(f"{request.checkpoint} changed while it was read", hint="convert it again")
    if request.license is None:
        return model
    return dataclasses.replace(model, spec=dataclasses.replace(model.spec, license=request.license))


def _takes_the_asked_input(found: steps.Canonical, request: steps.Request, *, alone: bool) -> bool:
    """Tell whether a network from the cache has the input size that is asked of it.

    In a pipeline the size is the detector's, and the pose network was stored under a request for it too.
    """
    asked = request.input_hw if alone or found.role == "detector" else None
    return asked is None or tuple(asked) == found.artifact.spec.preprocess.input_hw


def _check_combination(requests: Sequence[steps.Request], roles: Sequence[str]) -> None:
    if tuple(sorted(roles)) not in _COMBINATIONS:
        what = " and ".join(
            f"{request.checkpoint.name} ({role.replace('_', '-')})"
            for request, role in zip(requests, roles, strict=True)
        )
        raise UsageError(
            f"{what} do not make a pipeline", hint="give a detector and a pose network, or one network"
        )
    if requests[0].keypoints is not None and set(roles) == {"detector"}:
        raise UsageError(
            f"keypoints are named, but {requests[0].checkpoint.name} finds boxes alone",
            hint="leave --keypoints out",
        )


def _check_box_class(box_class: str | None, heads: Sequence[Head]) -> None:
    if box_class is None:
        return
    detector = next((head for head in heads if isinstance(head, BoxHead)), None)
    if detector is None or len(heads) == 1:
        raise UsageError(
            "--box-class is for a detector with a pose network",
            hint="give both checkpoints, or leave --box-class out",
        )
    assemble.person_label(detector, box_class)


def _convert_targets(
    plan: _Plan, canonicals: Sequence[steps.Canonical], done: list[StageResult]
) -> dict[str, list[steps.Converted]]:
    """Convert every network to every target, two at a time."""
    jobs = [(canonical, e) for canonical in canonicals for e in plan.exporters]
    plan.stage(f"ONNX to {', '.join(e.target for e in plan.exporters)}", total=len(jobs))
    results: dict[tuple[str, str], steps.Converted] = {}
    missing = []
    for canonical, e in jobs:
        found = steps.cached_target(canonical, e, plan.precision, plan.cache) if plan.cache else None
        if found:
            results[canonical.role, e.target] = found
            plan.advance()
        else:
            require(e.tools, purpose=f"convert to {e.target}")
            missing.append((canonical, e))
    pool = ThreadPoolExecutor(max_workers=_WORKERS)
    try:
        futures: dict[Future[steps.Converted], tuple[str, str]] = {}
        for canonical, e in missing:
            future = pool.submit(
                steps.make_target,
                canonical,
                e,
                plan.precision,
                pictures=plan.requests[0].pictures,
                cache=plan.cache,
                work_dir=plan.folder(f"{canonical.role}-{e.target}"),
                children=plan.children,
            )
            futures[future] = (canonical.role, e.target)
        for future in as_completed(futures):
            results[futures[future]] = future.result()
            plan.advance()
    except BaseException:
        plan.children.kill()
        done += [result.stage for result in results.values()]
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return {e.target: [results[canonical.role, e.target] for canonical in canonicals] for e in plan.exporters}


def _write(
    plan: _Plan,
    name: str,
    paths: dict[str, Path],
    converted: dict[str, list[steps.Converted]],
    *,
    force: bool,
) -> list[ConvertedBundle]:
    """Write all bundles under temporary names, then publish all."""
    bundles = []
    with ExitStack() as stack:
        staged: list[StagedBundle] = []
        for e in plan.exporters:
            parts = assemble.in_order(converted[e.target])
            members, files = assemble.manifest(
                name, e.target, plan.precision, parts, box_class=plan.box_class
            )
            bundle = stage_bundle(paths[e.target], members, files, force=force, check=assemble.check_bundle)
            staged.append(stack.enter_context(bundle))
            bundles.append(_described(plan, paths[e.target], name, e.target, bundle.digest, parts))
            plan.advance()
        for bundle in staged:  # before the first is published: all targets or none
            refuse_existing(bundle.target, force=force)
        for bundle in staged:
            bundle.publish()
    return bundles


def _described(
    plan: _Plan, path: Path, name: str, target: str, digest: str, parts: Sequence[steps.Converted]
) -> ConvertedBundle:
    notes = ((part, note) for part in parts for note in _notes(part, parts, plan.box_class))
    return ConvertedBundle(
        path=path,
        name=name,
        backend=target,
        precision=plan.precision,
        digest=digest,
        stages=tuple(stage for part in parts for stage in (part.canonical.stage, part.stage)),
        lineage=tuple(entry for part in parts for entry in part.artifact.lineage),
        notes=tuple(f"{part.artifact.spec.name}: {note}" for part, note in notes),
        cached=all(part.cached and part.canonical.cached for part in parts),
    )


def _notes(part: steps.Converted, parts: Sequence[steps.Converted], box_class: str | None) -> list[str]:
    """List what a user should know: what was assumed or not compared, which layers left the accelerator."""
    placed = [entry.arguments["layers"] for entry in part.artifact.lineage if "layers" in entry.arguments]
    if not part.stage.compared:
        placed.append(
            "even the torch network finds nobody in the pictures compared, so only "
            "raw outputs were: name a folder of fitting pictures with --pictures"
        )
    return [*part.canonical.notes, *assemble.person_notes(part, parts, box_class), *placed]


def _default_name(names: Sequence[str]) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]", "-", "+".join(names))[:100]


def describe(bundle: ConvertedBundle) -> dict[str, Any]:
    """Return a bundle's report as a JSON value, with the seconds that each step took when it was run."""
    return {
        "path": str(bundle.path),
        "name": bundle.name,
        "backend": bundle.backend,
        "precision": bundle.precision,
        "digest": bundle.digest,
        "cached": bundle.cached,
        "stages": [stage.to_json() for stage in bundle.stages],
        "steps": [
            {"step": e.step, "tool": e.tool, "version": e.version, "seconds": round(e.seconds, 2)}
            for e in bundle.lineage
        ],
        "notes": list(bundle.notes),
    }
