"""What a training configuration states beside preprocessing is followed, or refused where it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from checkpoint_files import (  # noqa: E402
    DETECTOR,
    KINDS,
    POSE,
    checkpoint,
    detector_state,
    one_stage_state,
    refused,
    save,
    small_depth_state,
    small_state,
    stages,
)

from edgepose.errors import UsageError  # noqa: E402
from edgepose.models import load_model  # noqa: E402
from edgepose.nets.csp import BackboneDims  # noqa: E402
from edgepose.nets.pafpn import NeckDims  # noqa: E402
from edgepose.nets.rtmdet import Rtmdet, RtmdetDims  # noqa: E402


@pytest.mark.parametrize("kind", KINDS)
def test_the_official_statements_change_nothing(kind: str, tmp_path: Path) -> None:
    bare = load_model(save(tmp_path / "a.pth", KINDS[kind][0]()))
    model = load_model(checkpoint(tmp_path / "b.pth", kind))
    assert model.spec == bare.spec
    assumed = ("input size assumed 640x640: the checkpoint does not state it",) if kind != "pose" else ()
    assert {*bare.notes} - {*model.notes} >= {*assumed}
    assert not {*model.notes} - {*bare.notes}


@pytest.mark.parametrize(
    ("kind", "old", "new", "hw"),
    [
        ("detector", "size=(640, 640)", "size=(416, 256)", (256, 416)),
        ("detector", "size=(640, 640), type='Pad'", "type='Other'", (640, 640)),
        ("one", "input_size=(640, 640)", "input_size=(416, 416)", (416, 416)),
        ("one", "input_size=(640, 640)", "input_size=side", (640, 640)),
    ],
)  # fmt: skip
def test_the_stated_input_size_is_taken(
    kind: str, old: str, new: str, hw: tuple[int, int], tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "a.pth", kind, old, new)
    model = load_model(path)
    assert model.spec.preprocess.input_hw == hw
    stated = f"input size {hw[0]}x{hw[1]} (height x width) as the training configuration has it"
    assert (stated in model.notes) == (hw != (640, 640))
    assert load_model(path, input_hw=(320, 320)).spec.preprocess.input_hw == (320, 320)


def test_a_pipelines_input_size_is_the_detectors(tmp_path: Path) -> None:
    detector = checkpoint(tmp_path / "a.pth", "detector", "size=(640, 640)", "size=(600, 600)")
    assert load_model(detector, detector_input_hw=(320, 320)).spec.preprocess.input_hw == (320, 320)
    for kind, stated in (("pose", (64, 64)), ("one", (640, 640))):
        other = checkpoint(tmp_path / "b.pth", kind)
        assert load_model(other, detector_input_hw=(320, 320)).spec.preprocess.input_hw == stated


def test_a_stated_input_size_that_no_network_takes_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a.pth", "one", "input_size=(640, 640)", "input_size=(600, 600)")
    error = refused(path, "the input size 600x600 (height x width) is not divisible by 32", kind=UsageError)
    assert "that of the training configuration" in error.message and "--input-size" in (error.hint or "")
    path = checkpoint(tmp_path / "a.pth", "one", "input_size=(640, 640)", "input_size=(640, -1)")
    refused(path, "BottomupResize.input_size of its training configuration is [640, -1]")


@pytest.mark.parametrize(
    ("kind", "old", "new", "member", "value"),
    [
        ("detector", "score_thr=0.05", "score_thr=0.3", "score_threshold", 0.3),
        ("detector", "iou_threshold=0.6", "iou_threshold=0.45", "nms_iou_threshold", 0.45),
        ("detector", "nms_pre=1000", "nms_pre=1", "max_candidates_per_level", 1),
        ("detector", "max_per_img=100", "max_per_img=7", "max_detections", 7),
        ("one", "score_thr=0.1", "score_thr=0.01", "score_threshold", 0.01),
        ("one", "nms_thr=0.65", "nms_thr=1.0", "nms_iou_threshold", 1.0),
        ("one", "nms_pre=100000", "nms_pre=50", "max_candidates", 50),
        ("one", "bbox_padding=1.25", "bbox_padding=1.5", "box_padding", 1.5),
    ],
)
def test_the_stated_thresholds_are_taken(
    kind: str, old: str, new: str, member: str, value: float, tmp_path: Path
) -> None:
    model = load_model(checkpoint(tmp_path / "a.pth", kind, old, new))
    assert getattr(model.spec.head, member) == value
    said = f"{member} {value:g}".replace("box_padding", "bbox_padding")
    assert any("training configuration" in note and said in note for note in model.notes)
    if kind == "one":
        assert model.network.head.dcc.box_padding == (value if member == "box_padding" else 1.25)


def test_the_stated_padding_is_taken(tmp_path: Path) -> None:
    crop = ("type='GetBBoxCenterScale'", "type='mmpose.datasets.transforms.GetBBoxCenterScale', padding=1.1")
    model = load_model(checkpoint(tmp_path / "a.pth", "pose", *crop))
    assert model.spec.preprocess.box_padding == 1.1
    assert "box padding 1.1 as the training configuration has it, not 1.25" in model.notes
    model = load_model(checkpoint(tmp_path / "a.pth", "one", "pad_val=(114, 114, 114), ", ""))
    assert model.spec.preprocess.pad_value == (0, 0, 0)
    grey = ("pad_val=dict(img=(114, 114, 114))", "pad_val=dict(img=114.0)")
    model = load_model(checkpoint(tmp_path / "a.pth", "detector", *grey))
    assert model.spec.preprocess.pad_value == (114, 114, 114)


def test_the_stated_depth_is_taken(tmp_path: Path) -> None:
    text = POSE.replace("use_dark=False", "z_range=1.5")
    model = load_model(save(tmp_path / "a.pth", {"meta": {"cfg": text}, "state_dict": small_depth_state()}))
    assert model.spec.head.z_range == 1.5
    assert "z_range 1.5 m as the training configuration has it" in model.notes
    assert load_model(save(tmp_path / "a.pth", small_depth_state())).spec.head.z_range == 2.1744869


def plane_state() -> dict[str, Any]:
    return {key: value for key, value in small_depth_state().items() if not key.startswith("head.cls_z.")}


@pytest.mark.parametrize(
    ("state", "loss", "score", "noted"),
    [
        (small_state, "", 0.3, None),
        (small_state, "loss=dict(type='KLDiscretLoss', beta=10., label_softmax=True), ", 0.3, None),
        (small_state, "loss=dict(type='KLDiscretLoss', beta=1., label_beta=10.), ", 3.0, "10 times"),
        (
            small_state,
            "loss=dict(type='KLDiscretLoss', beta=1., label_softmax=True, label_beta=10.), ",
            3.0,
            "the loss has beta 1 and label_beta 10, which makes scores 10 times",
        ),
        (
            small_state,
            "loss=dict(type='KLDiscretLoss', beta=1., label_softmax=True, label_beta=1.), ",
            0.3,
            None,
        ),
        (small_state, "loss=dict(type='KLDiscretLoss', label_softmax=True, label_beta=2), ", 0.6, "2 times"),
        (small_state, "loss=dict(type='mmpose.models.KLDiscretLoss'), ", 3.0, "10 times"),
        (small_state, "loss=dict(type='KLDiscretLoss', beta=b), ", 0.3, None),
        (small_state, "loss=dict(type='Other', beta=1), ", 0.3, None),
        (plane_state, "", 3.0, "10 times"),
        (plane_state, "loss=dict(type='KLDiscretLoss', beta=1.), ", 3.0, "10 times"),
        (plane_state, "loss=dict(type='KLDiscretLoss', beta=20), ", 0.15, "0.5 times"),
        (small_depth_state, "", 0.3, None),
        (
            small_depth_state,
            "loss=[dict(type='KLDiscretLoss2', beta=10.), dict(type='BoneLoss')], ",
            0.3,
            None,
        ),
        (
            small_depth_state,
            "loss=[dict(type='BoneLoss'), dict(type='KLDiscretLoss2', beta=5)], ",
            0.6,
            "2 times",
        ),
    ],
)
def test_the_losss_beta_decides_which_keypoints_are_seen(
    state: Any, loss: str, score: float, noted: str | None, tmp_path: Path
) -> None:
    """Official RTMW networks have a beta of 1, the others one of 10: their scores are on another scale."""
    text = POSE.replace("head=dict(", f"head=dict({loss}")
    path = save(tmp_path / "a.pth", {"meta": {"cfg": text}, "state_dict": state()})
    model = load_model(path)
    assert model.spec.keypoint_score_threshold == score
    notes = [note for note in model.notes if "keypoints count as seen" in note]
    assert len(notes) == (noted is not None) and all(f"{noted} as high as usual" in note for note in notes)
    assert all(("as in the official networks" in note) == (not loss) for note in notes)


def test_a_loss_of_before_label_beta_is_noted(tmp_path: Path) -> None:
    """mmpose before 1.3 sharpened the label by beta itself, and no file tells which mmpose trained it."""
    for beta, doubted in ((1.0, True), (10.0, False)):
        loss = f"head=dict(loss=dict(type='KLDiscretLoss', beta={beta}, label_softmax=True), "
        model = load_model(checkpoint(tmp_path / "a.pth", "pose", "head=dict(", loss))
        assert model.spec.keypoint_score_threshold == 3.0 / beta
        said = "mmpose before 1.3 trained it to the usual scores: then draw with edgepose run "
        assert any(f"{said}--keypoint-threshold 0.3" in note for note in model.notes) == doubted


def test_a_data_loaders_pipeline_goes_before_the_named_one(tmp_path: Path) -> None:
    """What is run: a configuration that replaces it still has its base's val_pipeline."""
    padded = "dict(type='GetBBoxCenterScale', padding=1.1)"
    own = f"dict(type='CocoDataset', pipeline=[dict(type='LoadImage'), {padded}])"
    for loader in (
        f"dict(dataset={own})",
        f"dict(dataset=dict(type='RepeatDataset', dataset={own}))",
        f"dict(dataset=dict(type='ConcatDataset', datasets=[{own}, dict(pipeline=[])]))",
        "dict(dataset=dict(type='CombinedDataset', "
        f"datasets=[dict(pipeline=[dict(type='KeypointConverter')])], pipeline=[{padded}]))",
    ):
        for name in ("test", "val"):
            cfg = f"{POSE}{name}_dataloader = {loader}\n"
            state = {"meta": {"cfg": cfg}, "state_dict": small_state()}
            assert load_model(save(tmp_path / "a.pth", state)).spec.preprocess.box_padding == 1.1
    cfg = POSE.replace("type='GetBBoxCenterScale'", "type='GetBBoxCenterScale', padding=1.5")
    cfg += (
        "test_dataloader = dict(dataset=dict(pipeline=val_pipeline, dataset=dict(pipeline=[dict(type='A')])))"
    )
    named = save(tmp_path / "a.pth", {"meta": {"cfg": cfg}, "state_dict": small_state()})
    assert load_model(named).spec.preprocess.box_padding == 1.5
    cfg = f"{POSE}test_dataloader = dict(dataset=dict(pipeline=[dict(type='TopdownAffine', use_udp=True)]))\n"
    refused(
        save(tmp_path / "a.pth", {"meta": {"cfg": cfg}, "state_dict": small_state()}),
        "TopdownAffine.use_udp = True",
    )


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ([{"id": 1, "name": "hand", "supercategory": ""}], ("hand",)),
        (["glove"], ("glove",)),
        ([{"id": 1}], ("person",)),
        ([{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], ("person",)),
    ],
)
def test_the_classes_of_mmposes_data_sets_are_named(
    names: list[Any], classes: tuple[str, ...], tmp_path: Path
) -> None:
    for key in ("CLASSES", "classes"):
        document = {"meta": {"dataset_meta": {key: names}}, "state_dict": detector_state()}
        model = load_model(save(tmp_path / "a.pth", document))
        assert model.spec.head.classes == classes
        assert ("class name assumed: person" in model.notes) == (classes == ("person",))


def test_a_network_that_was_trained_without_sigmas(tmp_path: Path) -> None:
    """RTMO's loss_oks has them where it has a metainfo; inference does not use them."""
    state = one_stage_state()
    del state["head.loss_oks.sigmas"]
    found = load_model(save(tmp_path / "a.pth", state))
    assert found.spec == load_model(save(tmp_path / "b.pth", one_stage_state())).spec
    assert all(bool(torch.isfinite(y).all()) for y in found.network(torch.zeros(1, 3, 64, 64)))


def test_the_sigmas_of_rtmos_loss_are_taken_where_nothing_states_them(tmp_path: Path) -> None:
    state = one_stage_state()
    count = len(state["head.loss_oks.sigmas"])
    state["head.loss_oks.sigmas"] = torch.full((count,), 0.04)
    found = load_model(save(tmp_path / "a.pth", state))
    assert found.spec.head.points.sigmas == (0.04,) * count
    assert not any("sigmas" in note for note in found.notes)


def test_a_head_without_exp_on_reg_has_its_classs_default(tmp_path: Path) -> None:
    """In a wide network, where the official ones have it."""
    wide = BackboneDims((24, 24, 48), stages(), False, 1e-5)
    dims = RtmdetDims(wide, NeckDims((8, 8, 8), 1, False, 8, 1e-5), 8, 2, 1, False, False, False, 1e-5)
    state = Rtmdet(dims).state_dict()
    text = DETECTOR.replace("exp_on_reg=False, ", "")
    stated = load_model(save(tmp_path / "a.pth", {"meta": {"cfg": text}, "state_dict": state}))
    assert stated.spec.head.exp_on_distances is False
    assert load_model(save(tmp_path / "a.pth", state)).spec.head.exp_on_distances is True


@pytest.mark.parametrize(
    ("kind", "old", "new", "parts"),
    [
        ("pose", "pos_enc=False", "pos_enc=True", ["head.gau_cfg.pos_enc = True", "only False"]),
        ("pose", "gau_cfg=dict(act_fn='SiLU', pos_enc=False), ", "", ["activation 'ReLU' (head.gau_cfg)"]),
        ("pose", "act_fn='SiLU'", "act_fn='Swish'", ["activation 'Swish' (head.gau_cfg); only SiLU"]),
        ("one", "act_fn='SiLU'", "act_fn='torch.nn.SiLU'", ["activation 'torch.nn.SiLU' (head.dcc_cfg"]),
        ("pose", " head=", " neck=dict(type='FeatureMapProcessor', apply_relu=True), head=", ["no tensor"]),
        ("pose", "split_ratio=2.0", "split_ratio=2.005", ["head.simcc_split_ratio", "2.005; the shapes"]),
        ("pose", "use_dark=False", "input_size=(64, 96)", ["head.decoder.input_size", "[64, 96]; the"]),
        ("pose", "head=dict(", "head=dict(loss=dict(type='KLDiscretLoss', beta=0), ", ["loss.beta", "is 0"]),
        (
            "pose",
            "head=dict(",
            "head=dict(loss=dict(type='KLDiscretLoss', label_softmax=True, label_beta=400), ",
            ["loss.label_beta", "is 400", "from 0.1 to 300"],
        ),
        ("pose", "act_cfg=dict(type='SiLU')", "act_cfg=None", ["activation 'None' (backbone.act_cfg)"]),
        ("pose", "backbone=dict(", "backbone=dict(spp_kernel_sizes=(3, 5, 7), ", ["[3, 5, 7]; only [5, 9"]),
        ("pose", "backbone=dict(", "backbone=dict(arch_ovewrite=[[8, 8, 3, False, False]], ", ["ovewrite"]),
        ("pose", "type='TopdownAffine'", "use_udp=True, type='TopdownAffine'", ["Affine.use_udp = True"]),
        ("pose", "type='GetBBoxCenterScale'", "padding=0.9, type='GetBBoxCenterScale'", ["from 1 to 4"]),
        ("detector", "offset=0, ", "", ["anchor_generator.offset = 0.5; only 0"]),
        ("detector", "[8, 16, 32]", "[4, 8, 16]", ["anchor_generator.strides = [4, 8, 16]"]),
        ("detector", "keep_ratio=True", "keep_ratio=False", ["Resize.keep_ratio = False; only True"]),
        ("detector", "score_thr=0.05", "score_thr=-1", ["model.test_cfg.score_thr", "is -1", "from 0 to 1"]),
        ("detector", "max_per_img=100", "max_per_img=True", ["model.test_cfg.max_per_img", "is True"]),
        ("detector", "img=(114,", "img=(0.5,", ["Pad.pad_val", "from 0 to 255"]),
        ("one", "centralize_points=True, ", "", ["prior_generator.centralize_points = False; only True"]),
        ("one", "pos_enc='add'", "pos_enc='rope'", ["dcc_cfg.gau_cfg.pos_enc = rope; only add"]),
        ("one", "act_fn='SiLU'", "act_fn='Swish'", ["activation 'Swish' (head.dcc_cfg.gau_cfg)"]),
        ("one", "act_cfg=None", "act_cfg=dict(type='ReLU')", ["projector.act_cfg = ReLU; only None"]),
        ("one", "act_cfg=None, ", "", ["projector.act_cfg = ReLU; only None"]),
        ("one", "num_heads=8", "num_heads=4", ["num_heads = 4; only 8"]),
        ("one", "act_cfg=dict(type='GELU')", "", ["activation 'ReLU'", "only GELU"]),
        ("one", ", ffn_cfg=dict(act_cfg=dict(type='GELU'))", "", ["activation 'ReLU'", "only GELU"]),
        ("one", "encoder_cfg", "unknown_cfg", ["activation 'ReLU' (neck.encoder_cfg.ffn_cfg.act_cfg)"]),
        ("one", "nms_thr=0.65", "nms_thr='0.65'", ["model.test_cfg.nms_thr", "from 0 to 1"]),
        ("one", "type='BottomupResize'", "type='BottomupResize', resize_mode='expand'", ["mode = expand"]),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused(
    kind: str, old: str, new: str, parts: list[str], tmp_path: Path
) -> None:
    """No tensor shows these: the network, or what is done with its outputs, would be silently another."""
    assert refused(checkpoint(tmp_path / "a.pth", kind, old, new), *parts).hint


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("pose", "type='TopdownAffine'", "use_udp=True, type='TopdownAffine'"),
        ("pose", "type='GetBBoxCenterScale'", "padding=0.9, type='GetBBoxCenterScale'"),
        ("pose", "use_dark=False", "input_size=(64, 96)"),
        ("detector", "keep_ratio=True", "keep_ratio=False"),
        ("detector", "img=(114,", "img=(0.5,"),
        ("one", "type='BottomupResize'", "type='BottomupResize', resize_mode='expand'"),
        ("one", "bbox_padding=1.25", "bbox_padding=9"),
    ],
)
def test_no_hint_leads_round_the_refusal_of_a_crop(kind: str, old: str, new: str, tmp_path: Path) -> None:
    """The weights alone would load, and get the usual one without a word."""
    assert "weights alone" not in (refused(checkpoint(tmp_path / "a.pth", kind, old, new)).hint or "")


@pytest.mark.parametrize(
    ("old", "new", "noted"),
    [
        ("scale=(640, 640)", "scale=(416, 416)", True),
        ("scale=(640, 640)", "scale=416", True),
        ("size=(640, 640)", "size=(672, 672)", True),
        ("scale=(640, 640)", "scale=640", False),
        ("scale=(640, 640)", "scale=side", False),
        ("scale=(640, 640), ", "", False),
    ],
)
def test_pictures_smaller_than_their_padding_are_noted(
    old: str, new: str, noted: bool, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "a.pth", "detector", old, new)
    said = "Resize.scale of the training configuration is not followed"
    assert any(note.startswith(said) for note in load_model(path).notes) is noted
    if "416" in new:
        assert not any(note.startswith(said) for note in load_model(path, input_hw=(416, 416)).notes)


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        ("use_dark=False", "use_dark=True", "use_dark of the training configuration is not followed"),
        ("model = dict(", "model = dict((", "the training configuration could not be read"),
        ("act_cfg", "x='" + "b" * 40_000 + "', act_cfg", "the training configuration could not be read"),
    ],
)
def test_what_is_not_followed_is_noted(old: str, new: str, note: str, tmp_path: Path) -> None:
    model = load_model(checkpoint(tmp_path / "a.pth", "pose", old, new))
    assert any(text.startswith(note) for text in model.notes)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("type='nms'", "type='soft_nms'", "nms of type 'soft_nms' is not"),
        ("type='nms'", "type='mmcv.ops.nms'", None),
        ("type='nms'", "type='mmcv.ops.soft_nms'", "nms of type 'mmcv.ops.soft_nms' is not"),
        ("type='nms'", "type='nms', class_agnostic=True", "nms.class_agnostic is not"),
        ("type='nms'", "type='nms', class_agnostic=False", None),
        ("max_per_img=100", "max_per_img=100, min_bbox_size=4", "min_bbox_size 4 is not"),
        ("max_per_img=100", "max_per_img=100, min_bbox_size=0", None),
    ],
)
def test_what_is_not_followed_of_a_detectors_boxes_is_noted(
    old: str, new: str, said: str | None, tmp_path: Path
) -> None:
    notes = load_model(checkpoint(tmp_path / "a.pth", "detector", old, new)).notes
    found = [note for note in notes if "not followed" in note]
    assert len(found) == (said is not None) and all(f"test_cfg.{said} followed" in note for note in found)
