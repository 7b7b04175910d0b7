"""What the names and shapes of a checkpoint's tensors say about the network."""

from __future__ import annotations

from collections.abc import Mapping

from edgepose.errors import CheckpointError

_PER_CHANNEL = ("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")


class Shapes:
    """Answer questions about tensor shapes; the errors name the tensor that is missing or odd."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = dict(shapes)

    def __contains__(self, key: str) -> bool:
        return key in self._shapes

    def __len__(self) -> int:
        return len(self._shapes)

    def has(self, prefix: str) -> bool:
        """Tell whether a tensor name starts with `prefix`."""
        return any(key.startswith(prefix) for key in self._shapes)

    def count(self, prefix: str) -> int:
        """Count the modules `prefix`.0, `prefix`.1, ..."""
        start = len(prefix) + 1
        found = {key[start:].split(".", 1)[0] for key in self._shapes if key.startswith(prefix + ".")}
        return sum(index.isdecimal() for index in found)

    def of(self, key: str, axes: int) -> tuple[int, ...]:
        """Return the shape of a tensor that must have so many axes. Errors: CheckpointError."""
        shape = self._shapes.get(key)
        if shape is None:
            raise CheckpointError(f"the checkpoint lacks the tensor {key}")
        if len(shape) != axes or 0 in shape:
            raise CheckpointError(f"{key} has the shape {list(shape)}, which has not {axes} non-empty axes")
        return shape

    def agreed(self, *places: tuple[str, int]) -> int:
        """Return the length that most of the named (tensor, axis) places have.

        The tensors vote, so that one tensor of a wrong shape is later named itself. Errors: CheckpointError
        (none of them is there, or they disagree evenly).
        """
        votes: dict[int, list[str]] = {}
        for key, axis in places:
            shape = self._shapes.get(key, ())
            if len(shape) > axis and shape[axis] > 0:
                votes.setdefault(shape[axis], []).append(key)
        if not votes:
            raise CheckpointError(f"the checkpoint lacks a usable tensor {places[0][0]}")
        ranked = sorted(votes.items(), key=lambda vote: -len(vote[1]))
        if len(ranked) > 1 and len(ranked[0][1]) == len(ranked[1][1]):
            (first, a), (second, b) = ranked[:2]
            raise CheckpointError(f"{a[0]} and {b[0]} disagree: {first} and {second} channels")
        return ranked[0][0]

    def width(self, prefix: str) -> int:
        """Return the output channels of a convolution with normalisation, plain or separable."""
        if self.has(prefix + ".pointwise_conv."):
            prefix += ".pointwise_conv"
        return self.agreed((f"{prefix}.conv.weight", 0), *((f"{prefix}.{name}", 0) for name in _PER_CHANNEL))

    def kernel(self, *keys: str) -> int:
        """Return the side of the square, odd kernels of convolutions. Errors: CheckpointError."""
        side = self.agreed(*((key, axis) for key in keys for axis in (2, 3)))
        if side % 2 == 0:
            raise CheckpointError(f"{keys[0]} has an even kernel of {side} pixels")
        return side
