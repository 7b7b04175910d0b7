"""The text of ncnn's .param files: one line a layer, with what it reads, makes and is set to."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgepose.errors import CalibrationError

MAGIC = "7767517"


class NcnnModelError(CalibrationError):
    """An ncnn file is damaged, or holds something that this reader does not know."""


@dataclass(slots=True)
class ParamLayer:
    """One line of the .param. params keeps ncnn's keys and the texts of their values, in order."""

    type: str
    name: str
    bottoms: list[str] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)
    params: dict[int, str] = field(default_factory=dict)

    def integer(self, key: int, default: int = 0) -> int:
        """Return a whole-number parameter. Errors: NcnnModelError where it is none."""
        text = self.params.get(key)
        if text is None:
            return default
        try:
            return int(text)
        except ValueError:
            raise NcnnModelError(
                f"layer {self.name}: parameter {key} is {text!r}, not a whole number"
            ) from None

    def line(self) -> str:
        """Return the layer's line of the .param."""
        words = [*self.bottoms, *self.tops, *(f"{key}={text}" for key, text in self.params.items())]
        return " ".join([f"{self.type:<24} {self.name:<24} {len(self.bottoms)} {len(self.tops)}", *words])


def parse_line(line: str, where: str) -> ParamLayer:
    """Read a layer's line; `where` names it in errors. Errors: NcnnModelError."""
    words = line.split()
    try:
        kind, name, bottoms, tops = words[0], words[1], int(words[2]), int(words[3])
    except (IndexError, ValueError):
        raise NcnnModelError(f"{where}: {line[:60]!r} is not a layer") from None
    first_param = 4 + bottoms + tops
    if bottoms < 0 or tops < 0 or len(words) < first_param:
        raise NcnnModelError(f"{where}: layer {name} names fewer blobs than it declares")
    params: dict[int, str] = {}
    for word in words[first_param:]:
        key, equals, text = word.partition("=")
        if not equals or not text or not key.removeprefix("-").isdecimal() or int(key) in params:
            raise NcnnModelError(f"{where}: {word!r} is not a parameter of layer {name}")
        params[int(key)] = text
    return ParamLayer(kind, name, words[4 : 4 + bottoms], words[4 + bottoms : first_param], params)
