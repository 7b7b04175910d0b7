"""Read tests/bundles/valid.json and invalid.json and make the bundle folder that a case describes.

A case starts from a bundle of v1 (`base`), applies `patch` (RFC 6902: add, remove, replace) and signs the
manifest again, unless `sign` is false. `golden` replaces golden.json; `text` and `latin1` replace a part of
the signed text (DIGEST stands for its manifest_sha256); `raw` is the whole text; `folder` changes the files.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
GOOD = sorted(path for path in (HERE / "v1").iterdir() if path.is_dir())
VALID: list[dict[str, Any]] = json.loads((HERE / "valid.json").read_text(encoding="ascii"))
INVALID: list[dict[str, Any]] = json.loads((HERE / "invalid.json").read_text(encoding="ascii"))

_UNSIGNED = "0" * 64


def sign(manifest: dict[str, Any]) -> str:
    """Return the text of bundle.json with its manifest_sha256."""
    text = json.dumps({**manifest, "manifest_sha256": _UNSIGNED}, indent=1) + "\n"
    return hashlib.sha256(text.encode("ascii")).hexdigest().join(text.rsplit(_UNSIGNED, 1))


def manifest_of(case: dict[str, Any]) -> dict[str, Any]:
    """Return the patched manifest of a case; its manifest_sha256 is that of its base."""
    base = HERE / "v1" / case.get("base", "top_down") / "bundle.json"
    manifest: dict[str, Any] = json.loads(base.read_text(encoding="ascii"))
    for operation in case.get("patch", []):
        _apply(manifest, operation)
    return manifest


def build(case: dict[str, Any], folder: Path) -> None:
    """Make the bundle folder of a case."""
    shutil.copytree(HERE / "v1" / case.get("base", "top_down"), folder)
    manifest = manifest_of(case)
    if "golden" in case:
        content = json.dumps(case["golden"]).encode("ascii")
        (folder / "golden.json").write_bytes(content)
        listed = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        manifest["files"]["golden.json"] = listed
    text = sign(manifest) if case.get("sign", True) else json.dumps(manifest, indent=1) + "\n"
    digest = json.loads(text).get("manifest_sha256") or ""
    if "text" in case:
        text = _replace(text, *case["text"]).replace("DIGEST", digest)
    if "latin1" in case:
        text = _replace(text, *case["latin1"])
    encoding = "latin-1" if "latin1" in case else "utf-8"
    (folder / "bundle.json").write_bytes(case.get("raw", text).encode(encoding))
    _change_folder(folder, **case.get("folder", {}))


def _replace(text: str, old: str, new: str) -> str:
    assert old in text, old
    return text.replace(old, new, 1)


def _apply(document: Any, operation: dict[str, Any]) -> None:
    *parents, last = [
        part.replace("~1", "/").replace("~0", "~") for part in operation["path"].removeprefix("/").split("/")
    ]
    for part in parents:
        document = document[int(part) if isinstance(document, list) else part]
    key = (len(document) if last == "-" else int(last)) if isinstance(document, list) else last
    if operation["op"] != "add":
        document[key]
    if operation["op"] == "remove":
        del document[key]
    elif operation["op"] == "add" and isinstance(document, list):
        document.insert(key, operation["value"])
    else:
        document[key] = operation["value"]


def _change_folder(
    folder: Path,
    *,
    write: dict[str, str] | None = None,
    append: dict[str, str] | None = None,
    delete: list[str] | None = None,
    link: list[str] | None = None,
    mkdir: list[str] | None = None,
    pipe: list[str] | None = None,
) -> None:
    for name in delete or []:
        (folder / name).unlink()
    for name, text in (write or {}).items():
        (folder / name).write_text(text, encoding="ascii")
    for name, text in (append or {}).items():
        with (folder / name).open("a", encoding="ascii") as file:
            file.write(text)
    for name in link or []:
        moved = folder.with_name(f"{folder.name}-{name}")
        (folder / name).rename(moved)
        (folder / name).symlink_to(moved)
    for name in mkdir or []:
        (folder / name).mkdir()
    for name in pipe or []:
        os.mkfifo(folder / name)
