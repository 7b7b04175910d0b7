"""Convert every given checkpoint to every target and write docs/models.md from the measured drift.

python benchmarks/models_table.py ../shared/goldens demo -o docs/models.md

A folder may hold checkpoints (*.pth) and golden packs (*.npz with materialise.py beside them: original
networks with reproducible random weights). A cell is the mean shift of the confident keypoints (of the boxes
for detectors) against the torch float32 network, in pixels of the network input; "refused" where a
limit was crossed, so that no bundle was written.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgepose.converters import convert
from edgepose.converters.parity import ParityError
from edgepose.errors import EdgePoseError

COLUMNS = (("onnx", "fp32"), ("ncnn", "fp32"), ("ncnn", "fp16"), ("openvino", "fp32"), ("openvino", "fp16"))

HEAD = """# Networks and targets

**Networks of golden packs have random weights**, not trained ones: the table shows that every network
converts, not how accurate yours will be. Random weights have flat peaks, so that rounding to half precision
can move a keypoint far. Trained networks move less, as the two demo networks show. `edgepose convert`
measures the checkpoint that you give it in the same way, and prints the result.

A cell is the mean shift against the torch float32 network, in pixels of the network's input: of the
confident keypoints, for detectors of the boxes' corners; with the C++ engine that ships, on EdgePose's own
pictures. "refused": a [limit](accuracy.md#the-limits-of-a-conversion) was crossed, and no bundle was
written. Figures of bf16 and RKNN: [performance.md](performance.md#bfloat16),
[rockchip.md](rockchip.md#accuracy-in-the-simulator).

    {command}

"""


def checkpoints(folder: Path, work: Path) -> Iterator[tuple[str, Path]]:
    """Give (name, checkpoint file) for each network of the folder, writing packs as checkpoints first."""
    for path in sorted(folder.glob("*.pth")):
        yield path.stem, path
    packs = [path for path in sorted(folder.glob("*.npz")) if path.stem != "vectors"]
    if packs:
        location = importlib.util.spec_from_file_location("materialise", folder / "materialise.py")
        assert location is not None and location.loader is not None
        module = importlib.util.module_from_spec(location)
        location.loader.exec_module(module)
        for pack in packs:
            path = work / f"{pack.stem}.pth"
            module.write_checkpoint(module.load_golden(str(pack)), str(path))
            yield pack.stem, path
            path.unlink()


def cell(path: Path, target: str, precision: str, out: Path) -> str:
    """Convert once and say what came out."""
    try:
        (bundle,) = convert([path], [target], precision=precision, out_dir=out, force=True)
    except ParityError as error:
        last = error.stages[-1] if error.stages else None
        if last is None or last.mean_px is None or (last.stage, last.precision) != (target, precision):
            return f"refused: {error.message}"  # before anything could be measured
        return f"{last.mean_px:.3f} (refused)"
    except EdgePoseError as error:
        return f"refused: {error.message}"
    return f"{bundle.stages[-1].mean_px:.3f}"


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    titles = " | ".join(f"{target} {precision}" for target, precision in COLUMNS)
    lines = [f"| network | {titles} |", "|---" * (len(COLUMNS) + 1) + "|"]
    with tempfile.TemporaryDirectory(prefix="edgepose-table-") as work:
        for name, path in (given for folder in args.folders for given in checkpoints(folder, Path(work))):
            cells = [cell(path, target, precision, Path(work) / "bundles") for target, precision in COLUMNS]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    command = f"python benchmarks/models_table.py {' '.join(map(str, args.folders))} -o {args.output}"
    args.output.write_text(HEAD.format(command=command) + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
