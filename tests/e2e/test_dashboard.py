"""Every query of the dashboard, asked of a real Prometheus that scraped a real relay run."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import Job, ssh_destination, write_files
from prometheus import LABELS, Prometheus, free_port

from xperience.standin.hub import StandinHub

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import dashboard_picture  # noqa: E402  the README's picture asks in the same way

PICTURE = os.environ.get("XPERIENCE_DASHBOARD_PICTURE", "")
PANELS = dashboard_picture.dashboard()["panels"]
QUERIES = [
    pytest.param(target, id=f"{panel['title']}-{target['refId']}") for panel in PANELS for target in panel["targets"]
]
FILES = {f"session-{number:02}/ep1/annotation.hdf5": 600_000 + number for number in range(60)}
RATE = sum(FILES.values()) / (60 if PICTURE else 12)  # seconds
FLAGS = ["--download-streams", "2", "--download-range-mib", "1", "--transfer-limit-mib", f"{1.1 * RATE / 2**20:.2f}"]


def rules() -> dict:
    """The alerts as the chart renders them for a release of this namespace."""
    place = subprocess.run(
        [ROOT / "scripts" / "helm"], env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if place.returncode:
        pytest.skip(f"Helm cannot be had here: {place.stderr[-300:]}")
    done = subprocess.run(
        [
            Path(place.stdout.strip()) / "helm", "template", "demo", ROOT / "charts" / "relay", "--namespace", "data",
            "--values", ROOT / "charts" / "relay" / "ci" / "everything-values.yaml",
            "--show-only", "templates/prometheusrule.yaml",
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return yaml.safe_load(done.stdout)["spec"]


@pytest.fixture(scope="module")
def watched(tmp_path_factory, sshd):
    """Prometheus, and begin and end of the run that it watched: one file was flipped, one call refused."""
    folder = tmp_path_factory.mktemp("watched")
    write_files(folder / "repository", FILES)
    port = free_port()
    with (
        Prometheus(folder, f"127.0.0.1:{port}", rules()) as prometheus,
        StandinHub(
            folder / "repository", "org/data", token="hf_standin_secret_0123456789", rate_bytes_per_second=RATE
        ) as hub,
    ):
        hub.faults.add("flip", path="session-03/ep1/annotation.hdf5", at_byte=1000)
        hub.faults.add("unavailable", path="session-05/ep1/annotation.hdf5", times=2)
        job = Job(folder, hub, ssh_destination(sshd, folder.name), FLAGS)
        job.select()
        start = time.time()
        job.run("--metrics-port", str(port), "--deadline-seconds", "600", "--scratch-budget-gib", "0.01")
        job.check_whole()
        yield prometheus.url, start, time.time()


@pytest.mark.parametrize("target", QUERIES)
def test_a_query_of_the_dashboard_has_an_answer(watched, target):
    url, start, end = watched
    lines = dashboard_picture.query(url, target, start, end)
    assert lines, target["expr"]
    if "{{leg}}" in target["legendFormat"] and "retries" not in target["expr"]:
        assert {line.legend for line in lines} == {"download", "transfer", "verify"}


def test_the_figures_are_those_of_the_run(watched):
    url, start, end = watched

    def last(title):
        (target,) = next(panel for panel in PANELS if panel["title"] == title)["targets"]
        return {line.legend: line.values for line in dashboard_picture.query(url, target, start, end)}

    assert last("Hash mismatches")[""][-1] == 1
    assert last("Retries by reason")["download: HTTP 503"][-1] == 2
    assert 0 < max(last("Arrived")[""]) <= 1
    assert 500 < last("Until the deadline")[""][-1] < 600
    assert max(last("Rate per leg")["download"]) == pytest.approx(RATE, rel=0.5)
    scratch = last("Scratch in use")
    assert max(scratch["reserved"]) <= max(scratch["budget"]) == int(0.01 * 2**30)
    assert sum(counts[-1] for counts in last("Files by state").values()) == len(FILES)


@pytest.mark.parametrize("variable", ["namespace", "pod"])
def test_the_dashboards_variables_find_the_relay(watched, variable):
    url, start, end = watched
    (found,) = (item for item in dashboard_picture.dashboard()["templating"]["list"] if item["name"] == variable)
    selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", found["definition"]).groups()
    fields = {"match[]": dashboard_picture.expand(selector), "start": start, "end": end}
    assert dashboard_picture.ask(url, f"label/{label}/values", **fields) == [LABELS[variable]]


def test_the_charts_alerts_are_evaluated_and_find_the_flipped_file(watched):
    url, _, _ = watched
    (group,) = dashboard_picture.ask(url, "rules")["groups"]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    firing = {rule["name"] for rule in group["rules"] if rule["state"] == "firing"}
    assert firing == {"XperienceRelayHashMismatch"}


def test_the_picture_is_drawn_of_every_panel(watched, tmp_path):
    url, start, end = watched
    output = Path(PICTURE) if PICTURE else tmp_path / "dashboard.png"
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "dashboard_picture.py", url, str(start), str(end), output],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert output.read_bytes().startswith(b"\x89PNG")
    assert output.stat().st_size > 20_000
