"""Checkpoint files: every layout loads, everything else ends in one typed error that names what is wrong."""

from __future__ import annotations

import io
import random
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from checkpoint_files import State, pose_meta, refused, save, small_state  # noqa: E402

from edgepose.errors import CheckpointError, UsageError  # noqa: E402
from edgepose.models import load_model  # noqa: E402

COUNTER = ".num_batches_tracked"
MUTATIONS = 150  # for each serialisation


def same_weights(model: Any, state: State) -> bool:
    """Compare a loaded network's weights with the ones that were saved; its counters of batches are 0."""
    loaded = model.network.state_dict()
    expected = {k: torch.tensor(0) if k.endswith(COUNTER) else v for k, v in state.items()}
    return loaded.keys() == state.keys() and all(torch.equal(loaded[k], expected[k]) for k in state)


LAYOUTS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "plain": lambda state: {"meta": pose_meta(), "state_dict": state},
    "without meta": lambda state: {"state_dict": state},
    "distributed": lambda state: {"state_dict": {"module." + k: v for k, v in state.items()}},
    "averaged": lambda state: {
        "meta": pose_meta(),
        "state_dict": state,
        "ema_state_dict": {"steps": torch.tensor(7)} | {"module." + k: v * 2 for k, v in state.items()},
        "optimizer": {"state": {}, "param_groups": []},
    },
    "averaged alone": lambda state: {
        "meta": pose_meta(),
        "ema_state_dict": {"steps": torch.tensor(7)} | {"module." + k: v for k, v in state.items()},
    },
    "bare average": lambda state: {"steps": torch.tensor(7)} | {"module." + k: v for k, v in state.items()},
    "distributed and averaged": lambda state: {
        "state_dict": {"n_averaged": torch.tensor(7)} | {"module.module." + k: v for k, v in state.items()}
    },
    "torch's average": lambda state: {
        "state_dict": {"n_averaged": torch.tensor(7)} | {"module." + k: v for k, v in state.items()}
    },
    "Lightning": lambda state: {
        "epoch": 3,
        "global_step": 120,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {"model." + k: v for k, v in state.items()},
        "callbacks": {},
        "lr_schedulers": [],
    },
    "Lightning and compiled": lambda state: {
        "state_dict": {"model._orig_mod." + k: v for k, v in state.items()}
    },
    "compiled": lambda state: {"_orig_mod." + k: v for k, v in state.items()},
    "compiled and distributed": lambda state: {"module._orig_mod." + k: v for k, v in state.items()},
    "distributed and compiled": lambda state: {"_orig_mod.module." + k: v for k, v in state.items()},
    "compiled in part": lambda state: {
        "state_dict": {k.replace("backbone.", "backbone._orig_mod."): v for k, v in state.items()}
    },
    "without counters": lambda state: {k: v for k, v in state.items() if not k.endswith(COUNTER)},
    "counters of a long training": lambda state: {
        k: torch.tensor(120_000) if k.endswith(COUNTER) else v for k, v in state.items()
    },
    "data preprocessor": lambda state: {
        "state_dict": {
            "data_preprocessor.mean": torch.zeros(3, 1, 1),
            "data_preprocessor.std": torch.ones(3, 1, 1),
        }
        | state
    },
    "keypoint_head": lambda state: {
        "state_dict": {
            k.replace("head.", "keypoint_head.", 1) if k[:5] == "head." else k: v for k, v in state.items()
        }
    },
    "student": lambda state: {"state_dict": {"student." + k: v for k, v in state.items()}},
    "distillation": lambda state: {
        "meta": pose_meta(cfg="model = dict(type='DWPoseDistiller', two_dis=False)"),
        "state_dict": {"student." + k: v for k, v in state.items()}
        | {"teacher." + k: v for k, v in small_state(seed=1).items()}
        | {"distill_losses.loss_fea.align.weight": torch.zeros(4, 4, 1, 1)},
    },
    "distributed distillation": lambda state: {
        "meta": {"cfg": "model = dict(type='DWPoseDistiller')"},
        "state_dict": {"module.student." + k: v for k, v in state.items()}
        | {"module.teacher." + k: v for k, v in small_state(seed=1).items()}
        | {f"module.student.data_preprocessor.{name}": torch.ones(3) for name in ("mean", "std")},
    },
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, legacy: bool, tmp_path: Path) -> None:
    state = small_state()
    model = load_model(save(tmp_path / "a.pth", LAYOUTS[layout](state), legacy=legacy))
    assert same_weights(model, state)
    assert not model.network.training
    assert len(model.sha256) == 64
    assert all(bool(torch.isfinite(y).all()) for y in model.network(torch.zeros(1, 3, 64, 64)))


def test_golden_layouts(shared_dir: Path, tmp_path: Path) -> None:
    """The layouts that the golden packs' own writer makes."""
    sys.path.insert(0, str(shared_dir / "goldens"))
    try:
        import materialise
    finally:
        sys.path.pop(0)
    golden = materialise.load_golden(str(shared_dir / "goldens" / "rtmpose-t_body17_256x192.npz"))
    state = golden.state_dict()
    for layout in materialise.LAYOUTS:
        for safe_meta in (False, True):
            path = tmp_path / f"{layout}.pth"
            materialise.write_checkpoint(golden, str(path), layout, safe_meta)
            model = load_model(path)
            assert same_weights(model, state), layout
            assert model.spec.head.points.name == "coco17"


def test_published_detectors(shared_dir: Path) -> None:
    for name in ("rtmdet_nano_320-person", "rtmdet_nano_320-person_in1k"):
        model = load_model(shared_dir / "weights" / f"{name}.pth")
        assert model.spec.name == "rtmdet-nano" and model.spec.parameters == 994_423


def test_second_distillation_stage(tmp_path: Path) -> None:
    """Its student has only a trained head; the backbone in use is the teacher's."""
    student, teacher = small_state(seed=1), small_state(seed=2)
    state = {"student." + k: v for k, v in student.items()} | {"teacher." + k: v for k, v in teacher.items()}
    document = {"meta": {"cfg": "model = dict(\n    two_dis=True,\n)"}, "state_dict": state}
    model = load_model(save(tmp_path / "a.pth", document))
    expected = {k: (student if k.startswith("head.") else teacher)[k] for k in student}
    assert same_weights(model, expected)
    assert any("teacher" in note for note in model.notes)


def test_a_distillation_of_an_unknown_stage(tmp_path: Path) -> None:
    """Its student's backbone may be untrained, unless the teacher's could not serve the student's head."""
    state = {f"{who}.{k}": v for who in ("student", "teacher") for k, v in small_state().items()}
    for document in (state, {"meta": {"cfg": "model = dict(two_dis=stage)"}, "state_dict": state}):
        error = refused(save(tmp_path / "a.pth", document), "does not state its stage (two_dis)")
        assert "meta" in (error.hint or "")
    odd = {k: v[:2] if k == "teacher.backbone.stem.0.conv.weight" else v for k, v in state.items()}
    assert same_weights(load_model(save(tmp_path / "a.pth", odd)), small_state())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_become_float32(dtype: Any, tmp_path: Path) -> None:
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in small_state().items()}
    model = load_model(save(tmp_path / "a.pth", state))
    assert same_weights(model, {k: v.float() if v.is_floating_point() else v for k, v in state.items()})


@pytest.mark.parametrize("batches", [0, 7799, 120_000])
def test_counters_in_half_precision_do_not_matter(batches: int, tmp_path: Path) -> None:
    """{key: value.half()} turns them, too; from 65,520 on they are infinite."""
    whole = small_state()
    state = {k: torch.tensor(batches) if k.endswith(COUNTER) else v for k, v in whole.items()}
    model = load_model(save(tmp_path / "a.pth", {k: v.half() for k, v in state.items()}))
    assert same_weights(model, {k: v.half().float() for k, v in whole.items()})


def test_averaged_weights_alone_are_noted(tmp_path: Path) -> None:
    model = load_model(save(tmp_path / "a.pth", LAYOUTS["averaged alone"](small_state())))
    assert any("ema_state_dict" in note for note in model.notes)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none.pth", "no such file", kind=UsageError)
    refused(tmp_path, "folder", kind=UsageError)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "not a PyTorch checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"\x80\x02}q\x00.", "truncated"),
        (b"PK\x03\x04" + bytes(100), "truncated"),
        (b"\x80\x02" + bytes(range(256)), "truncated"),
    ],
)
def test_not_a_checkpoint(content: bytes, part: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    assert refused(path, part).hint


def test_wrong_documents(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    refused(save(path, [1, 2]), "no state_dict", "a list")
    refused(save(path, {}), "no state_dict", "an empty dictionary")
    refused(save(path, {"model": small_state(), "epoch": 1}), "no state_dict", "'model'")
    refused(save(path, {"state_dict": {}}), "empty")
    refused(save(path, {"state_dict": {"a": 1}}), "a is a int")
    refused(save(path, {"ema_state_dict": {"steps": torch.tensor(7)}}), "no known network family")
    refused(save(path, {"state_dict": 1, "ema_state_dict": small_state()}), "no state_dict")
    twice = small_state() | {"_orig_mod.head.cls_x.weight": torch.zeros(1)}
    refused(save(path, twice), "head.cls_x.weight twice")


def test_unknown_family(tmp_path: Path) -> None:
    state = {f"layer{n}.0.conv1.weight": torch.zeros(2, 2) for n in range(1, 5)} | {
        "fc.weight": torch.zeros(2, 2)
    }
    error = refused(save(tmp_path / "a.pth", state), "no known network family", "5 tensors", "layer1.0 (1)")
    assert error.hint is not None and "RTMPose" in error.hint and "RTMO" in error.hint


def test_a_detector_of_mmyolo_is_named(tmp_path: Path) -> None:
    state = {f"bbox_head.head_module.rtm_cls.{n}.weight": torch.zeros(2, 2, 1, 1) for n in range(3)}
    error = refused(save(tmp_path / "a.pth", state), "a network of mmyolo")
    assert error.hint is not None and "mmdet's RTMDet" in error.hint


def test_a_fifth_stage_is_named(tmp_path: Path) -> None:
    state = small_state()
    for key in [key for key in state if key.startswith("backbone.stage4.")]:
        state[key.replace("stage4", "stage5")] = state.pop(key)
    state["backbone.stage4.0.conv.weight"] = torch.zeros(8, 8, 3, 3)
    assert refused(save(tmp_path / "a.pth", state), "five stages (arch P6)").hint


def test_differences_are_counted(tmp_path: Path) -> None:
    state = small_state()
    head = [key for key in state if key.startswith("backbone.stage3.1.attention")]
    changed = {k: v for k, v in state.items() if k not in head}
    changed |= {f"head.extra.{n}": torch.zeros(1) for n in range(6)}
    changed["backbone.stem.0.bn.weight"] = torch.zeros(9)
    refused(
        save(tmp_path / "a.pth", changed),
        "2 missing: backbone.stage3.1.attention.fc.weight",
        "6 unexpected: head.extra.0, ",
        "and 2 more",
        "1 of another shape: backbone.stem.0.bn.weight [9] instead of [4]",
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_named(value: float, tmp_path: Path) -> None:
    state = small_state()
    state["head.cls_x.weight"][3, 2] = value
    refused(save(tmp_path / "a.pth", state), "head.cls_x.weight", "1 values that are not finite")


def test_odd_tensors_are_named(tmp_path: Path) -> None:
    path, key = tmp_path / "a.pth", "head.cls_x.weight"
    state = small_state()
    refused(
        save(path, state | {"backbone.stem.0.bn.running_var": torch.full((4,), -1.0)}),
        "running_var",
        "negative",
    )
    refused(save(path, state | {key: state[key].to(torch.complex64)}), key, "real")
    refused(save(path, state | {key: state[key].to_sparse()}), key, "dense")
    refused(save(path, state | {key: state[key].to(torch.int8)}), key, "another kind of number")
    refused(save(path, state | {key: state[key].to(torch.float8_e4m3fn)}), key, "real")
    refused(save(path, state | {key: torch.zeros(1).expand(state[key].shape)}), key, "more numbers")
    refused(save(path, state | {key: torch.zeros(0, 16)}), key, "no numbers")
    # The number of keypoints alone would fill the memory with names.
    endless = {n: v for n, v in state.items() if n != "head.final_layer.bias"}
    endless["head.final_layer.weight"] = torch.zeros(2**40, 0, 1, 1)
    refused(save(path, endless), "head.final_layer.weight", "no numbers")
    # Finite in float64, infinite in float32.
    refused(
        save(path, state | {key: torch.full(state[key].shape, 1e300, dtype=torch.float64)}), key, "infinity"
    )
    for odd in (state[key].numpy(), None, 5):
        document = {"state_dict": state | {key: odd}}
        assert refused(save(path, document), key, "not a tensor").hint
    assert refused(save(path, {n: v for n, v in state.items() if n != key}), key, "lacks").hint


def test_requests_that_do_not_fit(tmp_path: Path, shared_dir: Path) -> None:
    from edgepose.skeletons import KEYPOINT_SETS

    path = save(tmp_path / "a.pth", small_state())
    with pytest.raises(UsageError, match=r"takes 64x64 pixels \(height x width\), not 256x192"):
        load_model(path, input_hw=(256, 192))
    with pytest.raises(UsageError, match="coco17 has 17 points, the network 5"):
        load_model(path, keypoints=KEYPOINT_SETS["coco17"])
    detector = shared_dir / "weights" / "rtmdet_nano_320-person.pth"
    with pytest.raises(UsageError, match="416x300"):
        load_model(detector, input_hw=(416, 300))
    with pytest.raises(UsageError, match=r"2080x9600 \(height x width\) is over the limit of 2048 pixels"):
        load_model(detector, input_hw=(2080, 9600))
    assert load_model(detector, input_hw=(416, 320)).spec.preprocess.input_hw == (416, 320)


def outcome(path: Path, state: State) -> bool:
    """Load a damaged file: True if it loaded, and then whole; a typed one-line error otherwise."""
    try:
        model = load_model(path)
    except CheckpointError as error:
        assert "\n" not in str(error) and path.name in str(error)
        return False
    loaded = model.network.state_dict()
    assert all(bool(torch.isfinite(v).all()) for v in loaded.values() if v.is_floating_point())
    assert loaded.keys() == state.keys()
    return True


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_mutated_files(legacy: bool, tmp_path: Path) -> None:
    """Flipped and cut bytes end in a typed error or, where nothing read was hit, in the whole network."""
    state = small_state()
    buffer = io.BytesIO()
    torch.save({"meta": pose_meta(), "state_dict": state}, buffer, _use_new_zipfile_serialization=not legacy)
    good = buffer.getvalue()
    path = tmp_path / "a.pth"
    draw = random.Random(1)
    for number in range(MUTATIONS):
        data = bytearray(good)
        for _ in range(draw.choice((1, 1, 4, 64))):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        loaded = outcome(path, state)
        if loaded and not legacy:
            assert same_weights(load_model(path), state), number
        path.write_bytes(good[: draw.randrange(len(good))])
        assert not outcome(path, state), number


def test_bytes_lost_in_the_middle(tmp_path: Path) -> None:
    """The offsets of the archive then lead in front of the file, which is no error of the disk."""
    path = save(tmp_path / "a.pth", {"state_dict": small_state()})
    data = path.read_bytes()
    path.write_bytes(data[:1000] + data[1100:])
    assert refused(path, "truncated or damaged").hint


def test_a_flipped_weight_is_found_in_a_zip(tmp_path: Path) -> None:
    """The archive's checksums are compared, which torch does not do."""
    path = save(tmp_path / "a.pth", {"state_dict": small_state()})
    with zipfile.ZipFile(path) as archive:
        entry = max(archive.infolist(), key=lambda e: e.file_size)
    data = bytearray(path.read_bytes())
    data[entry.header_offset + 300] ^= 1
    path.write_bytes(data)
    refused(path, "damaged", entry.filename)


@pytest.mark.parametrize(("share", "kind"), [(0.9, MemoryError), (2, CheckpointError)])
def test_too_little_memory_is_no_damage(
    share: float, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the file asks for more than it holds."""
    path = save(tmp_path / "a.pth", {"state_dict": small_state()})
    size = int(share * path.stat().st_size)
    told = f"DefaultCPUAllocator: can't allocate memory: you tried to allocate {size} bytes. Error code 12"

    def load(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"[enforce fail at alloc_cpu.cpp:127] err == 0. {told}")

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(kind):
        load_model(path)
