"""The target onnx: the canonical graph itself, with halved weights at fp16."""

from __future__ import annotations

import dataclasses
import shutil
import time

from edgepose.artifact import Artifact, LineageEntry
from edgepose.bundle.manifest import ROLE_OF_TASK
from edgepose.converters.base import Context, tool_failure, tool_versions
from edgepose.hashing import sha256_file


class OnnxExporter:
    """Keeps the canonical ONNX file, or stores its weights as float16."""

    name = "onnx"
    source = "onnx"
    target = "onnx"
    tools = ("onnx",)

    def run(self, artifact: Artifact, context: Context) -> Artifact:
        """Write ROLE.onnx. Errors: ConversionError, OSError."""
        role = ROLE_OF_TASK[artifact.spec.task]
        source, path = artifact.files["onnx"], context.work_dir / f"{role}.onnx"
        if context.precision == "fp32":
            shutil.copyfile(source, path)
            return dataclasses.replace(artifact, precision="fp32", files={"onnx": path})
        started = time.monotonic()
        import onnx

        from edgepose.converters.onnx_passes import halve_weights

        try:
            model = onnx.load(str(source))
            count = halve_weights(model)
            onnx.save(model, str(path))
        except Exception as error:
            raise tool_failure("storing half-precision ONNX", error, folder=context.work_dir) from error
        entry = LineageEntry(
            step="halve weights",
            tool="onnx",
            version=tool_versions(["onnx"])["onnx"],
            arguments={"tensors": count},
            inputs={f"{role}.onnx": sha256_file(source)},
            outputs={path.name: sha256_file(path)},
            seconds=time.monotonic() - started,
        )
        return dataclasses.replace(
            artifact, precision="fp16", files={"onnx": path}, lineage=(*artifact.lineage, entry)
        )
