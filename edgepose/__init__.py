"""EdgePose: from a trained pose checkpoint to a verified bundle that runs on a phone or a board.

with edgepose.PosePipeline("bundles/NAME") as pipeline:
    frame = pipeline(cv2.imread("photo.jpg"))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgepose.pipeline import PoseFrame, PosePipeline

__version__ = "0.1.0"
__all__ = ["PoseFrame", "PosePipeline", "__version__"]


def __getattr__(name: str) -> object:
    # PEP 562: `import edgepose` stays light; the runtime is loaded when it is first asked for.
    if name in ("PoseFrame", "PosePipeline"):
        return getattr(importlib.import_module("edgepose.pipeline"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    # help() and completion show what is loaded only when it is asked for, too.
    return sorted({*globals(), *__all__})
