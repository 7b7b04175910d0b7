"""Which vector instructions an aarch64 program holds: a build without them is slow and says nothing."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from edgepose.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Arm Architecture Reference Manual, C4.1.96: (mask, value) of the vector and the by-element form.
_PATTERNS = {
    "fp16": ((0xBFE0FC00, 0x0E400C00), (0xBFC0F400, 0x0F001000)),  # FMLA on half-precision lanes
    "dotprod": ((0xBFE0FC00, 0x0E809400), (0xBFC0F400, 0x0F80E000)),  # SDOT
}
_ELF64_LITTLE = b"\x7fELF\x02\x01"
_EM_AARCH64 = 183
_PT_LOAD, _PF_X = 1, 1


def count_kernels(program: Path) -> dict[str, int]:
    """Count the half-precision multiply-adds and the dot products in a program's code.

    Errors: EngineError where it is no aarch64 program.
    """
    import numpy as np

    data = program.read_bytes()
    counts = dict.fromkeys(_PATTERNS, 0)
    for words in _code(data, program):
        for name, patterns in _PATTERNS.items():
            for mask, value in patterns:
                counts[name] += int(np.count_nonzero((words & np.uint32(mask)) == np.uint32(value)))
    return counts


def require_kernels(program: Path) -> dict[str, int]:
    """Return the counts; EngineError where one of the kinds is absent."""
    counts = count_kernels(program)
    missing = [name for name, count in counts.items() if count == 0]
    if missing:
        raise EngineError(
            f"{program}: has no {' and no '.join(missing)} kernels",
            hint="the compiler refused their flags; use Debian's g++-aarch64-linux-gnu",
        )
    return counts


def _code(data: bytes, program: Path) -> list[NDArray[np.uint32]]:
    import numpy as np

    try:
        machine, offset = struct.unpack_from("<H", data, 18)[0], struct.unpack_from("<Q", data, 32)[0]
        size, count = struct.unpack_from("<HH", data, 54)
        if data[:6] != _ELF64_LITTLE or machine != _EM_AARCH64:
            raise ValueError
        segments = [struct.unpack_from("<IIQQQQ", data, offset + size * i) for i in range(count)]
    except (struct.error, ValueError):
        raise EngineError(f"{program}: no aarch64 program") from None
    return [
        np.frombuffer(data, "<u4", bytes_in_file // 4, at)
        for kind, flags, at, _, _, bytes_in_file in segments
        if kind == _PT_LOAD and flags & _PF_X
    ]
