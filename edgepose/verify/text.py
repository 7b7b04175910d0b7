"""The documents of `eval` and `gate` as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgepose.text_table import aligned

_WORST_JOINTS = 6


def eval_text(document: Mapping[str, Any]) -> str:
    """Return what `edgepose eval` prints."""
    data, speed, accuracy = document["data"], document["speed"], document["accuracy"]
    flipped = ", flip test" if document["settings"].get("flip_test") else ""
    lines = [
        f"{describe(document['bundle'])}: {data['images']} pictures, {speed['persons']} persons "
        f"({document['settings']['boxes']} boxes{flipped})"
    ]
    if accuracy:
        lines += ["", *accuracy_lines(accuracy)]
    if document["drift"]:
        lines += ["", *drift_lines(document["drift"])]
    return "\n".join(lines)


def gate_text(document: Mapping[str, Any]) -> str:
    """Return what `edgepose gate` prints."""
    data, accuracy = document["data"], document["accuracy"]
    lines = [
        f"candidate  {describe(document['candidate'])}",
        f"reference  {describe(document['reference'])}, a {document['reference']['kind']}",
        f"data       {data['annotations']}: {data['images']} pictures, "
        f"{document['drift']['persons']} persons "
        f"({document['settings']['boxes']} boxes)",
        "",
        *aligned(check_rows(document), texts=1),
        "",
        *joint_lines(document["drift"]["per_keypoint"], ("mean_px", "p95_px", "max_px", "mean_input_px")),
    ]
    if accuracy:
        low, high = accuracy["AP_difference_interval"]
        lines += [
            "",
            f"AP  reference {cell(accuracy['reference']['AP'], 2)}, candidate "
            f"{cell(accuracy['candidate']['AP'], 2)}: {cell(accuracy['difference']['AP'], 2)} "
            f"({cell(low, 2)} to {cell(high, 2)})",
        ]
    if document["video"]:
        lines += ["", video_line(document["video"])]
    lines += [f"cause: {cause['message']}" for cause in document["diagnosis"]]
    return "\n".join([*lines, "", f"{document['verdict']}: {document['summary']}"])


def video_line(video: Mapping[str, Any]) -> str:
    """Return what was seen on the video."""
    jitter = [cell(video[side]["jitter_input_px"]) for side in ("reference", "candidate")]
    lag = (
        "too little motion to tell" if video["lag_frames"] is None else f"{cell(video['lag_frames'])} frames"
    )
    added = video.get("added_persons")  # a decision from before it was counted lacks it
    new = f", {added} added" if added else ""
    return (
        f"video  {video['name']}: {video['frames']} frames, {video['persons']} persons in them, "
        f"{video['unmatched_persons']} not found again{new}; "
        f"jitter {jitter[0]} input px, candidate {jitter[1]}; "
        f"lag {lag}; {video['id_switches']} identity switches"
    )


def check_rows(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the checks as a table; of the joints those that do not pass, or else the worst."""
    checks = document["checks"]
    chosen = [check for check in checks if check["keypoint"] is None]
    for name in ("joint_mean", "joint_bias"):
        mine = [check for check in checks if check["name"] == name]
        mine.sort(key=lambda check: -(check["estimate"] or 0))
        bad = [check for check in mine if check["verdict"] != "PASS"]
        chosen += (bad or mine[:1])[:_WORST_JOINTS]
    rows: list[tuple[str, ...]] = [("check", "estimate", "from", "to", "limit", "unit", "verdict")]
    for check in chosen:
        low, high = check["interval"]
        figures = (cell(value) for value in (check["estimate"], low, high, check["limit"]))
        needed = f" ({what_decides(check)} needed)" if what_decides(check) else ""
        rows.append((check["title"], *figures, check["unit"], check["verdict"] + needed))
    return rows


def what_decides(check: Mapping[str, Any]) -> str | None:
    """Return how much would decide a check: "740 pictures", "90 seconds of video"; None where unknown."""
    if check["images_needed"]:
        return f"{check['images_needed']:.0f} pictures"
    seconds = check.get("seconds_needed")  # a decision from before --video lacks it
    return f"{seconds:.0f} seconds of video" if seconds else None


def describe(bundle: Mapping[str, Any]) -> str:
    """Return a bundle's name and precision."""
    return f"{bundle['name']} ({bundle['backend']}, {bundle['precision']})"


def accuracy_lines(accuracy: Mapping[str, Any]) -> list[str]:
    """Return AP and AR by part, PCK, and the joints with the largest errors."""
    columns = ("AP", "AP50", "AP75", "APM", "APL", "AR")
    low, high = accuracy["AP_interval"]
    rows = [("", *columns)]
    rows += [(part, *(cell(v[c], 2) for c in columns)) for part, v in accuracy["parts"].items()]
    error = accuracy["error_px"]
    lost = accuracy.get("unmatched_persons")  # a result from before it was counted lacks it
    pck = ", ".join(f"{cell(value, 1)} at {share}" for share, value in accuracy["pck"].items())
    return [
        *aligned(rows, texts=1),
        "AP has no interval: there are fewer than 10 pictures, or nothing to measure it on"
        if low is None or high is None
        else f"AP is within {cell(low, 2)} .. {cell(high, 2)}",
        f"PCK  {pck} of the box",
        f"error  mean {cell(error['mean'])} px, p95 {cell(error['p95'])} px, worst {cell(error['max'])} px "
        f"({error['compared']} keypoints)",
        *([f"{lost} labelled persons were not found"] if lost else []),
        "",
        *joint_lines(accuracy["per_keypoint"], ("mean_px", "p95_px", "max_px", "pck_0.1")),
    ]


def drift_lines(drift: Mapping[str, Any]) -> list[str]:
    """Return how far the keypoints are from the reference's."""
    px, inner = drift["px"], drift["input_px"]
    # A result from before these were compared lacks them.
    added, depth = drift.get("added_persons"), drift.get("depth_mm")
    return [
        f"drift from {describe(drift['reference'])}: {drift['compared']} confident keypoints of "
        f"{drift['persons']} persons"
        + (f"; {drift['unmatched_persons']} persons not found again" if drift["unmatched_persons"] else "")
        + (f"; {added} persons added" if added else ""),
        f"  picture px  {_spread(px)}",
        f"  input px    {_spread(inner)}",
        *([f"  depth mm    {_spread(depth)}"] if depth else []),
        "",
        *joint_lines(drift["per_keypoint"], ("mean_px", "p95_px", "max_px", "mean_input_px")),
    ]


def _spread(figures: Mapping[str, float | None]) -> str:
    return f"mean {cell(figures['mean'])}, p95 {cell(figures['p95'])}, worst {cell(figures['max'])}"


def joint_lines(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Return the joints with the largest mean, worst first."""
    compared = [row for row in rows if row["mean_px"] is not None]
    compared.sort(key=lambda row: -row["mean_px"])
    shown = compared if len(compared) <= 17 else compared[:_WORST_JOINTS]
    body = [(row["name"], str(row["compared"]), *(cell(row[c]) for c in columns)) for row in shown]
    more = [f"... and {len(compared) - len(shown)} more, all smaller"] if len(shown) < len(compared) else []
    return [*aligned([("joint", "n", *columns), *body], texts=1), *more] if body else []


def cell(value: float | None, digits: int = 3) -> str:
    """Return a figure for a table; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"
