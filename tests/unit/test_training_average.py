"""training.average: checkpoints of one network in, their mean out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

DEMO = Path(__file__).resolve().parents[2] / "demo"


class TestAverage:
    def run(self, training: Any, monkeypatch: pytest.MonkeyPatch, *argv: Path | str) -> None:
        monkeypatch.setattr("sys.argv", ["average", *map(str, argv)])
        training("average").main()

    def test_the_mean_of_checkpoints_is_a_checkpoint(
        self, training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start = DEMO / "rtmpose-t-demo.pth"
        stored = torch.load(start, weights_only=True)["state_dict"]
        name = "backbone.stem.0.conv.weight"
        moved = {**stored, name: stored[name] + 0.5}
        torch.save({"state_dict": moved}, tmp_path / "moved.pth")
        self.run(training, monkeypatch, start, tmp_path / "moved.pth", "-o", tmp_path / "mean.pth")
        mean = torch.load(tmp_path / "mean.pth", weights_only=True)["state_dict"]
        assert mean.keys() == stored.keys()
        torch.testing.assert_close(mean[name], stored[name] + 0.25, atol=1e-3, rtol=0)
        floats = {key: value for key, value in stored.items() if value.is_floating_point() and key != name}
        assert floats and all(torch.equal(mean[key], value) for key, value in floats.items())
        assert mean[name].dtype == torch.float16

    def test_another_network_is_refused(
        self, training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = [DEMO / f"{name}-demo.pth" for name in ("rtmpose-t", "rtmdet-nano")]
        with pytest.raises(SystemExit, match="another network"):
            self.run(training, monkeypatch, *files, "-o", tmp_path / "mean.pth")
        assert not list(tmp_path.iterdir())
