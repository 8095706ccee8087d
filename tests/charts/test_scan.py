"""Static scans find nothing that is not explained, and the bill of materials names what the images bring."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, tool


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_bandit_finds_nothing_that_is_not_explained(tmp_path):
    bandit = tool("bandit")
    done = run(bandit, "--quiet", "--recursive", "src", "-c", ".bandit.yaml")
    assert done.returncode == 0, done.stdout
    (tmp_path / "bad.py").write_text("import pickle\npickle.loads(b'')\n")
    assert "B301" in run(bandit, "--quiet", tmp_path / "bad.py", "-c", ".bandit.yaml").stdout


def test_every_exception_of_bandit_is_needed():
    bandit, skips = tool("bandit"), re.findall(r"- (B\d+)", (ROOT / ".bandit.yaml").read_text())
    found = run(bandit, "--quiet", "--recursive", "src", "--format", "json").stdout
    assert {result["test_id"] for result in json.loads(found)["results"]} == set(skips)


def test_hadolint_finds_nothing():
    done = run(tool("hadolint"), *sorted((ROOT / "images").glob("*/Dockerfile")))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("lock", ["cluster", "prepare", "train"])
def test_a_bill_of_materials_names_every_locked_package_by_hash_and_is_the_same_twice(lock, tmp_path):
    requirements = ROOT / "requirements" / f"{lock}.txt"
    bills = []
    for number in range(2):
        place = tmp_path / f"{number}.json"
        done = run(
            tool("cyclonedx-py"), "requirements", "--output-reproducible", "--output-format", "JSON",
            "--output-file", place, requirements,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        bills.append(place.read_bytes())
    assert bills[0] == bills[1]
    components = json.loads(bills[0])["components"]
    locked = re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]*\])?==([^ ;\\]+)", requirements.read_text(), re.MULTILINE)
    assert len(locked) > 30
    assert {(c["name"], c["version"]) for c in components} == set(locked)
    assert all(c["externalReferences"][0]["hashes"] for c in components)
