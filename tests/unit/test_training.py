"""The pure parts of the training scripts: labels, geometry, losses, schedule, files."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_files import save, small_state

from edgepose.models import load_model
from edgepose.nets.rtmdet import Rtmdet
from edgepose.synth.dataset import DatasetRequest, write_dataset


def person() -> np.ndarray:
    """Return 17 known keypoints in a picture of 200x300."""
    random = np.random.default_rng(0)
    points = np.column_stack([random.uniform(60, 140, 17), random.uniform(40, 260, 17), np.ones(17)])
    return points.astype(np.float32)


class TestSchedule:
    def test_rises_then_falls_to_zero(self, training: Any) -> None:
        rate = training("schedule").learning_rate
        assert rate(0.0, peak=1.0) == 0.0
        assert rate(0.02, peak=1.0) == pytest.approx(1.0)
        assert rate(0.51, peak=1.0) == pytest.approx(0.5)
        assert rate(1.0, peak=1.0) == rate(1.7, peak=1.0) == pytest.approx(0.0)

    def test_budget_counts_the_time_before_an_interruption(self, training: Any) -> None:
        budget = training("schedule").Budget(100.0, 40.0)
        assert 0.40 <= budget.share < 0.41
        assert training("schedule").Budget(100.0, 140.0).share == 1.0


class TestCrop:
    def test_the_view_of_a_box_is_the_runtime_s(self, training: Any) -> None:
        crop = training("crop")
        matrix = crop.matrix_of(crop.view_of_box(np.array([50, 20, 30, 120], dtype=np.float32)))
        # The box is 120 high, 150 with its padding, and that fills the 256 rows.
        assert matrix @ [65, 80, 1] == pytest.approx([96, 128])
        assert matrix @ [65, 5, 1] == pytest.approx([96, 0])

    def test_keypoints_stay_on_the_pixels_they_mark(self, training: Any) -> None:
        crop = training("crop")
        points = person()
        box = np.array([50, 30, 100, 240], dtype=np.float32)
        for seed in range(12):
            random = np.random.default_rng(seed)
            view = crop.random_view(random, box, points)
            moved = crop.move_keypoints(points, view)
            for index in (0, 5, 16):
                picture = np.zeros((300, 200, 3), dtype=np.uint8)
                x, y = np.rint(points[index, :2]).astype(int)
                picture[y - 3 : y + 4, x - 3 : x + 4] = 255
                rows, columns = np.nonzero(crop.cut(picture, view)[:, :, 0] > 127)
                new = crop.FLIP_ORDER.index(index) if view.mirrored else index
                scale = 256 / view.height_px
                if (
                    moved[new, 2]
                    and min(*moved[new, :2], 191 - moved[new, 0], 255 - moved[new, 1]) > 6 * scale
                ):
                    assert moved[new, 0] == pytest.approx(columns.mean(), abs=scale + 0.6)
                    assert moved[new, 1] == pytest.approx(rows.mean(), abs=scale + 0.6)

    def test_mirroring_changes_sides(self, training: Any) -> None:
        crop = training("crop")
        plain = crop.View((100.0, 150.0), 300.0)
        mirrored = crop.View((100.0, 150.0), 300.0, mirrored=True)
        a, b = crop.move_keypoints(person(), plain), crop.move_keypoints(person(), mirrored)
        assert b[5, 0] == pytest.approx(192 - a[6, 0], abs=1e-3)
        assert b[5, 1] == pytest.approx(a[6, 1], abs=1e-3)

    def test_points_outside_have_no_weight(self, training: Any) -> None:
        crop = training("crop")
        moved = crop.move_keypoints(person(), crop.View((1000.0, 1000.0), 100.0))
        assert not moved[:, 2].any()

    def test_a_coarse_picture_keeps_shape_and_place(self, training: Any) -> None:
        crop = training("crop")
        picture = np.zeros((256, 192, 3), np.uint8)
        picture[100:156, 60:132] = 200
        coarse = crop.coarsen(np.random.default_rng(0), picture)
        assert coarse.shape == picture.shape and coarse.dtype == np.uint8
        rows, columns = np.nonzero(coarse[..., 0] > 100)
        assert abs(rows.mean() - 127.5) < 1.5 and abs(columns.mean() - 95.5) < 1.5
        assert not np.array_equal(coarse, picture)

    def test_recolouring_keeps_the_shape(self, training: Any) -> None:
        crop = training("crop")
        picture = np.full((256, 192, 3), 90, dtype=np.uint8)
        looks = [crop.recolour(np.random.default_rng(seed), picture) for seed in range(8)]
        assert all(look.shape == picture.shape and look.dtype == np.uint8 for look in looks)
        assert len({look.tobytes() for look in looks}) > 3

    def test_beyond_the_picture_it_stays_black_in_any_light(self, training: Any) -> None:
        picture = np.zeros((256, 192, 3), dtype=np.uint8)
        picture[:, 60:] = 120
        for seed in range(60):
            look = training("crop").recolour(np.random.default_rng(seed), picture)
            assert not look[:, :59].any() and look[:, 62:].any()


class TestPartlySeen:
    def test_the_box_is_of_a_part_and_hidden_keypoints_have_less_weight(self, training: Any) -> None:
        partial = training("partial")
        picture, other = np.full((300, 200, 3), 9, np.uint8), np.full((120, 70, 3), 77, np.uint8)
        points, box = person(), np.array([50, 30, 100, 240], np.float32)
        ended = hidden = went_on = guessed = 0
        for seed in range(200):
            random = np.random.default_rng(seed)
            shown, part, kept = partial.partly_seen(random, picture, box, points, other)
            assert shown.shape == picture.shape and (picture == 9).all() and (other == 77).all()
            np.testing.assert_array_equal(kept[:, :2], points[:, :2])
            if part is box:  # too few points would have stayed
                assert shown is picture and kept is points
                continue
            assert (part[:2] >= box[:2] - 1e-3).all()
            assert (part[:2] + part[2:] <= box[:2] + box[2:] + 1e-3).all()
            assert np.prod(part[2:]) < np.prod(box[2:])
            if shown is picture:
                went_on += 1
                assert kept is points
                continue
            stays = kept[:, 2] == points[:, 2]
            assert np.count_nonzero(stays) >= 2
            ended, hidden = ended + bool((shown == 0).any()), hidden + bool((shown == 77).any())
            columns, rows = points[stays, :2].astype(int).T
            assert (shown[rows, columns, 0] == 9).all()
            columns, rows = points[~stays, :2].astype(int).T
            # An edge lies between two pixels: at most the points on it are still to be seen.
            assert np.count_nonzero(shown[rows, columns, 0] == 9) <= 1
            # Behind a thing, and close to what is seen, a keypoint counts half; beyond the end not at all.
            near = (points[:, :2] >= part[:2] - 0.35 * part[2:].max()).all(axis=1)
            near &= (points[:, :2] <= part[:2] + part[2:] + 0.35 * part[2:].max()).all(axis=1)
            expected = 0.5 * points[:, 2] if (shown == 77).any() else 0 * points[:, 2]
            np.testing.assert_array_equal(kept[~stays, 2], np.where(near, expected, 0)[~stays])
            guessed += np.count_nonzero(kept[~stays, 2])
        assert min(ended, hidden, went_on) >= 20 and guessed >= 20

    def test_the_same_seed_gives_the_same_part(self, training: Any) -> None:
        partial = training("partial")
        picture, other = np.full((300, 200, 3), 9, np.uint8), np.full((400, 350, 3), 77, np.uint8)
        box = np.array([50, 30, 100, 240], np.float32)
        for seed in range(10):
            a, b = (
                partial.partly_seen(np.random.default_rng(seed), picture, box, person(), other) for _ in "ab"
            )
            assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))

    def test_nothing_changes_where_a_person_has_one_known_keypoint(self, training: Any) -> None:
        partial = training("partial")
        picture, points = np.zeros((300, 200, 3), np.uint8), person()
        points[1:, 2] = 0.0
        box = np.array([50, 30, 100, 240], np.float32)
        for seed in range(20):
            random = np.random.default_rng(seed)
            assert partial.partly_seen(random, picture, box, points, picture)[0] is picture


class TestUpright:
    @pytest.mark.parametrize("lean", [-170.0, -90.0, -40.0, 35.0, 120.0])
    def test_a_leaning_person_stands_and_keypoints_stay_on_their_pixels(
        self, training: Any, lean: float
    ) -> None:
        upright = training("upright")
        points = person()
        points[[5, 6, 11, 12], :2] = [[115, 100], [85, 100], [110, 200], [90, 200]]
        angle = np.deg2rad(lean)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points[:, :2] = (points[:, :2] - [100, 150]) @ turn.T + [150, 150]
        assert upright.lean_degrees(points) == pytest.approx(lean, abs=0.1)
        picture = np.zeros((300, 300, 3), np.uint8)
        x, y = np.rint(points[0, :2]).astype(int)
        picture[y - 3 : y + 4, x - 3 : x + 4] = 255
        low, high = points[:, :2].min(0) - 10, points[:, :2].max(0) + 10
        box = np.array([*low, *(high - low)], np.float32)
        shown, new_box, moved = upright.stand_up(np.random.default_rng(1), picture, box, points)
        assert abs(upright.lean_degrees(moved)) < 45
        np.testing.assert_array_equal(moved[:, 2], points[:, 2])
        np.testing.assert_allclose(new_box[:2], moved[:, :2].min(0) - 10, atol=0.01)
        np.testing.assert_allclose(new_box[:2] + new_box[2:], moved[:, :2].max(0) + 10, atol=0.01)
        a, b = np.floor(new_box[:2]).astype(int), np.ceil(new_box[:2] + new_box[2:]).astype(int)
        rows, columns = np.nonzero(shown[a[1] : b[1], a[0] : b[0], 0] > 127)
        assert [columns.mean() + a[0], rows.mean() + a[1]] == pytest.approx(moved[0, :2], abs=1.2)

    def test_who_stands_or_shows_no_torso_stays_as_is(self, training: Any) -> None:
        upright = training("upright")
        points, picture = person(), np.zeros((300, 200, 3), np.uint8)
        points[[5, 6, 11, 12], :2] = [[120, 100], [90, 100], [110, 200], [90, 200]]
        box = np.array([50, 30, 100, 240], np.float32)
        unknown = points.copy()
        unknown[[5, 6], 2] = 0.0
        for keypoints in (points, unknown):
            shown, same, kept = upright.stand_up(np.random.default_rng(0), picture, box, keypoints)
            assert shown is picture and same is box and kept is keypoints


class TestNeighbours:
    def test_a_slanted_line_parts_the_pictures(self, training: Any) -> None:
        neighbours = training("neighbours")
        crop, other = np.full((256, 192, 3), 9, np.uint8), np.full((400, 400, 3), 77, np.uint8)
        points = person()
        sides = set()
        for seed in range(60):
            box = np.array([150, 120, 90, 160], np.float32)
            shown, kept = neighbours.beside(np.random.default_rng(seed), crop, points, other, box)
            assert shown.shape == crop.shape and shown.dtype == np.uint8 and (crop == 9).all()
            np.testing.assert_array_equal(kept[:, :2], points[:, :2])
            seen = shown[..., 0] == 9
            assert seen.any() and not seen.all()
            sides.add(bool(seen[:, 0].any()))
            for x, y, weight in kept:
                if 0 <= x < 191 and 0 <= y < 255:
                    around = seen[int(y) : int(y) + 2, int(x) : int(x) + 2]
                    # On the line itself either is right.
                    assert weight == (1.0 if around.all() else 0.5) or around.any() != around.all()
        assert sides == {True, False}


class TestLabels:
    def test_a_peak_where_the_joint_is(self, training: Any) -> None:
        simcc = training("simcc")
        labels = simcc.axis_labels(torch.tensor([[40.0, 100.25]]), 384, 4.9)
        assert labels.sum(-1) == pytest.approx(1.0, abs=1e-5)
        assert labels.argmax(-1).tolist() == [[80, 200]]

    def test_the_loss_is_zero_for_the_labels_and_ignores_weight_zero(self, training: Any) -> None:
        simcc = training("simcc")
        points = torch.tensor([[[40.0, 70.0, 1.0], [10.0, 20.0, 0.0]]])
        right = tuple(
            torch.log(simcc.axis_labels(points[..., axis], bins, simcc.SIGMAS[axis])) / simcc.SHARPNESS
            for axis, bins in enumerate((384, 512))
        )
        assert float(simcc.simcc_loss(right, points)) == pytest.approx(0.0, abs=1e-4)
        right[0][:, 1] = 0.0
        assert float(simcc.simcc_loss(right, points)) == pytest.approx(0.0, abs=1e-4)
        right[0][:, 0] = 0.0
        assert float(simcc.simcc_loss(right, points)) > 0.5

    def test_merged_labels(self, training: Any) -> None:
        human = np.array([[10, 10, 1], [0, 0, 0], [0, 0, 0]], dtype=np.float32)
        teacher = np.array([[12, 10, 0.4], [30, 30, 0.8], [50, 50, 0.1]], dtype=np.float32)
        merged = training("sources").merge_labels(human, teacher)
        assert merged.tolist() == [
            [11.0, 10.0, 1.0],
            [30.0, 30.0, pytest.approx(0.4)],
            [0.0, 0.0, 0.0],
        ]

    def test_labels_alone_are_not_drawn_to_the_corner(self, training: Any) -> None:
        human = np.array([[100, 200, 2], [0, 0, 0]])  # COCO's are whole numbers
        teacher = np.array([[0, 0, 0], [30, 30, 0.8]], dtype=np.float32)
        merged = training("sources").merge_labels(human, teacher)
        assert merged.tolist() == [[100.0, 200.0, 1.0], [30.0, 30.0, pytest.approx(0.4)]]

    def test_synthetic_people_are_in_their_pictures(self, training: Any, tmp_path: Path) -> None:
        request = DatasetRequest(2, 0.0, 3, (120, 160), (1, 3))
        write_dataset(tmp_path / "people", request)
        source = training("sources").read_synthetic([tmp_path / "people"], min_side_px=8)
        assert len(source.pictures) == 2 and source.persons
        for someone in source.persons:
            height, width = source.pictures[someone.picture].shape[:2]
            assert set(someone.keypoints[:, 2].tolist()) <= {0.0, 0.5, 1.0}
            seen = someone.keypoints[someone.keypoints[:, 2] == 1.0]
            assert (seen[:, :2] >= 0).all() and (seen[:, :2] <= [width, height]).all()
        assert not training("sources").read_synthetic([tmp_path / "people"], min_side_px=500).persons

    def test_a_batch_is_normalised_and_labelled(self, training: Any) -> None:
        sources, train_pose = training("sources"), training("train_pose")
        picture = np.full((300, 200, 3), (10, 100, 200), dtype=np.uint8)
        box = np.array([50, 30, 100, 240], dtype=np.float32)
        source = sources.Source([picture], [sources.Person(0, person(), box)])
        batches = train_pose.Batches(
            source, sources.Source([], []), size=16, share=0.0, seed=1, spent=torch.zeros(())
        )
        pixels, keypoints = batches.draw()
        inputs = training("loop").normalise(pixels, train_pose.MEAN, train_pose.STD)
        assert inputs.shape == (16, 3, 256, 192) and keypoints.shape == (16, 17, 3)
        assert inputs.is_contiguous(memory_format=torch.channels_last)
        red, green, blue = (inputs * train_pose.STD[:, None, None] + train_pose.MEAN[:, None, None]).mean(
            (0, 2, 3)
        )
        assert red > green > blue
        assert batches.epochs == 16


class _Line(torch.utils.data.IterableDataset[torch.Tensor]):
    """Points x, 3x - 1 without end."""

    def __iter__(self) -> Iterator[torch.Tensor]:
        while True:
            x = torch.rand(16, 1)
            yield torch.cat([x, 3 * x - 1], dim=1)


class TestLoop:
    def options(self, training: Any, output: Path, *more: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        training("loop").add_options(parser, batch=16, rate=0.1)
        return parser.parse_args(
            ["--data", ".", "--synthetic", ".", "-o", str(output), "--minutes", "0.05", *more]
        )

    @pytest.mark.parametrize("workers", ["0", "1"])
    def test_a_line_is_learnt_and_a_second_start_goes_on(
        self, training: Any, tmp_path: Path, workers: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loop, output = training("loop"), tmp_path / "line.pth"
        monkeypatch.setattr(loop, "require_told_by_tensors", lambda network: None)  # it is of no family
        # A clock of its own: how many steps there are does not depend on the machine.
        clock = itertools.count(0.0, 0.0004)
        monkeypatch.setattr(
            training("schedule"), "time", SimpleNamespace(monotonic=lambda: float(next(clock)))
        )
        steps = []
        # The second has twice the time, of which the first has spent its part.
        for minutes in ("0.03", "0.06"):
            options = self.options(training, output, "--workers", workers, "--minutes", minutes)
            course = loop.Training(torch.nn.Conv2d(1, 1, 1), options, clip=5.0)
            batches = course.batches(_Line())

            def loss_of_next(course: Any = course, batches: Any = batches) -> torch.Tensor:
                points = next(batches)
                found = course.network(points[:, :1, None, None])[:, 0, 0]
                return ((found - points[:, 1:]) ** 2).mean()

            started = course.step
            course.run(loss_of_next)
            assert course.step > started == (steps[-1] if steps else 0)
            steps.append(course.step)
            assert float(course.share) > 0.9
        with pytest.raises(SystemExit, match=r"the 0\.06 minutes are spent"):
            loop.Training(torch.nn.Conv2d(1, 1, 1), options, clip=5.0).run(loss_of_next)
        stored = torch.load(output, weights_only=True)
        assert stored["meta"]["steps"] == steps[1]
        assert float(stored["state_dict"]["weight"]) == pytest.approx(3, abs=0.2)
        assert float(stored["state_dict"]["bias"]) == pytest.approx(-1, abs=0.1)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["line.pth", "line.state"]

    @pytest.mark.parametrize("eps", [1e-5, 1e-3])
    def test_what_the_written_file_would_lose_is_refused(
        self, training: Any, tmp_path: Path, eps: float
    ) -> None:
        """The file holds tensors alone, which show no eps."""
        configuration = f"model = dict(backbone=dict(type='CSPNeXt', norm_cfg=dict(type='BN', eps={eps})))\n"
        start = save(tmp_path / "start.pth", {"meta": {"cfg": configuration}, "state_dict": small_state(17)})
        network = training("train_pose").prepare(start, [])
        options = self.options(training, tmp_path / "out.pth")
        if eps == 1e-3:
            with pytest.raises(SystemExit, match=r"dims.backbone.eps is 0.001, .* would be read with 1e-05"):
                training("loop").Training(network, options, clip=5.0)
            return
        training("loop").Training(network, options, clip=5.0)._keep()
        pixels = torch.rand(1, 3, 64, 64)
        found, wanted = (load_model(path).network(pixels)[0] for path in (tmp_path / "out.pth", start))
        assert float((found - wanted).abs().max()) < 0.01 * float(wanted.abs().max())

    def test_frozen_parts_give_the_same_without_a_step_of_their_own(
        self, training: Any, tmp_path: Path
    ) -> None:
        start = save(tmp_path / "start.pth", {"state_dict": small_state(17)})
        whole = load_model(start).network
        network = training("train_pose").prepare(start, ["backbone.stem", "backbone.stage1"])
        inputs = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        wanted = whole.backbone.stage1(whole.backbone.stem(inputs))
        for _ in range(2):
            found = network.backbone.stage1(network.backbone.stem(inputs))
            assert not found.requires_grad
            torch.testing.assert_close(found, wanted.detach(), rtol=1e-4, atol=1e-5)
        assert network.backbone.stage2(found).requires_grad
        assert network.state_dict().keys() == whole.state_dict().keys()
        for key, value in whole.backbone.stage1.state_dict().items():
            assert torch.equal(network.backbone.stage1.state_dict()[key], value), key

    def test_processes_draw_other_batches(self, training: Any) -> None:
        sources, train_pose = training("sources"), training("train_pose")
        picture = np.random.default_rng(0).integers(0, 256, (300, 200, 3)).astype(np.uint8)
        box = np.array([50, 30, 100, 240], dtype=np.float32)
        source = sources.Source([picture], [sources.Person(0, person(), box)])
        batches = train_pose.Batches(
            source, sources.Source([], []), size=2, share=0.0, seed=1, spent=torch.zeros(())
        )
        loader = torch.utils.data.DataLoader(
            batches, batch_size=None, num_workers=2, multiprocessing_context="fork"
        )
        drawn = iter(loader)
        first, second = (next(drawn)[1] for _ in range(2))
        assert not torch.equal(first, second)


class TestState:
    def test_tensors_tell_no_exp_on_reg(self, training: Any) -> None:
        demo = load_model(Path(__file__).resolve().parents[2] / "demo" / "rtmdet-nano-demo.pth").network
        told = training("state").require_told_by_tensors
        told(training("train_detector").untrained(demo.dims))
        with pytest.raises(SystemExit, match="exp_on_distances is True"):
            told(Rtmdet(dataclasses.replace(demo.dims, exp_on_distances=True)))

    def test_half_precision_files_are_ordinary_checkpoints(self, training: Any, tmp_path: Path) -> None:
        state = training("state")
        network = torch.nn.BatchNorm1d(3)
        state.export_half(tmp_path / "x.pth", network.state_dict(), {"steps": 1}, exact=set())
        stored = torch.load(tmp_path / "x.pth", weights_only=True)
        assert stored["state_dict"]["weight"].dtype == torch.float16
        assert stored["state_dict"]["num_batches_tracked"].dtype == torch.int64
        assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]
        network.running_var.fill_(1e6)
        with pytest.raises(ValueError, match="running_var does not fit"):
            state.export_half(tmp_path / "y.pth", network.state_dict(), {}, exact=set())

    def test_the_average_follows_the_network(self, training: Any) -> None:
        network = torch.nn.Linear(2, 2)
        average = training("state").MovingAverage(network, 0.5)
        torch.nn.init.constant_(network.weight, 3.0)
        for _ in range(30):
            average.update(network)
        assert average.tensors["weight"].flatten().tolist() == pytest.approx([3.0] * 4, abs=1e-4)
