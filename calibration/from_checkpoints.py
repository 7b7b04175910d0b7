"""From checkpoints to calibrated bundles: the float bundles in between are not kept."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose.bundle.folder import read_manifest
from edgepose.bundle.pack import refuse_existing
from edgepose.calibration.base import calibrator
from edgepose.calibration.calibrate import (
    CalibratedBundle,
    CalibrationRequest,
    calibrate,
    check_maker,
    check_request,
    refuse_one_stage,
    target_folder,
)
from edgepose.converters import ConvertedBundle, convert
from edgepose.converters.base import SOC_TARGETS, require
from edgepose.errors import CalibrationError, UsageError
from edgepose.temporary import temporary_space

if TYPE_CHECKING:
    from edgepose.progress import Progress


@dataclass(frozen=True, slots=True)
class CalibratedConversion:
    """The conversion to float32, whose bundle is gone, and the calibrated bundle made of it."""

    converted: ConvertedBundle
    calibrated: CalibratedBundle


def convert_calibrated(
    checkpoints: Sequence[Path],
    targets: Sequence[str],
    request: CalibrationRequest,
    *,
    out_dir: Path,
    soc: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> list[CalibratedConversion]:
    """Convert to float32, then calibrate; soc and options are those of convert().

    A bundle is out_dir/NAME.TARGET.MODE; each appears when it is finished, and stays if a later one fails.
    Errors: those of convert() and calibrate().
    """
    check_request(request)
    makers = [calibrator(target, soc) for target in dict.fromkeys(targets)]
    if soc is not None and not set(targets) & set(SOC_TARGETS):
        raise UsageError(f"--soc {soc} is for the target rknn only", hint="add --to rknn, or leave --soc out")
    for maker in makers:
        check_maker(maker, request)
        require(maker.tools, purpose=f"calibrate {maker.format} networks")
    with tempfile.TemporaryDirectory(prefix="edgepose-float-", ignore_cleanup_errors=True) as work:
        with temporary_space():
            floats = convert(
                checkpoints,
                [maker.source for maker in makers],
                precision="fp32",
                out_dir=Path(work),
                progress=progress,
                **options,
            )
        by_backend = {bundle.backend: bundle for bundle in floats}
        # All before the first: a calibration takes minutes, and its bundle would be in the way next time.
        for maker in makers:
            bundle = by_backend[maker.source]
            refuse_one_stage(bundle.name, read_manifest(bundle.path))
            refuse_existing(target_folder(out_dir, bundle.name, maker, request), force=force)
        made: list[CalibratedConversion] = []
        for maker in makers:
            bundle = by_backend[maker.source]
            try:
                calibrated = calibrate(
                    bundle.path, request, out_dir=out_dir, maker=maker, force=force, progress=progress
                )
            except CalibrationError as error:
                if not made:
                    raise
                kept = ", ".join(str(item.calibrated.path) for item in made)
                hint = (
                    f"{error.hint}; {kept} was written before" if error.hint else f"{kept} was written before"
                )
                raise CalibrationError(f"{maker.format}: {error.message}", hint=hint) from error
            made.append(CalibratedConversion(bundle, calibrated))
        return made
