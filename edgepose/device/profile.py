"""Device profiles: one YAML file a device, those of EdgePose and the user's own."""

from __future__ import annotations

import os
import re
import reprlib
import sys
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from edgepose.errors import ConfigurationError, EdgePoseError, UsageError

TransportName = Literal["local", "adb", "ssh"]

TRANSPORTS = ("local", "adb", "ssh")
ABIS = ("aarch64-linux", "armv7-linux", "x86_64-linux")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A figure that somebody has published for this device."""

    claim: str
    source: str


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """What is known about a device. big and little: numbers of its processors, empty where there is one kind.

    abi is None for "as this machine"; folder is the one in which EdgePose makes its own on the device.
    features are those that the processor must have, as Linux names them.
    socs is what Android calls the chip (ro.soc.model, ro.board.platform). verified: whether a result measured
    with EdgePose on this device is recorded.
    """

    name: str
    title: str
    transport: TransportName
    abi: str | None
    engines: tuple[str, ...]
    threads: tuple[int, ...]
    folder: str
    big: tuple[int, ...] = ()
    little: tuple[int, ...] = ()
    features: tuple[str, ...] = ()
    socs: tuple[str, ...] = ()
    max_temperature_c: float | None = None
    address: str | None = None
    port: int | None = None
    identity: str | None = None
    jump: str | None = None
    ssh_config: str | None = None
    verified: bool = False
    note: str | None = None
    references: tuple[Reference, ...] = field(default=())


def user_folder() -> Path:
    """Return the folder of the user's own profiles, which may not exist. Errors: ConfigurationError."""
    root = Path(os.environ.get("XDG_CONFIG_HOME") or "")
    try:
        root = root if root.is_absolute() else Path.home() / ".config"
    except RuntimeError as error:
        raise ConfigurationError(
            "~/.config: there is no such home folder",
            hint="let XDG_CONFIG_HOME name the folder that holds edgepose/devices, your profiles",
        ) from error
    return root / "edgepose" / "devices"


def named_file(text: str) -> Path:
    """Return the path of a file that a user names, who may write ~ for a home folder. Errors: UsageError."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"{text}: there is no such home folder", hint="give the whole path, beginning with /"
        ) from error


def is_name(name: str) -> bool:
    """Say whether a profile may have this name."""
    return _NAME.fullmatch(name) is not None


def profile_names() -> list[str]:
    """List the profiles, the user's own among them; a file whose name is none of a device is passed over."""
    own = [path.stem for path in user_folder().glob("*.yaml")] if user_folder().is_dir() else []
    return sorted({*_shipped(), *filter(is_name, own)})


def load_profiles() -> tuple[list[DeviceProfile], dict[str, EdgePoseError]]:
    """Read all profiles; of those that cannot be used, what is wrong with them, by name."""
    profiles: list[DeviceProfile] = []
    broken: dict[str, EdgePoseError] = {}
    for name in profile_names():
        try:
            profiles.append(load_profile(name))
        except EdgePoseError as error:
            broken[name] = error
    return profiles, broken


def load_profile(name: str) -> DeviceProfile:
    """Read a profile by name; the user's own come first. Errors: UsageError, ConfigurationError."""
    own = user_folder() / f"{name}.yaml"
    if _NAME.fullmatch(name) and os.path.lexists(own):
        try:
            text = own.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigurationError(
                f"{own}: not UTF-8 ({error.reason} at byte {error.start})", hint="save it as UTF-8"
            ) from error
        except OSError as error:
            raise ConfigurationError(
                f"{own}: {error.strerror}", hint="a profile is a file that you may read"
            ) from error
        return parse_profile(text, name=name, where=str(own))
    shipped = _shipped()
    if name not in shipped:
        import difflib

        close = difflib.get_close_matches(name, profile_names(), n=1)
        raise UsageError(
            f"there is no device {name!r}",
            hint=f"did you mean {close[0]}?"
            if close
            else "see edgepose devices list; devices add makes a profile",
        )
    text = shipped[name].read_text(encoding="utf-8")
    return parse_profile(text, name=name, where=f"{name}.yaml")


def parse_profile(text: str, *, name: str, where: str) -> DeviceProfile:
    """Check the text of a profile. Errors: ConfigurationError names the member that is wrong."""
    import yaml

    try:
        data = yaml.safe_load(text)
    except Exception as error:  # its constructors raise any type: ValueError at the date 2026-13-01
        reason = " ".join(str(error).split())[:200]
        raise ConfigurationError(
            f"{where}: no YAML ({reason})", hint="its members: docs/devices.md#profiles"
        ) from error
    if not isinstance(data, dict):
        raise ConfigurationError(f"{where}: a profile is a mapping of names to values")
    reader = _Reader(data, where)
    profile = DeviceProfile(
        name=name,
        title=reader.text("title"),
        transport=reader.choice("transport", TRANSPORTS),
        abi=reader.choice("abi", ABIS) if data.get("transport") != "local" else None,
        engines=reader.texts("engines"),
        threads=reader.numbers("threads", least=1, most=256),
        folder=reader.text("folder"),
        big=reader.numbers("big", least=0, most=255, needed=False),
        little=reader.numbers("little", least=0, most=255, needed=False),
        features=reader.texts("features", needed=False),
        socs=reader.texts("socs", needed=False),
        max_temperature_c=reader.number("max_temperature_c"),
        address=reader.text("address", needed=False),
        port=reader.port(),
        identity=reader.text("identity", needed=False),
        jump=reader.text("jump", needed=False),
        ssh_config=reader.text("ssh_config", needed=False),
        verified=reader.flag("verified"),
        note=reader.text("note", needed=False),
        references=reader.references(),
    )
    reader.finish()
    if ".." in Path(profile.folder).parts or profile.folder in ("/", "") or profile.folder[0] == "~":
        raise ConfigurationError(
            f"{where}: folder is {profile.folder!r}",
            hint="name one in which EdgePose may make a folder of its own; a relative one begins at home",
        )
    return profile


def with_address(profile: DeviceProfile, address: str | None) -> DeviceProfile:
    """Return the profile for one device: its serial, or its host and port (board:2222, [fe80::1]:2222)."""
    if address is None:
        return profile
    if profile.transport == "ssh":
        host, _, port = address.rpartition(":")
        # An IPv6 address has colons of its own: only behind brackets, which ssh does not take, comes a port.
        whole = ":" not in host or host.endswith("]")
        bare = str.maketrans("", "", "[]")
        if host and whole and port.isdecimal() and 0 < int(port) < 65536:
            return replace(profile, address=host.translate(bare), port=int(port))
        return replace(profile, address=address.translate(bare))
    return replace(profile, address=address)


@lru_cache(maxsize=1)
def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in (Path(__file__).parent / "profiles").glob("*.yaml")}


def _shown(value: Any) -> str:
    """Spell a value, cut short: aliases of YAML make a short text as large as one likes."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring = 2, 80
    return short.repr(value)[:200]


class _Reader:
    """Takes members out of a mapping and checks them."""

    def __init__(self, data: dict[Any, Any], where: str) -> None:
        self._data = dict(data)
        self._where = where

    def finish(self) -> None:
        """Refuse members that nobody asked for: a misspelt one would be ignored silently."""
        if self._data:
            raise self._wrong(str(next(iter(self._data))), "is unknown")

    def text(self, name: str, *, needed: bool = True) -> Any:
        value = self._take(name, needed)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise self._wrong(name, f"is {_shown(value)}, not a text")
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> Any:
        value = self._take(name, True)
        if value not in allowed:
            raise self._wrong(name, f"is {_shown(value)}, not one of {', '.join(allowed)}")
        return value

    def texts(self, name: str, *, needed: bool = True) -> tuple[str, ...]:
        value = self._take(name, needed)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self._wrong(name, f"is {_shown(value)}, not a list of texts")
        return tuple(value)

    def numbers(self, name: str, *, least: int, most: int, needed: bool = True) -> tuple[int, ...]:
        value = self._take(name, needed)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(
            type(item) is int and least <= item <= most for item in value
        ):
            raise self._wrong(name, f"is {_shown(value)}, not a list of whole numbers from {least} to {most}")
        if needed and not value:
            raise self._wrong(name, "is empty")
        return tuple(value)

    def number(self, name: str) -> float | None:
        value = self._take(name, False)
        if value is not None and (type(value) not in (int, float) or not abs(value) <= sys.float_info.max):
            raise self._wrong(name, f"is {_shown(value)}, not a number")
        return None if value is None else float(value)

    def port(self) -> int | None:
        value = self._take("port", False)
        if value is not None and (type(value) is not int or not 1 <= value <= 65535):
            raise self._wrong("port", f"is {_shown(value)}, not a number from 1 to 65535")
        return value

    def flag(self, name: str) -> bool:
        value = self._take(name, False)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, f"is {_shown(value)}, not true or false")
        return bool(value)

    def references(self) -> tuple[Reference, ...]:
        value = self._take("references", False)
        if value is None:
            return ()
        wanted = {"claim", "source"}
        if not isinstance(value, list) or not all(
            isinstance(item, dict) and set(item) == wanted and all(isinstance(t, str) for t in item.values())
            for item in value
        ):
            raise self._wrong("references", "is not a list of a claim and its source each")
        return tuple(Reference(item["claim"], item["source"]) for item in value)

    def _take(self, name: str, needed: bool) -> Any:
        value = self._data.pop(name, None)
        if needed and value is None:
            raise self._wrong(name, "is missing")
        return value

    def _wrong(self, name: str, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self._where}: {name} {what}", hint="its members: docs/devices.md#profiles"
        )
