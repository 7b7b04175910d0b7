"""The file of RTMO's coordinate classifier; runtime_cpp/src/dcc_file.h describes it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAGIC = b"EPDCC001"
# In the order of the file.
_ARRAYS = (
    *("pose_weight", "pose_bias", "norm_gain", "uv_weight", "query_scale", "query_offset", "key_scale"),
    *(
        "key_offset",
        "out_weight",
        "residual_scale",
        "x_weight",
        "y_weight",
        "frequencies",
        "x_bins",
        "y_bins",
    ),
)


def write_dcc_file(weights: Mapping[str, NDArray[np.float32]], path: Path) -> None:
    """Write the arrays of DynamicCoordinateClassifier.weights(). Errors: OSError."""
    points, attention = weights["query_offset"].shape
    width, inner = weights["out_weight"].shape
    dims = (
        points,
        weights["pose_weight"].shape[1],
        width,
        attention,
        inner,
        weights["frequencies"].size,
        weights["x_bins"].size,
        weights["y_bins"].size,
    )
    with path.open("wb") as stream:
        stream.write(_MAGIC + struct.pack("<8I", *dims))
        for name in _ARRAYS:
            stream.write(weights[name].astype("<f4").tobytes())
