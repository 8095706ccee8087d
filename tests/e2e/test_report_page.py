"""The report in a real browser: no error on the console, nothing asked of any host, readable on a phone, printable."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from chain_parts import Chain
from evidence_parts import call

# What CI keeps.
SHOTS = Path(__file__).parents[2] / "build" / "artefacts"
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--log-level=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium is missing: scripts/debian-packages chromium:chromium")
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    chain = Chain(tmp_path_factory.mktemp("chain"), call)
    chain.write_relay()
    chain.write_check(e5={"actions": False})
    chain.write_manifest()
    return chain.report()


def open_page(browser, page, folder, *arguments):
    """Open it; what the browser wrote: its DOM or nothing, and its log."""
    command = [browser, *QUIET, f"--user-data-dir={folder}", *arguments, page.as_uri()]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, "HOME": str(folder)}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, done.stderr


def console(log):
    return [line for line in log.splitlines() if "CONSOLE" in line]


def test_a_page_with_a_fault_would_be_seen(browser, tmp_path):
    """The check below can fail: a script that is refused and an address that is asked for are on the console."""
    bad = tmp_path / "bad.html"
    policy = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">"
    bad.write_text(f"<!doctype html>{policy}<img src='http://127.0.0.1:9/x.png'><script>1</script>")
    _, log = open_page(browser, bad, tmp_path / "profile", "--dump-dom")
    assert len(console(log)) >= 2


@pytest.mark.parametrize(("name", "size"), [("desktop", "1280,2400"), ("phone", "390,2400")])
def test_no_error_on_the_console_and_a_screenshot(browser, page, tmp_path, name, size):
    SHOTS.mkdir(parents=True, exist_ok=True)
    shot = SHOTS / f"report-{name}.png"
    shot.unlink(missing_ok=True)
    _, log = open_page(browser, page, tmp_path, f"--window-size={size}", f"--screenshot={shot}")
    assert console(log) == []
    assert shot.stat().st_size > 20_000


def test_on_a_phone_nothing_is_wider_than_the_screen(browser, page, tmp_path):
    """Measured by the browser itself: the page is put into a frame of a phone's width, whose script reports widths."""
    outer = tmp_path / "outer.html"
    inner = page.read_text().replace(
        "default-src 'none'; style-src", "default-src 'none'; script-src 'unsafe-inline'; style-src"
    )
    measure = (
        "<script>addEventListener('load', () => { const e = document.documentElement;"
        " parent.postMessage(e.scrollWidth + ' of ' + e.clientWidth, '*'); });</script></body>"
    )
    (tmp_path / "inner.html").write_text(inner.replace("</body>", measure))
    outer.write_text(
        "<!doctype html><body>"
        "<script>addEventListener('message', m => document.body.append('width ' + m.data));</script>"
        "<iframe src='inner.html' style='width:360px;height:2000px;border:0'></iframe>"
    )
    dom, _ = open_page(browser, outer, tmp_path / "profile", "--dump-dom", "--virtual-time-budget=5000")
    found = re.search(r"width (\d+) of (\d+)", dom)
    assert found, dom[-500:]
    assert int(found[1]) <= int(found[2]) <= 360


def test_it_prints(browser, page, tmp_path):
    paper = tmp_path / "report.pdf"
    open_page(browser, page, tmp_path / "profile", f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    assert paper.read_bytes().startswith(b"%PDF")
    assert paper.stat().st_size > 20_000
