"""From a float bundle to a calibrated one: every network of the pipeline, checked, nothing half written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgepose import __version__, log
from edgepose.artifact import Precision
from edgepose.bundle.folder import read_manifest
from edgepose.bundle.manifest import MANIFEST_NAME, is_valid_name, lineage_member
from edgepose.bundle.pack import refuse_existing, stage_bundle
from edgepose.calibration.base import Calibrator, calibrator
from edgepose.calibration.from_bundle import artifact_of
from edgepose.calibration.network import (
    MODES,
    CalibratedNetwork,
    Mode,
    calibrate_network,
    other_way,
    tell_layers,
)
from edgepose.calibration.pictures import CalibrationPicture, are_synthetic, digests, read_pictures
from edgepose.calibration.plan import load_plan
from edgepose.calibration.samples import Samples, make_samples
from edgepose.calibration.search import budget_changes
from edgepose.converters.assemble import check_bundle
from edgepose.converters.base import SOC_TARGETS, require
from edgepose.converters.limits import LIMITS
from edgepose.errors import BundleError, CalibrationError, ConversionError, UsageError
from edgepose.person_boxes import Box
from edgepose.pipeline import PosePipeline, box_class_of, keypoint_set_of

if TYPE_CHECKING:
    from edgepose.progress import Progress

DEFAULT_SAMPLES = 128
DEFAULT_PLAN = "accurate"
MAX_SAMPLES = 20_000  # the record of two networks must fit into the 16 MiB of bundle.json
MAX_SEED = 2**64 - 1


@dataclass(frozen=True, slots=True)
class CalibrationRequest:
    """What to calibrate with. source, evaluation: a folder, a list or COCO annotations.

    samples: to calibrate each network with; as many again are held out where the pictures suffice. plan: by
    default DEFAULT_PLAN where the calibrator takes one. budgets: "NAME=VALUE", what to change of auto's.
    """

    source: Path
    mode: Mode = "auto"
    samples: int = DEFAULT_SAMPLES
    seed: int = 0
    plan: str | None = None
    evaluation: Path | None = None
    sensitivity: bool = False
    budgets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CalibratedBundle:
    """A bundle that was written. digest: its manifest_sha256; samples: without their tensors."""

    path: Path
    precision: Precision
    digest: str
    networks: Mapping[str, CalibratedNetwork]
    samples: Mapping[str, Samples]


def calibrate(
    bundle_dir: Path,
    request: CalibrationRequest,
    *,
    out_dir: Path,
    maker: Calibrator | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> CalibratedBundle:
    """Calibrate every network of a float32 bundle, and write out_dir/NAME.BACKEND.MODE.

    maker: what quantises; by default the calibrator of the bundle's own backend.
    Errors: UsageError, BundleError, CalibrationError, ConfigurationError, EngineError,
    MissingDependencyError, OSError.
    """
    check_request(request)
    manifest = read_manifest(bundle_dir)
    if maker is None and manifest["backend"] in SOC_TARGETS:
        target = manifest["backend"]
        raise UsageError(
            f"{bundle_dir} is for {target}, whose int8 networks are made from another bundle",
            hint=f"convert the checkpoint with --to {target} --soc CHIP --precision {request.mode}",
        )
    maker = maker or calibrator(manifest["backend"])
    if maker.source != manifest["backend"]:
        raise UsageError(
            f"{bundle_dir} is for {manifest['backend']}; {maker.format} is made from {maker.source}",
            hint=f"convert the checkpoint with --to {maker.format} --precision {request.mode}",
        )
    check_maker(maker, request)
    if manifest["precision"] != "fp32":
        raise UsageError(
            f"{bundle_dir} is {manifest['precision']}; only fp32 bundles are calibrated",
            hint="convert the checkpoint with --precision fp32 first",
        )
    refuse_one_stage(str(bundle_dir), manifest)
    require(maker.tools, purpose=f"calibrate {maker.format} networks")
    target = target_folder(out_dir, manifest["name"], maker, request)
    refuse_existing(target, force=force)
    pictures = read_pictures(request.source, keypoint_set_of(manifest), box_class_of(manifest))
    evaluation = digests(request.evaluation) if request.evaluation else {}
    plan = load_plan(request.plan or DEFAULT_PLAN)
    synthetic = are_synthetic(request.source)
    if synthetic:
        log.notice(
            "calibrating on synthetic people: measure the result on photographs from where it will run"
        )
    networks: dict[str, CalibratedNetwork] = {}
    samples: dict[str, Samples] = {}

    def stage(name: str, total: int | None) -> None:
        if progress:
            progress.stage(name, total=total)

    def advance() -> None:
        if progress:
            progress.advance()

    with tempfile.TemporaryDirectory(prefix="edgepose-calibrate-", ignore_cleanup_errors=True) as work:
        artifacts = {role: artifact_of(bundle_dir, role) for role in manifest["models"]}
        # Those of all networks first: pictures that do not serve are refused before minutes of work.
        for role, artifact in artifacts.items():
            stage(f"{artifact.spec.name}: samples", 2 * request.samples)
            samples[role] = make_samples(
                pictures,
                artifact.spec.preprocess,
                count=request.samples,
                seed=request.seed,
                # Not kept: its networks would stay loaded.
                find_persons=_finder(bundle_dir, manifest) if _needs_detector(role, pictures) else None,
                evaluation=evaluation,
                advance=advance,
                synthetic=synthetic,
            )
        for role, artifact in artifacts.items():
            folder = Path(work) / role
            folder.mkdir()
            networks[role] = calibrate_network(
                artifact,
                maker,
                samples[role],
                plan,
                mode=request.mode,
                budget_changes=budget_changes(request.budgets),
                with_sensitivity=request.sensitivity,
                work_dir=folder,
                stage=stage,
                advance=advance,
            )
            samples[role].forget_tensors()
        stage("write the bundle", None)
        try:
            precision, digest = _write(
                bundle_dir, manifest, networks, target, maker, request.mode, force=force
            )
        except CalibrationError:
            for network in networks.values():
                tell_layers(network.artifact.spec.name, network.report)
            raise
    return CalibratedBundle(target, precision, digest, networks, samples)


def target_folder(out_dir: Path, name: str, maker: Calibrator, request: CalibrationRequest) -> Path:
    """Return where calibrate() writes the bundle. Errors: BundleError (a name that leads elsewhere)."""
    if not is_valid_name(name):
        raise BundleError(
            f"{name!r} cannot be a bundle's name", hint="make the bundle again with edgepose convert"
        )
    return out_dir / f"{name}.{maker.label}.{request.mode}"


def refuse_one_stage(name: str, manifest: Mapping[str, Any]) -> None:
    """Refuse a bundle whose network is not calibrated. Errors: CalibrationError with the name."""
    if "one_stage" in manifest["models"]:
        raise CalibrationError(
            f"{name}: one-stage networks are not calibrated yet",
            hint="convert the checkpoint with --precision fp16",
        )


def check_request(request: CalibrationRequest) -> None:
    """Refuse what cannot work before anything is done. Errors: UsageError."""
    check_mode(request.mode)
    if request.samples < 4:
        raise UsageError(f"{request.samples} samples are too few", hint="give --samples 100 or more")
    if request.samples > MAX_SAMPLES:
        raise UsageError(
            f"{request.samples} samples are too many for the record in the bundle",
            hint=f"give --samples {MAX_SAMPLES} or less",
        )
    if not 0 <= request.seed <= MAX_SEED:
        raise UsageError(f"the seed {request.seed} is not from 0 to {MAX_SEED}", hint="give a smaller --seed")
    if request.plan is not None:
        load_plan(request.plan)
    budget_changes(request.budgets)
    if request.budgets and request.mode != "auto":
        raise UsageError(
            f"--budget has no effect with --precision {request.mode}", hint="give --precision auto"
        )
    # Whose boxes count is known with the network.
    read_pictures(request.source, pictures_only=True)
    if request.evaluation:
        read_pictures(request.evaluation, pictures_only=True)


def check_mode(mode: str) -> None:
    """Refuse a precision that is not one of calibrated networks. Errors: UsageError."""
    if mode not in MODES:
        raise UsageError(f"unknown precision {mode!r}", hint=f"choose from: {', '.join(MODES)}")


def check_maker(maker: Calibrator, request: CalibrationRequest) -> None:
    """Refuse what a calibrator does not take. Errors: UsageError and those of its check()."""
    if request.plan is not None and not maker.takes_plan:
        raise UsageError(
            f"--plan has no effect for {maker.format}, whose tool quantises in its own way",
            hint=f"convert for {maker.format} without --plan",
        )
    maker.check(request.mode)


def _needs_detector(role: str, pictures: list[CalibrationPicture]) -> bool:
    return role == "pose" and any(picture.boxes is None for picture in pictures)


def _finder(bundle_dir: Path, manifest: Mapping[str, Any]) -> Callable[[NDArray[np.uint8]], list[Box]] | None:
    """Return what finds the persons of a picture with the bundle's own detector, if it has one."""
    if "detector" not in manifest["models"]:
        return None
    pipeline = PosePipeline(bundle_dir, threads=1)
    label = manifest["pipeline"]["person_label"]
    threshold = manifest["pipeline"]["box_score_threshold"]

    def find(image: NDArray[np.uint8]) -> list[Box]:
        boxes: list[Box] = []
        for x1, y1, x2, y2, score, of_label in pipeline.detect(image).tolist():
            if score >= threshold and int(of_label) == label:
                boxes.append((x1, y1, x2, y2))
        return boxes

    return find


def _refuse_without_gain(networks: Mapping[str, CalibratedNetwork], maker: Calibrator) -> None:
    """Refuse a bundle of `auto` that is not faster than the one at fp16. Errors: CalibrationError."""
    left = [network for network in networks.values() if network.left_float]
    reasons = "; ".join(f"{n.artifact.spec.name}: {n.left_float}" for n in left)
    if len(left) == len(networks):
        raise CalibrationError(f"no network gains from int8 here ({reasons})", hint=other_way("auto", maker))
    if not left or maker.simulator is not None:
        return
    # A bundle has one precision, so what stays float computes at float32: at fp16 the whole may be faster.
    taken_ms = sum(n.median_ms["fp32" if n.left_float else "int8"] for n in networks.values())
    half_ms = sum(network.median_ms["fp16"] for network in networks.values())
    if taken_ms >= half_ms:
        raise CalibrationError(
            f"the networks together are {half_ms / taken_ms:.2f} times as fast as at fp16 on this machine, "
            f"as what stays float computes at float32 ({reasons})",
            hint="convert with --precision fp16",
        )


def _write(
    bundle_dir: Path,
    manifest: Mapping[str, Any],
    networks: Mapping[str, CalibratedNetwork],
    target: Path,
    maker: Calibrator,
    mode: Mode,
    *,
    force: bool,
) -> tuple[Precision, str]:
    _refuse_without_gain(networks, maker)
    precision: Precision = (
        "int8" if all(n.artifact.precision == "int8" for n in networks.values()) else "mixed"
    )
    files: dict[str, Path | bytes] = {
        name: bundle_dir / name for name in manifest["files"] if name != MANIFEST_NAME
    }
    models = {role: dict(model) for role, model in manifest["models"].items()}
    for role, network in networks.items():
        for old in manifest["models"][role]["files"].values():
            del files[old]
        files |= {path.name: path for path in network.artifact.files.values()}
        models[role]["files"] = {kind: path.name for kind, path in network.artifact.files.items()}
    before = manifest["lineage"]
    added = [entry for n in networks.values() for entry in n.artifact.lineage[len(before) :]]
    stages = [network.stage_member() for network in networks.values()]
    members = {
        **manifest,
        "created_by": f"edgepose {__version__}",
        "backend": maker.format,
        "precision": precision,
        "models": models,
        "golden": {**manifest["golden"], "tolerance_px": LIMITS[precision].mean_px},
        "lineage": [*before, *lineage_member(added)],
        "verification": {
            "stages": [*manifest["verification"]["stages"], *(stage for stage in stages if stage)]
        },
    }
    del members["manifest_sha256"]
    try:
        with stage_bundle(target, members, files, force=force, check=check_bundle) as staged:
            digest = staged.digest
            staged.publish()
    except ConversionError as error:
        raise CalibrationError(error.message, hint=other_way(mode, maker)) from error
    return precision, digest


def describe(bundle: CalibratedBundle) -> dict[str, Any]:
    """Return a bundle's report as a JSON value."""
    return {
        "path": str(bundle.path),
        "precision": bundle.precision,
        "digest": bundle.digest,
        "networks": {
            role: {
                "name": network.artifact.spec.name,
                "layers": network.layers,
                "int8_layers": list(network.int8_layers),
                "left_float": network.left_float,
                "median_ms": {name: round(value, 3) for name, value in network.median_ms.items()},
                "samples": len(bundle.samples[role].calibration.made_of),
                "held_out": len(bundle.samples[role].held_out.made_of),
                "unreadable": list(bundle.samples[role].unreadable),
                "synthetic": bundle.samples[role].synthetic,
                "result": network.stage_member(),
            }
            for role, network in bundle.networks.items()
        },
    }
