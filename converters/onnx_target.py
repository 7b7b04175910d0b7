"""The target onnx: the canonical graph with its shapes written out, and with halved weights at fp16."""

from __future__ import annotations

import dataclasses
import time

from edgepose.artifact import Artifact, LineageEntry
from edgepose.bundle.manifest import ROLE_OF_TASK
from edgepose.converters.base import Context, tool_failure, tool_versions
from edgepose.hashing import sha256_file


class OnnxExporter:
    """Writes shapes out, and stores the weights as float16 where that is asked for."""

    name = "onnx"
    source = "onnx"
    target = "onnx"
    tools = ("onnx",)

    def run(self, artifact: Artifact, context: Context) -> Artifact:
        """Write ROLE.onnx. Errors: ConversionError, OSError."""
        role = ROLE_OF_TASK[artifact.spec.task]
        source, path = artifact.files["onnx"], context.work_dir / f"{role}.onnx"
        started = time.monotonic()
        import onnx

        from edgepose.converters.onnx_passes import halve_weights
        from edgepose.converters.onnx_shapes import write_shapes_out

        half = context.precision != "fp32"
        try:
            model = onnx.load(str(source))
            shapes = write_shapes_out(model)
            count = halve_weights(model) if half else 0
            onnx.save(model, str(path))
        except Exception as error:
            raise tool_failure(
                "writing the ONNX file",
                error,
                folder=context.work_dir,
                writes_bytes=source.stat().st_size,
            ) from error
        entry = LineageEntry(
            step="halve weights" if half else "write shapes out",
            tool="onnx",
            version=tool_versions(["onnx"])["onnx"],
            arguments={"shapes": shapes, **({"tensors": count} if half else {})},
            inputs={f"{role}.onnx": sha256_file(source)},
            outputs={path.name: sha256_file(path)},
            seconds=time.monotonic() - started,
        )
        return dataclasses.replace(
            artifact,
            precision="fp16" if half else "fp32",
            files={"onnx": path},
            lineage=(*artifact.lineage, entry),
        )
