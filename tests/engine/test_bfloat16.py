"""OpenVINO computing in bfloat16: only where a bundle asks for it, and only where the processor can."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgepose import _core

UNSUPPORTED = 4


def test_bfloat16_is_near_and_not_the_same(network: Any) -> None:
    if network.backend != "openvino":
        with pytest.raises(_core.CoreError, match="does not compute in bfloat16") as caught:
            network.open(precision="bf16", device="CPU")
        assert caught.value.code == UNSUPPORTED
        return
    ov = pytest.importorskip("openvino", reason="openvino is not installed")
    if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(_core.CoreError, match="this processor does not compute in bfloat16") as caught:
            network.open(precision="bf16", device="CPU")
        assert caught.value.code == UNSUPPORTED
        return
    x = np.random.default_rng(0).standard_normal((3, 3, 8, 8), dtype=np.float32)
    exact, *_ = network.open(precision="fp32", device="CPU").run([x])
    for threads in (1, 2):
        found, *_ = network.open(precision="bf16", device="CPU", threads=threads).run([x])
        # 8 bits of mantissa: the sums of 27 products are off by more than those of float32, and not by much.
        assert 1e-4 < np.abs(found - exact).max() < 0.05 * np.abs(exact).max()
