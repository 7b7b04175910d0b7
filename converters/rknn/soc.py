"""The Rockchip chips that rknn-toolkit2 compiles for, and what each can compute."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from edgepose.errors import UsageError


@dataclass(frozen=True, slots=True)
class Soc:
    """One chip, and whether its NPU computes in half precision."""

    name: str
    fp16: bool


# The toolkit's accepted names; it refuses float networks on those without fp16.
SOCS = {
    soc.name: soc
    for soc in (
        Soc("rk3588", True),
        Soc("rk3576", True),
        Soc("rk3568", True),
        Soc("rk3566", True),
        Soc("rk3562", True),
        Soc("rv1126b", True),
        Soc("rv1103", False),
        Soc("rv1103b", False),
        Soc("rv1106", False),
        Soc("rv1106b", False),
    )
}

# Other names of the same silicon.
_ALIASES = {"rk3588s": "rk3588", "rk3588j": "rk3588", "rk3576j": "rk3576", "rk3568j": "rk3568"}

# Without an NPU, or with one of the generation before, which has a toolkit of its own (rknn-toolkit).
_NOT_COMPILED_FOR = ("rk1806", "rk1808", "rk3328", "rk3399", "rk3399pro", "rk3528", "rv1109", "rv1126")


def resolve_soc(name: str | None) -> Soc:
    """Return the chip of a name, in any case. Errors: UsageError with close matches."""
    if name is None:
        raise UsageError("the target rknn needs a chip", hint=f"give --soc, one of: {', '.join(SOCS)}")
    key = name.strip().lower()
    key = _ALIASES.get(key, key)
    if key in SOCS:
        return SOCS[key]
    if key in _NOT_COMPILED_FOR:
        raise UsageError(f"rknn-toolkit2 does not compile for {key}", hint="for its CPU: --to ncnn")
    close = difflib.get_close_matches(key, SOCS, n=3, cutoff=0.6)
    raise UsageError(
        f"unknown Rockchip SoC {name!r}",
        hint=f"did you mean {' or '.join(close)}?" if close else f"choose from: {', '.join(SOCS)}",
    )


def check_precision(soc: Soc, precision: str) -> None:
    """Check that a chip computes at a precision. Errors: UsageError with the reason."""
    if precision == "fp32":
        raise UsageError(
            "Rockchip NPUs do not compute at fp32", hint=f"give --precision {'fp16' if soc.fp16 else 'int8'}"
        )
    if precision != "int8" and not soc.fp16:
        raise UsageError(
            f"{soc.name} cannot run a network at {precision}: its NPU computes with integers only",
            hint="give --precision int8, or choose a chip with a half-precision NPU, such as rk3588",
        )
