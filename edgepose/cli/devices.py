"""`edgepose devices`: profiles of devices, and which are attached."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.group(short_help="List, show, detect and add devices.")
def devices() -> None:
    """List, show, detect and add the devices that edgepose bench measures on."""


@devices.command(name="list", short_help="List the device profiles.")
@click.option("--json", "as_json", is_flag=True, help="Print them as one JSON document.")
def list_command(as_json: bool) -> None:
    """List the device profiles: EdgePose's and the user's own."""
    from edgepose import log
    from edgepose.device.profile import load_profiles

    profiles, broken = load_profiles()
    if as_json:
        click.echo(json.dumps([asdict(profile) for profile in profiles], indent=1))
    else:
        width = max(len(profile.name) for profile in profiles)
        for profile in profiles:
            state = "verified" if profile.verified else "unverified"
            click.echo(f"{profile.name:<{width}}  {profile.transport:<5}  {state:<10}  {profile.title}")
    for error in broken.values():
        log.error(error.message, error.hint)
    if broken:
        raise click.exceptions.Exit(next(iter(broken.values())).exit_code)


@devices.command(short_help="Show a device profile.")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON document.")
def show(name: str, as_json: bool) -> None:
    """Show what is known about the device NAME."""
    from edgepose.device.profile import load_profile

    profile = load_profile(name)
    values = asdict(profile)
    if as_json:
        click.echo(json.dumps(values, indent=1))
        return
    references = values.pop("references")
    values["verified"] = "yes" if profile.verified else "no: no result measured on it is recorded"
    for key, value in values.items():
        if value not in (None, ()):
            shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
            click.echo(f"{key:<18} {shown}")
    for reference in references:
        click.echo(
            f"{'published':<18} {reference['claim']}  ({reference['source']}; not measured with EdgePose)"
        )


@devices.command(short_help="Show which devices are attached.")
@click.option("--json", "as_json", is_flag=True, help="Print them as one JSON document.")
def detect(as_json: bool) -> None:
    """Show the Android devices that adb sees, and this machine."""
    from edgepose import log
    from edgepose.bench.fleet import fitting_profile
    from edgepose.device.adb import AdbTransport, adb_devices
    from edgepose.device.profile import load_profiles
    from edgepose.errors import EdgePoseError

    profiles, broken = load_profiles()
    for error in broken.values():
        log.warning(f"a profile is left out: {error.message}")
    found = [{"device": "host", "transport": "local", "state": "device"}]
    try:
        for device in adb_devices():
            entry = {
                "device": device.serial,
                "transport": "adb",
                "state": device.state,
                "model": device.model,
            }
            found.append(entry)
            if device.state != "device":
                continue
            try:
                facts = AdbTransport(device.serial).facts()
            except EdgePoseError as error:
                log.warning(f"{device.serial} says nothing about itself: {error.message}")
                continue
            entry |= facts
            own = next((p.name for p in profiles if p.address == device.serial), None)
            profile = fitting_profile(facts, profiles)
            if own or profile:
                entry["use"] = f"--device {own}" if own else f"--device {profile}={device.serial}"
    except EdgePoseError as error:
        log.warning(f"Android devices cannot be listed: {error.message}")
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for entry in found:
        keys = ("model", "soc", "android", "use")
        about = ", ".join(f"{key} {entry[key]}" for key in keys if entry.get(key))
        click.echo(f"{entry['device']:<24} {entry['transport']:<6} {entry['state']:<14} {about}".rstrip())


@devices.command(short_help="Add a profile of your own.")
@click.argument("name")
@click.option("--like", "base", required=True, metavar="NAME", help="Profile to start from.")
@click.option("--address", required=True, metavar="ADDRESS", help="Serial, or [user@]host[:port].")
@click.option("--identity", metavar="FILE", help="ssh: private key.")
@click.option("--jump", metavar="HOST", help="ssh: host to go through.")
@click.option("--ssh-config", metavar="FILE", help="ssh: configuration file in place of your own.")
@click.option("--replace", is_flag=True, help="Replace a profile of your own with this name.")
def add(
    name: str,
    base: str,
    address: str,
    identity: str | None,
    jump: str | None,
    ssh_config: str | None,
    replace: bool,
) -> None:
    """Write a profile NAME for one device of yours, like a known one."""
    from edgepose.device.profile import named_file

    files = {"identity": identity, "ssh_config": ssh_config}
    # The profile is used from any folder.
    ssh = {key: file and str(named_file(file).absolute()) for key, file in files.items()}
    path = _add(name, base, address, {**ssh, "jump": jump}, replace)
    click.echo(f"{path}: try edgepose bench BUNDLE --device {name} --quick")


def _add(name: str, base: str, address: str, ssh: dict[str, str | None], replace: bool) -> Path:
    import yaml

    from edgepose.device.profile import is_name, load_profile, parse_profile, user_folder, with_address
    from edgepose.errors import UsageError
    from edgepose.writers import atomic_path

    if not is_name(name):
        raise UsageError(
            f"{name!r} is no name for a device", hint="lower-case letters, digits, dots and dashes"
        )
    profile = load_profile(base)
    if profile.transport == "local":
        raise UsageError(
            f"{base} is this machine and has no address", hint=f"measure on it with --device {base}"
        )
    given = {key: value for key, value in ssh.items() if value is not None}
    if given and profile.transport != "ssh":
        raise UsageError(f"{base} is not reached by ssh, --{next(iter(given)).replace('_', '-')} has no use")
    path = user_folder() / f"{name}.yaml"
    if path.exists() and not replace:
        raise UsageError(f"{path}: is there already", hint="--replace replaces it")
    values = {
        key: value for key, value in asdict(with_address(profile, address)).items() if value not in (None, ())
    }
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    del values["name"]
    text = yaml.safe_dump({**values, **given, "verified": False}, sort_keys=False, allow_unicode=True)
    parse_profile(text, name=name, where=str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
