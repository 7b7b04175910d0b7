"""From checkpoints to calibrated bundles: the float bundles in between are not kept."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose.bundle.pack import refuse_existing
from edgepose.calibration.base import calibrator
from edgepose.calibration.calibrate import (
    CalibratedBundle,
    CalibrationRequest,
    calibrate,
    check_request,
    target_folder,
)
from edgepose.converters import ConvertedBundle, convert
from edgepose.converters.base import SOC_TARGETS, require
from edgepose.errors import UsageError

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

    A bundle is out_dir/NAME.TARGET.MODE; each appears when it is finished.
    Errors: those of convert() and calibrate().
    """
    check_request(request)
    makers = [calibrator(target, soc) for target in dict.fromkeys(targets)]
    if soc is not None and not set(targets) & set(SOC_TARGETS):
        raise UsageError(f"--soc {soc} is for the target rknn only", hint="add --to rknn, or leave --soc out")
    for maker in makers:
        maker.check(request.mode)
        require(maker.tools, purpose=f"calibrate {maker.format} networks")
    with tempfile.TemporaryDirectory(prefix="edgepose-float-", ignore_cleanup_errors=True) as work:
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
            name = by_backend[maker.source].name
            refuse_existing(target_folder(out_dir, name, maker, request), force=force)
        made = []
        for maker in makers:
            bundle = by_backend[maker.source]
            calibrated = calibrate(
                bundle.path, request, out_dir=out_dir, maker=maker, force=force, progress=progress
            )
            made.append(CalibratedConversion(bundle, calibrated))
        return made
