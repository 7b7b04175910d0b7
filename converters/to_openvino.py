"""ONNX to OpenVINO IR."""

from __future__ import annotations

import re
import sys
import time
from typing import Any, cast

from edgepose.artifact import Artifact, LineageEntry
from edgepose.bundle.manifest import ROLE_OF_TASK
from edgepose.converters.base import Context, tool_failure, tool_versions
from edgepose.hashing import sha256_file

_AUTOMATIC_NAME = re.compile(r"[A-Za-z]\w*_\d+")


class OpenvinoExporter:
    """Reads the ONNX file with OpenVINO's front end and saves the IR; fp16 compresses the weights.

    bf16 does not: the engine rounds them itself, to nearest, where from compressed ones it cuts off (a mean
    shift of 0.15 input px in place of 0.54 with RTMPose-t).
    """

    name = "openvino"
    source = "onnx"
    target = "openvino"
    tools = ("openvino",)

    def run(self, artifact: Artifact, context: Context) -> Artifact:
        """Write ROLE.xml and ROLE.bin. Errors: ConversionError, OSError."""
        started = time.monotonic()
        refuse_telemetry()
        import openvino

        role = ROLE_OF_TASK[artifact.spec.task]
        source = artifact.files["onnx"]
        xml, weights = context.work_dir / f"{role}.xml", context.work_dir / f"{role}.bin"
        compress = context.precision == "fp16"
        try:
            model = openvino.Core().read_model(str(source))
            number_operations(model)
            openvino.save_model(model, str(xml), compress_to_fp16=compress)
        except Exception as error:
            raise tool_failure(
                "OpenVINO's conversion",
                error,
                folder=context.work_dir,
                writes_bytes=source.stat().st_size,
            ) from error
        entry = LineageEntry(
            step="convert",
            tool="openvino",
            version=tool_versions(["openvino"])["openvino"],
            arguments={"compress_to_fp16": compress},
            inputs={f"{role}.onnx": sha256_file(source)},
            outputs={path.name: sha256_file(path) for path in (xml, weights)},
            seconds=time.monotonic() - started,
        )
        return Artifact(
            spec=artifact.spec,
            format=self.target,
            precision=context.precision,
            files={"xml": xml, "bin": weights},
            input_shapes=artifact.input_shapes,
            output_shapes=artifact.output_shapes,
            lineage=(*artifact.lineage, entry),
        )


def refuse_telemetry() -> None:
    """Keep openvino and nncf, which look for openvino_telemetry when they are imported, from using it.

    It reports every import and call to its maker, leaves files in ~/intel, and fails where there is no home.
    """
    sys.modules.setdefault("openvino_telemetry", cast(Any, None))


def number_operations(model: Any) -> None:
    """Rename what OpenVINO named by a counter of the process, so that equal graphs give equal files."""
    for index, operation in enumerate(model.get_ordered_ops()):
        name = operation.get_friendly_name()
        if _AUTOMATIC_NAME.fullmatch(name) and name.startswith(operation.get_type_name()):
            operation.set_friendly_name(f"{operation.get_type_name()}_n{index}")
