"""Sizes: parameters and tensors of every official network, and their recognition from shapes alone."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import packs  # noqa: E402

from edgepose.artifact import KeypointSet, Preprocess, SimccHead  # noqa: E402
from edgepose.errors import CheckpointError  # noqa: E402
from edgepose.models import loading  # noqa: E402
from edgepose.models.checkpoint import is_batch_counter  # noqa: E402
from edgepose.models.family import Plan, Source  # noqa: E402
from edgepose.models.loading import FAMILIES  # noqa: E402
from edgepose.models.shapes import Shapes  # noqa: E402
from edgepose.nets.csp import BackboneDims, StageDims  # noqa: E402
from edgepose.nets.dcc import DccDims  # noqa: E402
from edgepose.nets.gau import GauDims, ScaleNorm  # noqa: E402
from edgepose.nets.hybrid_encoder import HybridEncoderDims  # noqa: E402
from edgepose.nets.pafpn import NeckDims  # noqa: E402
from edgepose.nets.rtmdet import Rtmdet, RtmdetDims  # noqa: E402
from edgepose.nets.rtmo import Rtmo, RtmoDims  # noqa: E402
from edgepose.nets.rtmpose import Rtmpose, RtmposeDims, SimccHeadDims  # noqa: E402
from edgepose.nets.rtmw import Rtmw, RtmwDims  # noqa: E402

# The official depth and width factors; the tables of parameters and tensors are those of the original
# networks, built from their configurations (mmpose 1.3.2, mmdet 3.3.0).
FACTORS = {
    "nano": (0.33, 0.25),
    "t": (0.167, 0.375),
    "tiny": (0.167, 0.375),
    "s": (0.33, 0.5),
    "m": (0.67, 0.75),
    "l": (1.0, 1.0),
    "x": (1.33, 1.25),
}
# name, points, input height and width, parameters, tensors
RTMPOSE = [
    ("rtmpose-t", 17, (256, 192), 3_337_007, 218),
    ("rtmpose-s", 17, (256, 192), 5_473_251, 254),
    ("rtmpose-m", 17, (256, 192), 13_587_611, 362),
    ("rtmpose-l", 17, (256, 192), 27_660_339, 470),
    ("rtmpose-m", 17, (384, 288), 13_717_659, 362),
    ("rtmpose-l", 17, (384, 288), 27_790_387, 470),
    ("rtmpose-x", 17, (384, 288), 49_434_283, 578),
    ("rtmpose-t", 26, (256, 192), 3_506_360, 218),
    ("rtmpose-s", 26, (256, 192), 5_699_052, 254),
    ("rtmpose-m", 26, (256, 192), 13_926_308, 362),
    ("rtmpose-l", 26, (256, 192), 28_111_932, 470),
    ("rtmpose-m", 26, (384, 288), 14_056_356, 362),
    ("rtmpose-l", 26, (384, 288), 28_241_980, 470),
    ("rtmpose-x", 26, (384, 288), 49_998_772, 578),
    ("rtmpose-t", 133, (256, 192), 5_519_779, 218),
    ("rtmpose-s", 133, (256, 192), 8_383_575, 254),
    ("rtmpose-m", 133, (256, 192), 17_953_039, 362),
    ("rtmpose-l", 133, (256, 192), 33_480_871, 470),
    ("rtmpose-l", 133, (384, 288), 33_610_919, 470),
    ("rtmpose-x", 133, (384, 288), 56_709_919, 578),
    ("rtmpose-m", 106, (256, 256), 16_973_812, 362),
    ("rtmpose-m", 21, (256, 256), 13_775_007, 362),
    ("rtmpose-m", 17, (256, 256), 13_624_475, 362),
]
RTMW = [
    ("rtmw-m", 133, (256, 192), 32_258_207, 620),
    ("rtmw-l", 133, (256, 192), 57_201_207, 728),
    ("rtmw-l", 133, (384, 288), 57_354_295, 728),
    ("rtmw-x", 133, (256, 192), 92_041_903, 836),
    ("rtmw-x", 133, (384, 288), 92_194_991, 836),
    ("rtmw3d-l", 133, (384, 288), 57_501_751, 729),
    ("rtmw3d-x", 133, (384, 288), 92_342_447, 837),
]
RTMO = [
    ("rtmo-t", 17, (416, 416), 6_829_875, 514),
    ("rtmo-s", 17, (640, 640), 9_868_899, 514),
    ("rtmo-m", 17, (640, 640), 22_526_307, 658),
    ("rtmo-l", 17, (640, 640), 44_693_315, 778),
]
# name, classes, input, parameters, tensors
RTMDET = [
    ("rtmdet-nano", 1, (320, 320), 994_423, 698),
    ("rtmdet-tiny", 80, (640, 640), 4_896_168, 476),
    ("rtmdet-s", 80, (640, 640), 8_886_924, 512),
    ("rtmdet-m", 1, (640, 640), 24_663_447, 692),
]


def stages(deepen: float, widen: float, depths: tuple[int, ...]) -> tuple[StageDims, ...]:
    """Scale the four stages of the full size as the official code does."""
    widths = [int(width * widen) for width in (128, 256, 512, 1024)]
    return tuple(
        StageDims(width, width // 2, max(round(depth * deepen), 1), identity=last is False, spp=last)
        for width, depth, last in zip(widths, depths, (False, False, False, True), strict=True)
    )


def cspnext(size: str, *, separable: bool = False) -> BackboneDims:
    """Give the official CSPNeXt of a size."""
    deepen, widen = FACTORS[size]
    stem = int(64 * widen // 2)
    return BackboneDims((stem, stem, int(64 * widen)), stages(deepen, widen, (3, 6, 6, 3)), separable, 1e-5)


def neck_blocks(size: str) -> int:
    """Give the blocks of the path-aggregation neck's CSP layers."""
    return max(round(3 * FACTORS[size][0]), 1)


def simcc_head(
    backbone: BackboneDims, points: int, input_hw: tuple[int, int], *, depth: bool = False
) -> SimccHeadDims:
    """Give the official SimCC head."""
    height, width = input_hw
    return SimccHeadDims(
        in_channels=backbone.out_channels[-1],
        keypoints=points,
        kernel=7,
        cells=height // 32 * (width // 32),
        gau=GauDims(256, 512, 128),
        bins=(2 * width, 2 * height, 2 * width)[: 3 if depth else 2],
    )


def build(name: str, count: int, input_hw: tuple[int, int]) -> torch.nn.Module:
    """Build an official network from its factors, without memory for its weights."""
    family, size = name.split("-")
    with torch.device("meta"):
        if family == "rtmpose":
            backbone = cspnext(size)
            return Rtmpose(RtmposeDims(backbone, simcc_head(backbone, count, input_hw)))
        if family in ("rtmw", "rtmw3d"):
            backbone = cspnext(size)
            # The neck's blocks are 2 in every size: configs/wholebody_2d_keypoint/rtmpose/cocktail14.
            neck = NeckDims(backbone.out_channels, 2, False, None, 1e-5)
            head = simcc_head(backbone, count, input_hw, depth=family == "rtmw3d")
            return Rtmw(RtmwDims(backbone, neck, head))
        if family == "rtmo":
            return Rtmo(rtmo_dims(size, count), box_padding=1.25)
        return Rtmdet(rtmdet_dims(size, count))


def rtmo_dims(size: str, points: int) -> RtmoDims:
    """Give the official RTMO of a size; t differs from s in its width only."""
    deepen, widen = FACTORS["s" if size == "t" else size][0], FACTORS[size][1]
    backbone = BackboneDims((int(64 * widen),), stages(deepen, widen, (3, 9, 9, 3)), False, 1e-3)
    out = int(512 * widen)
    blocks = round(3 * deepen)
    return RtmoDims(
        backbone=backbone,
        neck=HybridEncoderDims(backbone.out_channels, 256, 1024, 1, int(256 * widen), blocks, out),
        in_channels=out // 2,
        cls_width=int(256 * widen),
        cls_convs=2,
        pose_width=8 * int(36 * widen),
        pose_convs=4,
        groups=8,
        keypoints=points,
        dcc=DccDims(points, out, GauDims(128, 256, 128), 64, 192, 256),
    )


def rtmdet_dims(size: str, classes: int) -> RtmdetDims:
    """Give the official RTMDet of a size."""
    nano = size == "nano"
    backbone = cspnext(size, separable=nano)
    width = backbone.out_channels[0]
    return RtmdetDims(
        backbone=backbone,
        neck=NeckDims(backbone.out_channels, neck_blocks(size), nano, width, 1e-5),
        channels=width,
        stacked_convs=2,
        classes=classes,
        separable=nano,
        share_conv=not nano,
        exp_on_distances=size == "m",
        eps=1e-5,
    )


IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
GREY, NONE = (114, 114, 114), (0, 0, 0)
# resize, colours, mean, std, border and padding of the official configurations.
TOP_DOWN = ("affine", "rgb", *IMAGENET, NONE, 1.25)
INPUTS = {
    "rtmpose": TOP_DOWN,
    "rtmw": TOP_DOWN,
    "rtmw3d": TOP_DOWN,
    "rtmo": ("letterbox_centred", "bgr", NONE, (1, 1, 1), GREY, 1.0),
    "rtmdet": ("letterbox", "bgr", *(values[::-1] for values in IMAGENET), GREY, 1.0),
}

CHANGED_TENSORS = 8  # of each network

ALL = RTMPOSE + RTMW + RTMO + RTMDET
IDS = [f"{name}_{count}_{hw[0]}x{hw[1]}" for name, count, hw, _, _ in ALL]


@pytest.mark.parametrize(("name", "count", "input_hw", "parameters", "tensors"), ALL, ids=IDS)
def test_sizes(name: str, count: int, input_hw: tuple[int, int], parameters: int, tensors: int) -> None:
    """The official network has its published parameters, and its shapes lead back to it."""
    network = build(name, count, input_hw)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert len(network.state_dict()) == tensors

    plan = planned(network.state_dict())
    assert plan.spec.name == name
    resize, color, mean, std, border, padding = INPUTS[name.split("-")[0]]
    assert plan.spec.preprocess == Preprocess(resize, input_hw, color, mean, std, border, padding)
    with torch.device("meta"):
        again = plan.make()
    assert again.dims == network.dims
    if not isinstance(head := plan.spec.head, SimccHead):
        rules = {"rtmo": (0.1, 0.65, 1000), 1: (0.05, 0.6, 100), 80: (0.001, 0.65, 300)}
        wanted = rules["rtmo" if name.startswith("rtmo") else count]
        assert (head.score_threshold, head.nms_iou_threshold, head.max_detections) == wanted
    if name.startswith("rtmdet"):
        assert len(plan.spec.head.classes) == count
        assert plan.spec.head.exp_on_distances == network.dims.exp_on_distances
    else:
        assert len(plan.spec.head.points.keypoints) == count


def planned(
    state: dict[str, Any],
    *,
    meta: dict[str, Any] | None = None,
    keypoints: KeypointSet | None = None,
    input_hw: tuple[int, int] | None = None,
) -> Any:
    """Plan the network of a state_dict as load_model does; its tensors are zeros without memory."""
    tensors = weightless(state)
    shapes = Shapes({key: tuple(value.shape) for key, value in tensors.items()})
    source = Source(tensors, shapes, meta or {}, keypoints, input_hw)
    families = [family for family in FAMILIES if family.matches(shapes)]
    assert len(families) == 1
    return families[0].plan(source)


@pytest.mark.parametrize("points", [1, 5, 14, 17, 40])
def test_other_keypoint_counts_and_inputs(points: int) -> None:
    for input_hw in ((32, 32), (256, 128), (192, 320)):
        plan = planned(build("rtmpose-s", points, input_hw).state_dict())
        assert plan.spec.preprocess.input_hw == input_hw
        assert len(plan.spec.head.points.keypoints) == points


def test_rtmo_crowdpose_has_14_points() -> None:
    plan = planned(build("rtmo-s", 14, (640, 640)).state_dict())
    assert plan.spec.head.points.name == "crowdpose14"


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_rtmo_constants_that_half_precision_rounded_are_exact_again(kind: torch.dtype) -> None:
    tensors = weightless(build("rtmo-t", 17, (416, 416)).state_dict())
    shapes = Shapes({key: tuple(value.shape) for key, value in tensors.items()})
    exact = {f"head.dcc.{axis}_bins": torch.linspace(-0.5, 0.5, n) for axis, n in (("x", 192), ("y", 256))}
    for key, longest in (("head.dcc.spe.dim_t", 300.0), ("neck.sincos_pos_enc.dim_t", 10000.0)):
        exact[key] = longest ** (torch.arange(len(tensors[key])) / len(tensors[key]))

    def plan(changed: dict[str, torch.Tensor]) -> Plan:
        family = next(f for f in FAMILIES if f.matches(shapes))
        return family.plan(Source(tensors | changed, shapes, {}, None, None))

    assert plan(exact).restored == {}
    found = plan({key: values.to(kind).float() for key, values in exact.items()})
    assert found.restored.keys() == exact.keys()
    assert all(torch.equal(found.restored[key], exact[key]) for key in exact)
    assert any("dcc.x_bins" in note and "sincos_pos_enc.dim_t" in note for note in found.notes)
    # What differs for another reason stays; the converter refuses uneven bins.
    assert plan({key: values**3 for key, values in exact.items()}).restored == {}


def test_rtmo_constants_are_those_of_the_original(shared_dir: Path) -> None:
    """The golden pack's periods are what half precision is undone to."""
    state = packs.load_pack("rtmo-t_body7_416x416").state_dict()
    shapes = Shapes({key: tuple(value.shape) for key, value in state.items()})
    family = next(f for f in FAMILIES if f.matches(shapes))
    assert family.plan(Source(state, shapes, {}, None, None)).restored == {}
    halves = {
        key: value.half().float() if value.is_floating_point() else value for key, value in state.items()
    }
    restored = family.plan(Source(halves, shapes, {}, None, None)).restored
    assert len(restored) == 4
    assert all(torch.equal(value, state[key]) for key, value in restored.items())


def test_detector_input_and_distances_can_be_stated() -> None:
    state = build("rtmdet-s", 3, (640, 640)).state_dict()
    meta = {"cfg": "bbox_head=dict(\n    exp_on_reg=True,\n", "dataset_meta": {"classes": ("a", "b", "c")}}
    spec = planned(state, meta=meta, input_hw=(384, 512)).spec
    assert spec.head.exp_on_distances is True
    assert spec.head.classes == ("a", "b", "c")
    assert spec.preprocess.input_hw == (384, 512)


def configured(**parts: str) -> dict[str, Any]:
    """Give meta data whose configuration has these parts of a model."""
    return {
        "cfg": "model = dict(" + ", ".join(f"{part}=dict({text})" for part, text in parts.items()) + ")\n"
    }


def eps_of_parts(plan: Plan, *parts: str) -> list[set[float]]:
    """List the eps of all batch normalisations under each name, and then of all others."""
    with torch.device("meta"):
        network = plan.make()
    kinds = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)
    found = {name: module.eps for name, module in network.named_modules() if isinstance(module, kinds)}
    groups = [{eps for name, eps in found.items() if name.startswith(part)} for part in parts]
    return [*groups, {eps for name, eps in found.items() if not name.startswith(parts)}]


@pytest.mark.parametrize(
    ("name", "parts"),
    [("rtmdet-m", ("backbone", "neck", "bbox_head")), ("rtmw-m", ("backbone", "neck"))],
)
def test_each_part_has_the_eps_that_is_stated_for_it(name: str, parts: tuple[str, ...]) -> None:
    state = build(name, 80, (256, 192)).state_dict()
    others: set[float] = set() if name.startswith("rtmdet") else {1e-5}
    for number, part in enumerate(parts):
        plan = planned(state, meta=configured(**{part: "norm_cfg=dict(type='BN', eps=0.25)"}))
        expected = [{0.25} if n == number else {1e-5} for n in range(len(parts))]
        assert eps_of_parts(plan, *parts) == [*expected, others]
        assert any(f"not as usual: {part} 0.25" in note for note in plan.notes)
    classes = {"backbone": "CSPNeXt", "neck": "mmdet.CSPNeXtPAFPN", "bbox_head": "RTMDetSepBNHead"}
    plan = planned(state, meta=configured(**{part: f"type='{classes[part]}'" for part in parts}))
    assert eps_of_parts(plan, *parts) == [*[{1e-3}] * len(parts), others]


def test_rtmo_has_the_eps_that_is_stated_for_each_part() -> None:
    """Its neck passes the setting to some layers only."""
    state = build("rtmo-t", 17, (416, 416)).state_dict()
    neck = [f"neck.{layers}." for layers in ("input_proj", "lateral_convs", "downsample_convs")]
    parts = ("backbone", "head.head_module", "neck.projector", *neck)
    usual = [{1e-3}, {1e-3}, *[{1e-5}] * 5]

    def found(**stated: str) -> list[set[float]]:
        return eps_of_parts(planned(state, meta=configured(**stated)), *parts)

    assert found() == usual
    eps = "norm_cfg=dict(type='BN', eps=0.25)"
    assert found(backbone=eps) == [{0.25}, *usual[1:]]
    assert found(head=f"head_module_cfg=dict({eps})") == [usual[0], {0.25}, *usual[2:]]
    assert found(neck=f"projector=dict({eps}), type='HybridEncoder'") == [*usual[:2], {0.25}, *usual[3:]]
    assert found(neck=eps) == [*usual[:3], *[{0.25}] * 3, {1e-5}]
    assert found(backbone="norm_cfg=dict(type='BN')", head="head_module_cfg=dict()") == [{1e-5}, *usual[1:]]


def test_separate_head_convolutions_stay_separate() -> None:
    """A detector whose strides were trained apart is not tied."""
    dims = rtmdet_dims("tiny", 1)
    with torch.device("meta"):
        state = Rtmdet(dims).state_dict()
    key = "bbox_head.cls_convs.2.1.conv.weight"
    tensors = weightless(state)
    shapes = Shapes({k: tuple(v.shape) for k, v in tensors.items()})
    plan = FAMILIES[-1].plan(Source(tensors | {key: torch.ones(state[key].shape)}, shapes, {}, None, None))
    with torch.device("meta"):
        assert plan.make().dims.share_conv is False
        assert FAMILIES[-1].plan(Source(tensors, shapes, {}, None, None)).make().dims.share_conv is True


@pytest.mark.parametrize(
    ("name", "count", "input_hw"),
    [
        ("rtmpose-t", 17, (256, 192)),
        ("rtmw3d-m", 133, (256, 192)),
        ("rtmo-t", 17, (416, 416)),
        ("rtmdet-tiny", 2, (640, 640)),
        ("rtmdet-nano", 1, (320, 320)),
    ],
)
def test_a_missing_or_misshapen_tensor_is_named(name: str, count: int, input_hw: tuple[int, int]) -> None:
    """Tensors in turn are left out, or made one longer along an axis, while all others stay as they are."""
    whole = weightless(build(name, count, input_hw).state_dict())
    # Another number of RTMO's bins is another valid network, and RTMW3D without its z layer is RTMW.
    keys = [key for key in whole if key not in ("head.dcc.x_bins", "head.dcc.y_bins", "head.cls_z.weight")]
    for key in random.Random(name).sample(keys, min(CHANGED_TENSORS, len(keys))):
        assert key in refusal({k: v for k, v in whole.items() if k != key})
        for axis in range(whole[key].ndim):
            shape = list(whole[key].shape)
            shape[axis] += 1
            longer = torch.zeros((), dtype=whole[key].dtype).expand(shape)
            assert key in refusal(whole | {key: longer}), shape


def weightless(state: dict[str, Any]) -> dict[str, Any]:
    """Give zeros in the shapes and types of what is read of a state_dict, without their memory."""
    read = {key: value for key, value in state.items() if not is_batch_counter(key)}
    return {key: torch.zeros((), dtype=value.dtype).expand(value.shape) for key, value in read.items()}


def refusal(tensors: dict[str, Any]) -> str:
    """Return the message with which building a network from these tensors fails."""
    shapes = Shapes({key: tuple(value.shape) for key, value in tensors.items()})
    with pytest.raises(CheckpointError) as caught:
        loading.build(Source(tensors, shapes, {}, None, None))
    return str(caught.value)


def test_an_attention_without_inner_channels_is_refused() -> None:
    """Its first layer has the rows of two gated halves beside those of the attention."""
    whole = weightless(build("rtmpose-t", 17, (256, 192)).state_dict())
    for rows in (1, 128, 129):
        short = torch.zeros(()).expand(rows, whole["head.gau.uv.weight"].shape[1])
        assert "head.gau.uv.weight has" in refusal(whole | {"head.gau.uv.weight": short})


@pytest.mark.parametrize("power", [0, 3, 7])
def test_prescale_changes_nothing(power: int) -> None:
    """A power of two cancels exactly, also where eps decides."""
    norm = ScaleNorm(48)
    x = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(0))
    x[0, 0] = 0
    x[0, 1] *= 1e-6
    plain = norm(x)
    norm.prescale = 2.0**-power
    assert torch.equal(norm(x), plain)
    assert bool(torch.isfinite(plain).all())
