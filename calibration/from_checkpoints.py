"""From checkpoints to calibrated bundles: the float bundles in between are not kept."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose.calibration.base import calibrator
from edgepose.calibration.calibrate import CalibratedBundle, CalibrationRequest, calibrate, check_request
from edgepose.converters import ConvertedBundle, convert
from edgepose.converters.base import require

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
    force: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> list[CalibratedConversion]:
    """Convert to float32, then calibrate; options are those of convert().

    A bundle is out_dir/NAME.TARGET.MODE; each appears when it is finished.
    Errors: those of convert() and calibrate().
    """
    check_request(request)
    for target in targets:
        require(calibrator(target).tools, purpose=f"calibrate {target} networks")
    with tempfile.TemporaryDirectory(prefix="edgepose-float-", ignore_cleanup_errors=True) as work:
        floats = convert(
            checkpoints, targets, precision="fp32", out_dir=Path(work), progress=progress, **options
        )
        return [
            CalibratedConversion(
                bundle, calibrate(bundle.path, request, out_dir=out_dir, force=force, progress=progress)
            )
            for bundle in floats
        ]
