from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_Transform = tuple[float, float, float, float]
_TensorSpec = tuple[str, str, Sequence[int]]

class CoreError(Exception):
    code: int
    message: str
    hint: str

def version() -> str: ...
def code_table() -> dict[int, str]: ...
def available_backends() -> list[str]: ...
def preprocess(
    image: NDArray[np.uint8], box: Sequence[float] | None, spec_json: str
) -> tuple[NDArray[np.float32], _Transform]: ...
def preprocess_camera(
    planes: Sequence[NDArray[np.uint8]],
    format: int,
    width_px: int,
    height_px: int,
    row_stride_bytes: int,
    box: Sequence[float] | None,
    spec_json: str,
    *,
    chroma_row_stride_bytes: int = 0,
    chroma_pixel_stride_bytes: int = 0,
    colour: int = 0,
    rotation_deg: int = 0,
    mirrored: bool = False,
) -> tuple[NDArray[np.float32], _Transform]: ...
def decode_simcc(
    simcc_x: NDArray[np.float32],
    simcc_y: NDArray[np.float32],
    simcc_z: NDArray[np.float32] | None,
    head_json: str,
    transform: _Transform,
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]: ...
def decode_boxes(
    outputs: Sequence[NDArray[np.float32]],
    head_json: str,
    preprocess_json: str,
    transform: _Transform,
    image_hw: tuple[int, int],
) -> NDArray[np.float32]: ...
def decode_rtmo(
    outputs: Sequence[NDArray[np.float32]],
    head_json: str,
    preprocess_json: str,
    transform: _Transform,
    image_hw: tuple[int, int],
    dcc_file: str,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...
def nms(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    labels: NDArray[np.int32],
    iou_threshold: float,
    max_detections: int,
) -> NDArray[np.int64]: ...

class Engine:
    def __init__(
        self,
        backend: str,
        files: dict[str, str],
        inputs: Sequence[_TensorSpec],
        outputs: Sequence[_TensorSpec],
        *,
        threads: int,
        device: str = "CPU",
        precision: str = "fp32",
        max_batch: int = 0,
    ) -> None: ...
    def run(self, inputs: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]: ...
    @property
    def inputs(self) -> list[tuple[str, str, list[int]]]: ...
    @property
    def outputs(self) -> list[tuple[str, str, list[int]]]: ...

class Bundle:
    @staticmethod
    def open(path: str) -> Bundle: ...
    @property
    def manifest_json(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def path(self) -> str: ...

class Pipeline:
    def __init__(
        self,
        bundle_dir: str,
        *,
        threads: int,
        device: str = "CPU",
        detect_every: int = 1,
        detect_delay: int = 0,
        track: bool = False,
        smooth: bool = False,
        tracking_json: str | None = None,
    ) -> None: ...
    def process(
        self, image: NDArray[np.uint8], time_ns: int, boxes: NDArray[np.float32] | None = None
    ) -> tuple[
        NDArray[np.float32],
        NDArray[np.float32],
        NDArray[np.int64],
        NDArray[np.float32] | None,
        dict[str, int],
    ]: ...
    def detect(self, image: NDArray[np.uint8]) -> NDArray[np.float32]: ...
    def verify_golden(self) -> dict[str, bool | int | float]: ...
    def reset(self) -> None: ...
    @property
    def manifest_json(self) -> str: ...
