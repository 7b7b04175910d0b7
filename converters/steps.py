"""The two cached steps of one network: checkpoint to canonical ONNX with references, and ONNX to a target."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgepose
from edgepose.artifact import Artifact, KeypointSet, LineageEntry, ModelSpec, Precision
from edgepose.bundle.manifest import ROLE_OF_TASK, spec_from_json, spec_to_json
from edgepose.cache import Cache, CacheEntry
from edgepose.converters.base import Children, Context, DeviceExporter, Exporter, tool_versions
from edgepose.converters.parity import StageResult
from edgepose.errors import ConversionError
from edgepose.hashing import sha256_file, sha256_json, sha256_tree
from edgepose.temporary import temporary_space

if TYPE_CHECKING:
    from edgepose.models import LoadedModel

CANONICAL_TOOLS = ("torch", "onnx", "onnxsim", "onnxruntime")
_READERS = ("numpy", "cv2")
_CODE = ("converters", "nets", "models", "bundle", "artifact.py", "skeletons.py")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of one network, apart from the target; license: where it is known, of the checkpoint."""

    checkpoint: Path
    checkpoint_sha256: str
    input_hw: tuple[int, int] | None
    keypoints: KeypointSet | None
    pictures: tuple[Path, ...]
    license: str | None = None

    def key(self) -> str:
        """Return the digest of everything that the canonical network depends on."""
        return sha256_json(
            {
                "step": "canonical",
                "checkpoint": self.checkpoint_sha256,
                "input_hw": self.input_hw,
                "keypoints": dataclasses.asdict(self.keypoints) if self.keypoints else None,
                "pictures": [[path.name, sha256_file(path)] for path in self.pictures],
                "license": self.license,
                "tools": tool_versions([*CANONICAL_TOOLS, *_READERS]),
                "code": code_digest(),
            }
        )


@dataclass(frozen=True, slots=True)
class Canonical:
    """The canonical ONNX of a network, with the references that every later stage is compared with."""

    key: str
    artifact: Artifact
    stage: StageResult
    reference_file: Path
    golden_file: Path
    golden: Mapping[str, Any]
    notes: tuple[str, ...]
    cached: bool

    @property
    def role(self) -> str:
        """The role of the network in a pipeline."""
        return ROLE_OF_TASK[self.artifact.spec.task]


@dataclass(frozen=True, slots=True)
class Converted:
    """A network converted to one target and found right."""

    canonical: Canonical
    artifact: Artifact
    stage: StageResult
    cached: bool


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Return the digest of the code that decides results: the converters, the networks and the C++ core."""
    package = Path(edgepose.__file__).parent
    roots = [package / name for name in _CODE]
    converters = Path(__file__).parent
    roots[0] = converters
    core = importlib.util.find_spec("edgepose._core")
    native = sha256_file(Path(core.origin)) if core and core.origin else ""
    return sha256_json([edgepose.__version__, sha256_tree([r for r in roots if r.exists()]), native])


def cached_canonical(request: Request, cache: Cache) -> Canonical | None:
    """Return the canonical network from the cache, where it is there and whole."""
    key = request.key()
    entry = cache.get(key)
    return _canonical_from_entry(key, entry, cached=True) if entry else None


@temporary_space()
def make_canonical(request: Request, loaded: LoadedModel, cache: Cache | None, work_dir: Path) -> Canonical:
    """Export a loaded network, compare the ONNX with it, and store the result.

    Errors: ParityError, ConversionError, ConfigurationError.
    """
    import numpy as np

    from edgepose.converters import golden, samples, to_onnx
    from edgepose.converters.parity import compare_stage

    spec = loaded.spec
    inputs = samples.make_samples(spec.preprocess, request.pictures)
    references = to_onnx.run_reference(loaded.network, spec, inputs)
    artifact = to_onnx.export_canonical(
        loaded.network,
        spec,
        checkpoint_sha256=request.checkpoint_sha256,
        references=references,
        context=Context(work_dir, "fp32"),
    )
    dcc_file = artifact.files.get("dcc")
    golden_picture = samples.golden_picture(request.pictures)
    expected = golden.expected(
        spec, golden_picture, lambda tensor: to_onnx.run_torch(loaded.network, tensor), dcc_file=dcc_file
    )
    stage = compare_stage(
        spec,
        "onnx",
        f"onnxruntime {tool_versions(['onnxruntime'])['onnxruntime']}",
        precision="fp32",
        references=references.outputs,
        candidates=to_onnx.run_onnx(artifact.files["onnx"], spec, inputs),
        is_real=[s.is_real for s in inputs],
        dcc_file=dcc_file,
    )
    arrays = {
        f"{index}/{name}": array
        for index, outputs in enumerate(references.outputs)
        for name, array in zip(spec.output_names, outputs, strict=True)
    }
    np.savez(work_dir / "reference.npz", **arrays)  # type: ignore[arg-type]
    (work_dir / "golden.bgr").write_bytes(golden_picture.picture.tobytes())
    height, width = golden_picture.picture.shape[:2]
    files = {
        **{path.name: path for path in artifact.files.values()},
        "reference.npz": work_dir / "reference.npz",
        "golden.bgr": work_dir / "golden.bgr",
    }
    data = {
        "spec": spec_to_json(spec),
        "files": {kind: path.name for kind, path in artifact.files.items()},
        "input_shapes": {name: list(dims) for name, dims in artifact.input_shapes.items()},
        "output_shapes": {name: list(dims) for name, dims in artifact.output_shapes.items()},
        "tensor_names": {},
        "lineage": [dataclasses.asdict(entry) for entry in artifact.lineage],
        "stage": stage.to_json(),
        "golden": {
            "width_px": width,
            "height_px": height,
            **expected,
        },
        "notes": list(loaded.notes),
    }
    key = request.key()
    stored = cache.put(key, files, data) if cache else None
    return _canonical_from_entry(key, stored or CacheEntry(files, json.loads(json.dumps(data))), cached=False)


def cached_target(
    canonical: Canonical, exporter: Exporter, precision: Precision, cache: Cache
) -> Converted | None:
    """Return a converted network from the cache, where it is there and whole."""
    entry = cache.get(_target_key(canonical, exporter, precision))
    return _converted_from_entry(canonical, exporter.target, precision, entry, cached=True) if entry else None


@temporary_space()
def make_target(
    canonical: Canonical,
    exporter: Exporter,
    precision: Precision,
    *,
    pictures: Sequence[Path],
    cache: Cache | None,
    work_dir: Path,
    children: Children,
) -> Converted:
    """Convert to a target, run it with the engine that ships, compare with the references, store the result.

    Errors: ParityError, ConversionError, EngineError, ConfigurationError.
    """
    from edgepose.converters import samples
    from edgepose.converters.parity import compare_stage

    spec = canonical.artifact.spec
    inputs = samples.make_samples(spec.preprocess, pictures)
    context = Context(work_dir, precision, children, [s.tensor for s in inputs])
    artifact = exporter.run(canonical.artifact, context)
    dcc_file = canonical.artifact.files.get("dcc")
    if dcc_file:
        artifact = dataclasses.replace(artifact, files={**artifact.files, "dcc": dcc_file})
    engine, candidates = _run(exporter, artifact, context)
    references = _read_references(canonical, len(inputs))
    stage = compare_stage(
        spec,
        exporter.name,
        engine,
        precision=precision,
        references=references,
        candidates=candidates,
        is_real=[s.is_real for s in inputs],
        dcc_file=dcc_file,
    )
    files = {path.name: path for path in artifact.files.values()}
    data = {
        "files": {role: path.name for role, path in artifact.files.items()},
        "tensor_names": dict(artifact.tensor_names),
        "lineage": [dataclasses.asdict(entry) for entry in artifact.lineage],
        "stage": stage.to_json(),
    }
    stored = cache.put(_target_key(canonical, exporter, precision), files, data) if cache else None
    entry = stored or CacheEntry(files, json.loads(json.dumps(data)))
    return _converted_from_entry(canonical, exporter.target, precision, entry, cached=False)


def _run(exporter: Exporter, artifact: Artifact, context: Context) -> tuple[str, list[list[Any]]]:
    """Run an artifact on context.inputs with the engine that ships, or in a device's simulator."""
    from edgepose.converters.engine import engine_label, run_engine

    if isinstance(exporter, DeviceExporter):
        return exporter.simulator, exporter.simulated(artifact, context)
    return engine_label(exporter.target), run_engine(artifact, context.inputs)


def _target_key(canonical: Canonical, exporter: Exporter, precision: Precision) -> str:
    return sha256_json(
        {
            "step": exporter.name,
            "canonical": canonical.key,
            "onnx": sha256_file(canonical.artifact.files["onnx"]),
            "precision": precision,
            "tools": tool_versions(exporter.tools),
            "settings": dict(exporter.settings()) if isinstance(exporter, DeviceExporter) else {},
        }
    )


def _canonical_from_entry(key: str, entry: CacheEntry, *, cached: bool) -> Canonical:
    data = entry.data
    spec = spec_from_json(data["spec"])
    return Canonical(
        key=key,
        artifact=_artifact(spec, "onnx", "fp32", entry, data),
        stage=StageResult(**data["stage"]),
        reference_file=entry.files["reference.npz"],
        golden_file=entry.files["golden.bgr"],
        golden=data["golden"],
        notes=tuple(data["notes"]),
        cached=cached,
    )


def _converted_from_entry(
    canonical: Canonical, target: str, precision: Precision, entry: CacheEntry, *, cached: bool
) -> Converted:
    shapes = {
        "input_shapes": canonical.artifact.input_shapes,
        "output_shapes": canonical.artifact.output_shapes,
    }
    artifact = _artifact(canonical.artifact.spec, target, precision, entry, {**entry.data, **shapes})
    return Converted(canonical, artifact, StageResult(**entry.data["stage"]), cached)


def _artifact(
    spec: ModelSpec, format_name: str, precision: Precision, entry: CacheEntry, data: Mapping[str, Any]
) -> Artifact:
    return Artifact(
        spec=spec,
        format=format_name,
        precision=precision,
        files={role: entry.files[name] for role, name in data["files"].items()},
        input_shapes={name: tuple(dims) for name, dims in data["input_shapes"].items()},
        output_shapes={name: tuple(dims) for name, dims in data["output_shapes"].items()},
        tensor_names=data["tensor_names"],
        lineage=tuple(LineageEntry(**item) for item in data["lineage"]),
    )


def _read_references(canonical: Canonical, count: int) -> list[list[Any]]:
    import numpy as np

    names = canonical.artifact.spec.output_names
    with np.load(canonical.reference_file, allow_pickle=False) as stored:
        if len(stored.files) != count * len(names):
            raise ConversionError(
                f"the references of {canonical.artifact.spec.name} are not those of the pictures",
                hint=f"remove the folder {os.fspath(canonical.reference_file.parent)}",
            )
        return [[stored[f"{index}/{name}"] for name in names] for index in range(count)]
