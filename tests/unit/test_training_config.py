"""Preprocessing and activations that a checkpoint states are used, or refused where they cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from checkpoint_files import refused, save, small_state  # noqa: E402

from edgepose.models import load_model  # noqa: E402
from edgepose.models.training_config import UNKNOWN, model_settings  # noqa: E402
from edgepose.zoo import find  # noqa: E402

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
OFFICIAL = "type='PoseDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], "


SYNC_BN = "norm_cfg=dict(type='SyncBN')"
BATCH_NORM = "eps of batch normalisation"


def cfg(
    preprocessor: str,
    backbone: str = "act_cfg=dict(type='SiLU')",
    head: str = "act_fn='SiLU'",
    norm: str = SYNC_BN,
) -> str:
    """Give a configuration as mmengine writes it into a checkpoint."""
    return (
        "codec = dict(type='SimCCLabel', input_size=(\n    64,\n    64,\n))\n"
        "model = dict(\n"
        f"    backbone=dict(\n        {backbone},\n        {norm},\n"
        "        init_cfg=dict(type='Pretrained'),\n        type='CSPNeXt'),\n"
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
    assert "quotes no training configuration" in usual.notes[0]
    exact = {"mean": torch.tensor(MEAN).view(3, 1, 1), "std": torch.tensor(STD).view(3, 1, 1)}
    half = {name: value.half() for name, value in exact.items()}
    short = {name: value.bfloat16() for name, value in exact.items()}
    official = cfg(OFFICIAL + "bgr_to_rgb=True")
    distiller = (
        "model = dict(type='DWPoseDistiller', data_preprocessor=dict(" + OFFICIAL + "bgr_to_rgb=True))"
    )
    for text in (None, "", "# projects/rtmpose.py", official, official.replace("\n", "\r\n"), distiller):
        quotes = "model" in (text or "")
        for tensors in ({}, exact, half, short):
            model = load(path, text, **tensors)
            assert model.spec == usual.spec and model.notes == usual.notes[quotes:]


def test_known_weights_are_not_said_to_lack_a_configuration(tmp_path: Path) -> None:
    """The official ones, and those of this project's own trainings."""
    path = tmp_path / "a.pth"
    official = load(tmp_path / find("rtmw-m").file)  # by its name: upstream gives no SHA-256
    trained = [{"steps": 1, "batch": 2, "minutes": 0.5}, {"averaged": 2}]
    own = [load_model(save(path, {"meta": meta, "state_dict": small_state()})) for meta in trained]
    assert not any("training configuration" in note for model in (official, *own) for note in model.notes)


@pytest.mark.parametrize(
    ("inner", "mean", "color"),
    [
        ("", (127.5,) * 3, "bgr"),
        ("data_preprocessor=dict(" + OFFICIAL + "bgr_to_rgb=True), ", MEAN, "rgb"),
        ("data_preprocessor=base, ", MEAN, "rgb"),
    ],
)
def test_a_preprocessing_beside_the_model_is_used_where_the_model_has_none(
    inner: str, mean: tuple[float, ...], color: str, tmp_path: Path
) -> None:
    """So mmengine merges the two."""
    half = [127.5] * 3
    beside = f"data_preprocessor = dict(\n    mean={half},\n    std={half},\n    bgr_to_rgb=False)\n"
    text = f"{beside}model = dict({inner}type='TopdownPoseEstimator')\n"
    preprocess = load(tmp_path / "a.pth", text).spec.preprocess
    assert (preprocess.mean, preprocess.color) == (mean, color)


def test_a_configuration_without_a_preprocessing_is_noted(tmp_path: Path) -> None:
    (note,) = notes_on_preprocessing(load(tmp_path / "a.pth", "model = dict(type='TopdownPoseEstimator')\n"))
    assert note.startswith("mean, std and channel order assumed, as in the official networks")


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
    assert "channel order assumed rgb" in notes_on_preprocessing(model)[-1]


def test_a_distillations_own_preprocessing_is_used(tmp_path: Path) -> None:
    pair = {f"{role}.{key}": v for role in ("student", "teacher") for key, v in small_state().items()}
    ones = {"data_preprocessor.mean": torch.ones(3), "data_preprocessor.std": torch.ones(3)}
    meta = {"cfg": "model = dict(two_dis=False)"}
    model = load_model(save(tmp_path / "a.pth", {"meta": meta, "state_dict": pair | ones}))
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
        cfg("mean=[0, 0, 0x" + "f" * 20_000 + "], std=[1, 1, 1]"),  # Python cannot print it
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


@pytest.mark.parametrize(
    ("stated", "color"),
    [
        ("type='PoseDataPreprocessor', pad_size_divisor=32", "bgr"),
        ("type='mmdet.DetDataPreprocessor', bgr_to_rgb=False", "bgr"),
        ("type='PoseDataPreprocessor', mean=None, std=None, bgr_to_rgb=True", "rgb"),
        ("bgr_to_rgb=True", "rgb"),
    ],
)
def test_without_mean_and_std_nothing_is_normalised(stated: str, color: str, tmp_path: Path) -> None:
    """So mmengine has it; the channels are in the stated order."""
    model = load(tmp_path / "a.pth", cfg(stated))
    preprocess = model.spec.preprocess
    assert (preprocess.mean, preprocess.std, preprocess.color) == ((0, 0, 0), (1, 1, 1), color)
    assert notes_on_preprocessing(model) == [
        f"preprocessing as the checkpoint states it, not as usual: {color}, mean 0, 0, 0, std 1, 1, 1"
    ]


@pytest.mark.parametrize(
    "stated",
    ["type='Mine'", "type=Mine, bgr_to_rgb=False", "type='PoseDataPreprocessor', mean=levels", "**base"],
)
def test_an_unreadable_preprocessing_is_assumed_and_noted(stated: str, tmp_path: Path) -> None:
    model = load(tmp_path / "a.pth", cfg(stated))
    assert model.spec == load(tmp_path / "b.pth").spec
    (note,) = notes_on_preprocessing(model)
    assert note.startswith("mean, std and channel order assumed, as in the official networks")


@pytest.mark.parametrize(
    ("stated", "mean"), [("mean=[0, 0, 0], std=[1, 1, 1], ", (0, 0, 0)), (OFFICIAL, MEAN)]
)
def test_an_unreadable_order_is_assumed_and_noted(
    stated: str, mean: tuple[float, ...], tmp_path: Path
) -> None:
    model = load(tmp_path / "a.pth", cfg(stated + "bgr_to_rgb=turned"))
    assert (model.spec.preprocess.mean, model.spec.preprocess.color) == (mean, "rgb")
    assert notes_on_preprocessing(model)[-1] == "channel order assumed rgb, as in the official networks"


@pytest.mark.parametrize("mean", [MEAN, (1, 2, 3)])
def test_stored_numbers_are_in_the_order_that_silent_settings_state(
    mean: tuple[float, ...], tmp_path: Path
) -> None:
    tensors = {"mean": torch.tensor(mean), "std": torch.tensor(STD)}
    model = load(tmp_path / "a.pth", cfg("type='Mine', bgr_to_rgb=False"), **tensors)
    preprocess = model.spec.preprocess
    assert (preprocess.mean, preprocess.std, preprocess.color) == (mean, STD, "bgr")
    assert len(notes_on_preprocessing(model)) == 1


def built_eps(model: Any) -> set[float]:
    return {module.eps for module in model.network.modules() if isinstance(module, torch.nn.BatchNorm2d)}


@pytest.mark.parametrize(
    ("norm", "eps"),
    [
        (SYNC_BN, 1e-5),
        ("norm_cfg=dict(type='BN', requires_grad=True, eps=1e-05)", 1e-5),
        ("norm_cfg=dict(type='BN', momentum=0.03, eps=0.001)", 1e-3),
        ("norm_cfg=dict(type='BN', eps=1)", 1.0),
        ("norm_eval=False", 1e-3),  # the default of the class
    ],
)
def test_the_stated_eps_is_built(norm: str, eps: float, tmp_path: Path) -> None:
    model = load(tmp_path / "a.pth", cfg(OFFICIAL + "bgr_to_rgb=True", norm=norm))
    assert built_eps(model) == {eps} and model.network.dims.backbone.eps == eps
    usual = load(tmp_path / "b.pth")
    assert built_eps(usual) == {1e-5} and model.spec == usual.spec
    notes = [note for note in model.notes if BATCH_NORM in note]
    assert len(notes) == (eps != 1e-5)
    assert all(f"not as usual: backbone {eps:g}" in note for note in notes)
    picture = torch.randn(1, 3, 64, 64)
    same = torch.equal(model.network.backbone(picture)[-1], usual.network.backbone(picture)[-1])
    assert same == (eps == 1e-5)


@pytest.mark.parametrize(
    "norm",
    ["norm_cfg=norm", "norm_cfg=dict(type='BN', eps=small)", "norm_cfg=None", "norm_cfg=dict(**norm)"],
)
def test_an_eps_that_is_not_written_out_is_assumed_and_noted(norm: str, tmp_path: Path) -> None:
    model = load(tmp_path / "a.pth", cfg(OFFICIAL + "bgr_to_rgb=True", norm=norm))
    assert built_eps(model) == {1e-5}
    (note,) = [note for note in model.notes if BATCH_NORM in note]
    assert "assumed" in note and "backbone 1e-05" in note


def test_an_unknown_backbones_default_is_not_guessed(tmp_path: Path) -> None:
    text = "model = dict(backbone=dict(type='Mine'))"
    model = load(tmp_path / "a.pth", text)
    assert built_eps(model) == {1e-5}
    assert any(BATCH_NORM in note and "assumed" in note for note in model.notes)
    assert built_eps(load(tmp_path / "a.pth", "model = dict(neck=dict(eps=0.5))")) == {1e-5}


@pytest.mark.parametrize("eps", ["0", "-0.001", "1e999", "'0.001'", "None", "True", "[1]"])
def test_an_unusable_eps_is_refused(eps: str, tmp_path: Path) -> None:
    text = cfg(OFFICIAL + "bgr_to_rgb=True", norm=f"norm_cfg=dict(type='BN', eps={eps})")
    path = save(tmp_path / "a.pth", {"meta": {"cfg": text}, "state_dict": small_state()})
    assert refused(path, "eps of batch normalisation", "(backbone.norm_cfg)", "above 0").hint


def test_settings_are_read_without_running_them() -> None:
    text = "a = 1\nmodel = dict(b={'c': (1, -2.5)}, d=e, f=dict(g=None))\nh = 2\n"
    assert model_settings({"cfg": text}) == {"b": {"c": [1, -2.5]}, "d": UNKNOWN, "f": {"g": None}}
    assert model_settings({}) == model_settings({"cfg": None}) == {}


@pytest.mark.parametrize("name", ["SiLU", "Swish", "torch.nn.modules.activation.SiLU"])
def test_known_activations_load(name: str, tmp_path: Path) -> None:
    text = cfg(OFFICIAL + "bgr_to_rgb=True", backbone=f"act_cfg=dict(type='{name}', inplace=True)")
    assert load(tmp_path / "a.pth", text).spec == load(tmp_path / "b.pth").spec


@pytest.mark.parametrize("name", ["SiLU", "torch.nn.SiLU"])
def test_known_functions_of_the_head_load(name: str, tmp_path: Path) -> None:
    text = cfg(OFFICIAL + "bgr_to_rgb=True", head=f"act_fn='{name}'")
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


@pytest.mark.parametrize(
    "value", [np.zeros(2), torch.zeros(2), b"model = dict()", ["model"], 5, {"model": {}}], ids=str
)
def test_a_configuration_that_is_no_text(value: Any, tmp_path: Path) -> None:
    document = {"meta": {"cfg": value}, "state_dict": small_state()}
    plain = {"meta": {}, "state_dict": small_state()}
    found = [load_model(save(tmp_path / f"{n}.pth", d)) for n, d in enumerate((document, plain))]
    assert found[0].spec == found[1].spec and found[0].notes == found[1].notes
