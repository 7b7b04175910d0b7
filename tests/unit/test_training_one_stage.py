"""The training of RTMO: which cell answers for whom, the loss, and where labels land on a canvas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from edgepose.nets.csp import BackboneDims, StageDims
from edgepose.nets.dcc import DccDims
from edgepose.nets.gau import GauDims
from edgepose.nets.hybrid_encoder import HybridEncoderDims
from edgepose.nets.rtmo import Rtmo, RtmoDims


@pytest.fixture
def network() -> Rtmo:
    """Make a tiny RTMO network with its constants."""
    widths = (16, 16, 16, 32)
    stages = tuple(StageDims(w, w // 2, 1, identity=n < 3, spp=n == 3) for n, w in enumerate(widths))
    dims = RtmoDims(
        backbone=BackboneDims(stem_channels=(8,), stages=stages, separable=False, eps=1e-3),
        neck=HybridEncoderDims(
            in_channels=(16, 16, 32), width=32, feedforward=32, encoder_layers=1, branch=16, blocks=1, out=32
        ),
        in_channels=16,
        cls_width=16,
        cls_convs=1,
        pose_width=16,
        pose_convs=2,
        groups=4,
        keypoints=17,
        dcc=DccDims(17, 16, GauDims(width=16, inner=16, attention=8), periods=4, x_bins=24, y_bins=32),
    )
    made = Rtmo(dims, box_padding=1.25)
    made.head.dcc.x_bins.copy_(torch.linspace(-0.5, 0.5, 24))
    made.head.dcc.y_bins.copy_(torch.linspace(-0.5, 0.5, 32))
    made.head.dcc.spe.dim_t.copy_(torch.tensor([1.0, 4.0, 16.0, 64.0]))
    return made


def labels(one_stage: Any, *boxes: tuple[float, ...]) -> Any:
    """Give persons, all in picture 0, with keypoints on the diagonal of their boxes."""
    corners = torch.tensor(boxes)
    share = torch.linspace(0.1, 0.9, 17)[None, :, None]
    points = corners[:, None, :2] + (corners[:, 2:] - corners[:, :2])[:, None] * share
    keypoints = torch.cat((points, torch.ones(len(boxes), 17, 1)), dim=2)
    return one_stage.Labels(torch.zeros(len(boxes), dtype=torch.long), corners, keypoints)


class TestCells:
    def test_sizes_have_their_own_map_and_the_smaller_person_wins(self, training: Any) -> None:
        one_stage = training("one_stage")
        grid = [
            (x * s + (s - 1) / 2, y * s + (s - 1) / 2, s)
            for s in (16, 32)
            for y in range(8)
            for x in range(8)
        ]
        cells = torch.tensor(grid)
        people, found = one_stage.assign(
            labels(one_stage, (40, 40, 120, 100), (60, 50, 100, 90), (0, 0, 240, 250)),
            cells[:, :2],
            cells[:, 2],
        )
        assert len(set(found.tolist())) == len(found)  # no cell has two persons
        for person, cell in zip(people.tolist(), found.tolist(), strict=True):
            assert float(cells[cell, 2]) == (32 if person == 2 else 16)
        # Both small persons have their middle at (80, 70), so the smaller one has all of its cells.
        assert set(people.tolist()) == {1, 2}
        assert (people == 1).sum() == 9


class TestLoss:
    def test_falls_to_the_labels(self, training: Any, network: Rtmo) -> None:
        one_stage = training("one_stage")
        torch.manual_seed(0)
        one_stage.forget(network)
        network.train()
        picture = torch.rand(2, 3, 128, 128) * 255
        wanted = labels(one_stage, (10, 10, 60, 90), (64, 20, 120, 110))
        optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
        course = []
        for _ in range(60):
            loss = one_stage.one_stage_loss(network, network(picture), wanted)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            course.append(float(loss.detach()))
        assert np.mean(course[-5:]) < 0.4 * course[0]

    def test_an_empty_canvas_only_asks_for_low_scores(self, training: Any, network: Rtmo) -> None:
        one_stage = training("one_stage")
        one_stage.forget(network)
        network.eval()
        with torch.no_grad():
            nobody = one_stage.Labels(
                torch.zeros(0, dtype=torch.long), torch.zeros(0, 4), torch.zeros(0, 17, 3)
            )
            loss = one_stage.one_stage_loss(network, network(torch.zeros(1, 3, 64, 64)), nobody)
        assert 0 < float(loss) < 1  # 20 cells, each with a score near 0.01

    def test_tensors_tell_no_padding_of_boxes(self, training: Any, network: Rtmo) -> None:
        told = training("state").require_told_by_tensors
        told(network)
        network.head.dcc.box_padding = 1.5
        with pytest.raises(SystemExit, match=r"head.dcc.box_padding is 1.5, .* read with 1.25"):
            told(network)

    def test_forgetting_keeps_constants(self, training: Any, network: Rtmo) -> None:
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        training("one_stage").forget(network)
        kept = training("state").constants(network)
        assert {"head.dcc.x_bins", "head.dcc.spe.dim_t", "neck.sincos_pos_enc.dim_t"} <= kept
        for name, tensor in network.state_dict().items():
            if name in kept:
                assert torch.equal(tensor, before[name])
            assert torch.isfinite(tensor.float()).all(), name


class TestScenes:
    def test_boxes_hold_their_pixels(self, training: Any) -> None:
        mosaic = training("mosaic")
        picture = np.zeros((160, 120, 3), dtype=np.uint8)
        picture[40:100, 30:80] = 255
        box = np.array([30, 40, 50, 60], dtype=np.float32)
        person = training("sources").Person(0, np.ones((17, 3), dtype=np.float32), box)
        seen = {True: 0, False: 0}
        for seed in range(30):
            canvas, placements = mosaic.compose(np.random.default_rng(seed), [picture], 320)
            for where in placements:
                left, top, right, bottom = where.cell
                placed = mosaic.place(person, where)
                # The whole box, and black around it.
                if placed is None or (np.abs(placed[0] - where.cell) < 3).any():
                    continue
                cell = canvas[top:bottom, left:right, 0].astype(float)
                cell[cell == mosaic.PAD] = 0.0
                middle = [
                    cell.sum(axis=axis) @ np.arange(cell.shape[1 - axis]) / cell.sum() for axis in (0, 1)
                ]
                x0, y0, x1, y1 = placed[0]
                assert (x0 + x1) / 2 == pytest.approx(left + middle[0] + 0.5, abs=0.2)
                assert (y0 + y1) / 2 == pytest.approx(top + middle[1] + 0.5, abs=0.2)
                seen[where.scale_xy[0] < 0] += 1
        assert min(seen.values()) > 5

    def person(self, training: Any) -> Any:
        random = np.random.default_rng(3)
        points = np.column_stack([random.uniform(30, 90, 17), random.uniform(20, 140, 17), np.ones(17)])
        box = np.array([25, 15, 70, 130], dtype=np.float32)
        return training("sources").Person(0, points.astype(np.float32), box)

    def test_labels_land_on_the_pixels_they_mark(self, training: Any) -> None:
        mosaic, crop = training("mosaic"), training("crop")
        person = self.person(training)
        seen = 0
        for seed in range(30):
            index = seed % 17
            picture = np.zeros((160, 120, 3), dtype=np.uint8)
            x, y = np.rint(person.keypoints[index, :2]).astype(int)
            picture[y - 6 : y + 7, x - 6 : x + 7] = 255
            random = np.random.default_rng(seed)
            canvas, placements = mosaic.compose(random, [picture], 320)
            for where in placements:
                placed = mosaic.place(person, where)
                if placed is None:
                    continue
                box, points = placed
                left, top, right, bottom = where.cell
                assert left <= box[0] < box[2] <= right and top <= box[1] < box[3] <= bottom
                mirrored = where.scale_xy[0] < 0
                point = points[crop.FLIP_ORDER.index(index) if mirrored else index]
                size = abs(where.scale_xy[0])
                margin = 7 * size + 1
                if (
                    not point[2]
                    or min(point[0] - left, right - point[0], point[1] - top, bottom - point[1]) < margin
                ):
                    continue
                rows, columns = np.nonzero(canvas[top:bottom, left:right, 0] > 180)
                assert point[0] == pytest.approx(columns.mean() + left, abs=size + 0.7)
                assert point[1] == pytest.approx(rows.mean() + top, abs=size + 0.7)
                seen += 1
        assert seen > 20, seen

    def test_a_batch_has_pixels_and_labels(self, training: Any) -> None:
        sources, scenes = training("sources"), training("train_one_stage")
        picture = np.full((160, 120, 3), (10, 100, 200), dtype=np.uint8)
        source = sources.Source([picture], [self.person(training)])
        spent = torch.zeros(())
        batches = iter(scenes.Scenes(source, source, size=4, share=0.5, seed=1, spent=spent))
        pixels, made = next(batches)
        assert pixels.shape[0] == 4 and pixels.shape[1] in scenes.SIDES_PX and pixels.dtype == torch.uint8
        assert made.boxes.shape == (len(made.picture), 4) and made.keypoints.shape[1:] == (17, 3)
        assert set(made.picture.tolist()) <= set(range(4))
        spent.fill_(0.95)
        assert next(batches)[0].shape[1] == scenes.LAST_SIDE_PX
