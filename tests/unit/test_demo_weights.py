"""The networks that the repository carries: small, in half precision, and ordinary checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="optional: the extra convert is not installed")

from edgepose.models import load_model  # noqa: E402

DEMO = Path(__file__).resolve().parents[2] / "demo"


def test_the_demo_networks_are_small_and_in_half_precision() -> None:
    files = sorted(DEMO.glob("*.pth"))
    assert [file.name for file in files] == ["rtmdet-nano-demo.pth", "rtmpose-t-demo.pth"]
    assert sum(file.stat().st_size for file in files) <= 10_000_000
    for file in files:
        tensors = torch.load(file, weights_only=True)["state_dict"].values()
        assert {tensor.dtype for tensor in tensors} == {torch.float16, torch.int64}
        load_model(file)  # official names and shapes, strictly
