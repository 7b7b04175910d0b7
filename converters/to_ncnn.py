"""ONNX to ncnn, by pnnx."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

from edgepose import log
from edgepose.artifact import Artifact, LineageEntry, SimccHead
from edgepose.bundle.manifest import ROLE_OF_TASK
from edgepose.converters.base import Context, tool_failure, tool_versions
from edgepose.converters.ncnn_float_head import keep_head_float
from edgepose.converters.ncnn_param import MAGIC, NcnnModelError, parse_line
from edgepose.errors import ConversionError, MissingDependencyError
from edgepose.extras import install_command
from edgepose.hashing import sha256_file

# pnnx leaves the weights of four of its steps, and descriptions.
_WRITTEN_COPIES = 5


class NcnnExporter:
    """Runs pnnx on the canonical ONNX file with a static input of batch 1.

    pnnx fails silently: what it could not convert stays in the file under the names of torch's or its own
    operators, and is refused here, as are the files that it leaves on a full disk; what it converted wrongly
    is found by the comparison that follows.
    """

    name = "ncnn"
    source = "onnx"
    target = "ncnn"
    tools = ("pnnx",)

    def run(self, artifact: Artifact, context: Context) -> Artifact:
        """Write ROLE.param and ROLE.bin. Errors: ConversionError, MissingDependencyError, OSError."""
        started = time.monotonic()
        role = ROLE_OF_TASK[artifact.spec.task]
        source = artifact.files["onnx"]
        # pnnx writes its own files beside its input: give it a name in our folder.
        local = context.work_dir / "network.onnx"
        local.symlink_to(source.resolve())
        shapes = ",".join(
            "[" + ",".join(str(max(1, size)) for size in artifact.input_shapes[name]) + "]"
            for name in artifact.spec.input_names
        )
        fp16 = int(context.precision == "fp16")
        param, weights = context.work_dir / f"{role}.param", context.work_dir / f"{role}.bin"
        arguments: dict[str, object] = {"inputshape": shapes, "fp16": fp16}
        argv = [str(_pnnx_program()), local.name, f"inputshape={shapes}", f"fp16={fp16}"]
        status, output = context.children.run(
            [*argv, f"ncnnparam={param.name}", f"ncnnbin={weights.name}"], cwd=context.work_dir
        )
        try:
            if status != 0 or not param.is_file() or not weights.is_file():
                raise ConversionError(f"it ended with status {status}" if status else "it wrote no model")
            _check_param(param, artifact)
            if fp16 and isinstance(artifact.spec.head, SimccHead):
                arguments["float_layers"] = len(keep_head_float(param))
        except _ForeignOperators:
            log.info(f"pnnx wrote:\n{output.rstrip()}")
            raise
        except (ConversionError, NcnnModelError) as error:
            raise tool_failure(
                "pnnx",
                error,
                folder=context.work_dir,
                writes_bytes=_WRITTEN_COPIES * source.stat().st_size,
                output=output,
            ) from error
        entry = LineageEntry(
            step="convert",
            tool="pnnx",
            version=tool_versions(["pnnx"])["pnnx"],
            arguments=arguments,
            inputs={f"{role}.onnx": sha256_file(source)},
            outputs={path.name: sha256_file(path) for path in (param, weights)},
            seconds=time.monotonic() - started,
        )
        names = {name: f"in{i}" for i, name in enumerate(artifact.spec.input_names)}
        names |= {name: f"out{i}" for i, name in enumerate(artifact.spec.output_names)}
        return Artifact(
            spec=artifact.spec,
            format=self.target,
            precision=context.precision,
            files={"param": param, "bin": weights},
            input_shapes=artifact.input_shapes,
            output_shapes=artifact.output_shapes,
            tensor_names=names,
            lineage=(*artifact.lineage, entry),
        )


def _pnnx_program() -> Path:
    """Find the program in its package: the entry point may not be on PATH. Errors: MissingDependencyError."""
    found = importlib.util.find_spec("pnnx")
    folder = Path(found.origin).parent if found and found.origin else Path()
    program = folder / ("pnnx.exe" if sys.platform == "win32" else "pnnx")
    if not program.is_file():
        raise MissingDependencyError("the program pnnx is not installed", hint=install_command("convert"))
    return program


class _ForeignOperators(ConversionError):
    pass


def _check_param(param: Path, artifact: Artifact) -> None:
    """Refuse a file with operators that ncnn does not have, or with other inputs and outputs."""
    lines = param.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != MAGIC:
        raise ConversionError(f"{artifact.spec.name}: it wrote a file that is not an ncnn model")
    lines = [line for line in lines[2:] if line.strip()]
    kinds = {line.split()[0] for line in lines}
    foreign = {kind for kind in kinds if "." in kind or "::" in kind or "_" in kind}
    if foreign:  # whatever the disk has left
        raise _ForeignOperators(
            f"pnnx failed: {artifact.spec.name}: it left operators that ncnn does not have: "
            f"{', '.join(sorted(foreign))}",
            hint="run again with -v to see what the tool wrote",
        )
    blobs = {blob for line in lines for blob in parse_line(line, param.name).tops}
    wanted = {f"in{i}" for i in range(len(artifact.spec.input_names))}
    wanted |= {f"out{i}" for i in range(len(artifact.spec.output_names))}
    if not wanted <= blobs:
        raise ConversionError(
            f"{artifact.spec.name}: it lost the tensors {', '.join(sorted(wanted - blobs))}"
        )
