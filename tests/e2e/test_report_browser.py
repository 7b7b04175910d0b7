"""The report in headless Chromium: no message on the console, no request, no sideways scroll, both themes."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepose.report.build import ReportRequest, build_report

V1 = Path(__file__).resolve().parent.parent / "bundles" / "v1"
Browse = Callable[..., tuple[str, str]]

# The page in a frame of a phone's width; what is found is left where --dump-dom shows it.
_FRAME = """<!doctype html><body><iframe id=f width={width} height=900 style="border:0"
srcdoc="{page}"></iframe>
<script>
addEventListener("load", () => {{
  const page = document.getElementById("f").contentDocument, root = page.documentElement;
  const color = (e) => f.contentWindow.getComputedStyle(e).backgroundColor;
  const seen = {{scroll: root.scrollWidth, client: root.clientWidth, system: color(root)}};
  for (const name of ["light", "dark"]) {{
    page.getElementById("theme").click();
    seen[name] = color(root);
  }}
  seen.requests = f.contentWindow.performance.getEntriesByType("resource").map((e) => e.name)
    .filter((name) => !name.startsWith("data:"));
  f.contentWindow.dispatchEvent(new Event("beforeprint"));
  seen.folded = page.querySelectorAll("details:not([open])").length;
  const out = document.createElement("pre");
  out.id = "seen";
  out.textContent = JSON.stringify(seen);
  document.body.append(out);
}});
</script>"""


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Open a file in Chromium; returns the document after its scripts, and what the browser says."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not installed")

    def run(path: Path, *options: str) -> tuple[str, str]:
        flags = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--no-first-run", "--hide-scrollbars",
            "--virtual-time-budget=2000", "--enable-logging=stderr", "--v=0",
            f"--user-data-dir={tmp_path / 'profile'}",
        ]  # fmt: skip
        done = subprocess.run(
            [program, *flags, *options, "--dump-dom", path.as_uri()],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    return run


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_page_in_a_browser(scheme: str, browse: Browse, tmp_path: Path) -> None:
    page = build_report(ReportRequest([V1 / "top_down", V1 / "one_stage", V1 / "pose"]))
    (tmp_path / "frame.html").write_text(_FRAME.format(width=390, page=html.escape(page)), encoding="utf-8")
    preferred = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    dom, messages = browse(tmp_path / "frame.html", preferred)
    assert "CONSOLE" not in messages, messages
    seen = json.loads(html.unescape(dom.rpartition('<pre id="seen">')[2].partition("</pre>")[0]))
    assert seen["client"] == 390 and seen["scroll"] <= 390
    assert seen["requests"] == []
    assert seen["folded"] == 0
    assert seen["light"] != seen["dark"] and seen["system"] == seen[scheme]


def test_the_console_would_be_heard(browse: Browse, tmp_path: Path) -> None:
    """A page with an error: the check above is able to fail."""
    (tmp_path / "bad.html").write_text("<script>null.x</script>")
    assert "CONSOLE" in browse(tmp_path / "bad.html")[1]
    page = build_report(ReportRequest([V1 / "pose"], run=False))
    attacked = page.replace("<main>", '<main><script>document.title="taken"</script>')
    (tmp_path / "attacked.html").write_text(attacked)
    dom, messages = browse(tmp_path / "attacked.html")
    assert "Content Security Policy" in messages and "<title>taken" not in dom
