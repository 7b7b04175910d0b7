"""Preprocessing and activations that a checkpoint states are used, or refused where they cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from checkpoint_files import refused, save, small_state  # noqa: E402

from edgepose.models import load_model  # noqa: E402
from edgepose.models.training_config import UNKNOWN, model_settings  # noqa: E402

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
OFFICIAL = "type='PoseDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], "


def cfg(preprocessor: str, backbone: str = "act_cfg=dict(type='SiLU')", head: str = "act_fn='SiLU'") -> str:
    """Give a configuration as mmengine writes it into a checkpoint."""
    return (
        "codec = dict(type='SimCCLabel', input_size=(\n    64,\n    64,\n))\n"
        "model = dict(\n"
        f"    backbone=dict(\n        {backbone},\n        init_cfg=dict(type='Pretrained'),\n"
        "        type='CSPNeXt'),\n"
        f"    data_preprocessor=dict(\n        {preprocessor}),\n"
        f"    head=dict(gau_cfg=dict({head}), loss=dict(beta=-1.0, mask=[1, 2])),\n"
        "    test_cfg=dict(flip_test=True),\n"
        "    type='TopdownPoseEstimator')\n"
        "other = dict(data_preprocessor=dict(mean=[1, 2, 3], std=[1, 1, 1]), act_cfg=dict(type='ReLU'))\n"
    )


def load(path: Path, text: str | None = None, **tensors: Any) -> Any:
    """Load a small network whose file holds a configuration and tensors of its data_preprocessor."""
    meta = {} if text is None else {"cfg": text}
    state = small_state() | {f"data_preprocessor.{name}": value for name, value in tensors.items()}
    return load_model(save(path, {"meta": meta, "state_dict": state}))


def notes_on_preprocessing(model: Any) -> list[str]:
    return [
        note for note in model.notes if "preprocessing" in note or "channel order" in note or "mean" in note
    ]


def test_the_official_statement_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    usual = load(path)
    exact = {"mean": torch.tensor(MEAN).view(3, 1, 1), "std": torch.tensor(STD).view(3, 1, 1)}
    half = {name: value.half() for name, value in exact.items()}
    short = {name: value.bfloat16() for name, value in exact.items()}
    official = cfg(OFFICIAL + "bgr_to_rgb=True")
    distiller = (
        "model = dict(type='DWPoseDistiller', data_preprocessor=dict(" + OFFICIAL + "bgr_to_rgb=True))"
    )
    for text in (None, "", "# projects/rtmpose.py", official, official.replace("\n", "\r\n"), distiller):
        for tensors in ({}, exact, half, short):
            model = load(path, text, **tensors)
            assert model.spec == usual.spec and model.notes == usual.notes


@pytest.mark.parametrize(
    ("stated", "mean", "std", "color"),
    [
        (OFFICIAL + "bgr_to_rgb=False", MEAN, STD, "bgr"),
        (OFFICIAL, MEAN, STD, "bgr"),  # without a word mmengine does not turn the channels
        ("mean=[0, 0, 0], std=(1, 1, 1.0), bgr_to_rgb=True", (0, 0, 0), (1, 1, 1), "rgb"),
        ("mean=[127.5, 127.5, 127.5], std=[255, 255, 255], rgb_to_bgr=True", (127.5,) * 3, (255,) * 3, "rgb"),
    ],
)
def test_a_stated_preprocessing_is_used(
    stated: str, mean: tuple[float, ...], std: tuple[float, ...], color: str, tmp_path: Path
) -> None:
    model = load(tmp_path / "a.pth", cfg(stated))
    preprocess = model.spec.preprocess
    assert (preprocess.mean, preprocess.std, preprocess.color) == (mean, std, color)
    (note,) = notes_on_preprocessing(model)
    assert note.startswith(f"preprocessing as the checkpoint states it, not as usual: {color}, mean ")


@pytest.mark.parametrize("outer", ["", "module."])
def test_stored_mean_and_std_are_used(outer: str, tmp_path: Path) -> None:
    state = small_state() | {
        "data_preprocessor.mean": torch.tensor([10.1, 20.2, 30.3]).view(3, 1, 1),
        "data_preprocessor.std": torch.tensor([1, 2, 3]),
    }
    document = {"state_dict": {outer + key: value for key, value in state.items()}}
    model = load_model(save(tmp_path / "a.pth", document))
    preprocess = model.spec.preprocess
    assert (preprocess.mean, preprocess.std) == ((10.1, 20.2, 30.3), (1, 2, 3))
    assert preprocess.color == "rgb"
    assert "channel order assumed rgb" in notes_on_preprocessing(model)[1]


def test_a_distillations_own_preprocessing_is_used(tmp_path: Path) -> None:
    pair = {f"{role}.{key}": v for role in ("student", "teacher") for key, v in small_state().items()}
    ones = {"data_preprocessor.mean": torch.ones(3), "data_preprocessor.std": torch.ones(3)}
    model = load_model(save(tmp_path / "a.pth", {"state_dict": pair | ones}))
    assert model.spec.preprocess.mean == (1, 1, 1)


@pytest.mark.parametrize(
    "stated",
    [
        "mean=[0, 0, 0]",
        "std=[1, 1, 1]",
        "mean=[0, 0], std=[1, 1]",
        "mean=[0, 0, 0], std=[1, 0, 1]",
        "mean=[0, 0, 0], std=[1, -1, 1]",
        "mean=[0, 0, 1e999], std=[1, 1, 1]",
        "mean=[0, 0, -3], std=[1, 1, 1]",
        "mean=[0, 0, 256], std=[1, 1, 1]",
        "mean=['0', 0, 0], std=[1, 1, 1]",
        "mean='abc', std=[1, 1, 1]",
        "mean=[True, 0, 0], std=[1, 1, 1]",
        "mean=0, std=1",
        OFFICIAL + "bgr_to_rgb=1",
    ],
)
def test_an_unusable_statement_is_refused(stated: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.pth", {"meta": {"cfg": cfg(stated)}, "state_dict": small_state()})
    assert refused(path, "that its training configuration states").hint


def test_unusable_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"

    def refused_with(part: str, **tensors: Any) -> None:
        state = small_state() | {f"data_preprocessor.{name}": value for name, value in tensors.items()}
        refused(save(path, state), part)

    refused_with("the std that its data_preprocessor states is None", mean=torch.zeros(3))
    refused_with("the mean that", mean=torch.zeros(4), std=torch.ones(3))
    refused_with("the std that", mean=torch.zeros(3), std=torch.zeros(3))
    refused_with("data_preprocessor.std holds 3 values that are not finite", std=torch.full((3,), torch.nan))


def test_two_statements_that_differ_are_refused(tmp_path: Path) -> None:
    text = cfg(OFFICIAL + "bgr_to_rgb=True")
    state = small_state() | {"data_preprocessor.mean": torch.zeros(3), "data_preprocessor.std": torch.ones(3)}
    path = save(tmp_path / "a.pth", {"meta": {"cfg": text}, "state_dict": state})
    refused(path, "states rgb, mean 123.675, 116.28, 103.53", "holds mean 0, 0, 0, std 1, 1, 1")


@pytest.mark.parametrize(
    "text",
    [
        cfg("mean=levels, std=[1, 1, 1]"),
        cfg("mean=[0, 0, zero], std=[1, 1, 1]"),
        cfg("mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=turned"),
        cfg("mean=[0, 0, 0], std=[1, 1, 1], **more"),
        cfg("mean=[0, 0, 0], std=[1, 1, 1]") + cfg("mean=[1, 0, 0], std=[1, 1, 1]"),
        "train(model=dict(data_preprocessor=dict(mean=[0, 0, 0], std=[1, 1, 1])))",
        "model = dict(data_preprocessor=dict(mean=[0, 0, 0], std=[1, 1, 1])",
        "model = __import__('os').system('false')",
        "model = " + "(" * 500,
        "model = " + "-" * 20_000 + "1",
        "model = a" + ".b" * 15_000,
        "model = 1" + "0" * 30_000,
        "model = 'a" + "b" * 100_000 + "'",
    ],
)
def test_what_is_not_written_out_is_no_statement(text: str, tmp_path: Path) -> None:
    assert load(tmp_path / "a.pth", text).spec == load(tmp_path / "b.pth").spec


def test_a_silent_data_preprocessor_is_noted(tmp_path: Path) -> None:
    model = load(tmp_path / "a.pth", cfg("type='PoseDataPreprocessor', pad_size_divisor=32"))
    assert notes_on_preprocessing(model) == [
        "mean and std assumed, as in the official networks: the training configuration gives no numbers"
    ]


def test_settings_are_read_without_running_them() -> None:
    text = "a = 1\nmodel = dict(b={'c': (1, -2.5)}, d=e, f=dict(g=None))\nh = 2\n"
    assert model_settings({"cfg": text}) == {"b": {"c": [1, -2.5]}, "d": UNKNOWN, "f": {"g": None}}
    assert model_settings({}) == model_settings({"cfg": None}) == {}


@pytest.mark.parametrize("name", ["SiLU", "Swish", "torch.nn.modules.activation.SiLU"])
def test_known_activations_load(name: str, tmp_path: Path) -> None:
    text = cfg(OFFICIAL + "bgr_to_rgb=True", backbone=f"act_cfg=dict(type='{name}', inplace=True)")
    assert load(tmp_path / "a.pth", text).spec == load(tmp_path / "b.pth").spec


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"backbone": "act_cfg=dict(type='ReLU')"}, "backbone.act_cfg"),
        ({"head": "act_fn='ReLU'"}, "head.gau_cfg"),
    ],
)
def test_other_activations_are_refused(changed: dict[str, str], place: str, tmp_path: Path) -> None:
    """No tensor shows them: the network would be built wrong."""
    text = cfg(OFFICIAL + "bgr_to_rgb=True", **changed)
    path = save(tmp_path / "a.pth", {"meta": {"cfg": text}, "state_dict": small_state()})
    assert refused(path, f"trained with the activation 'ReLU' ({place})").hint
