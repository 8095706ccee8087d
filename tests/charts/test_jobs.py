import subprocess
import sys

import pytest
from conftest import ROOT, objects_of, programs, validate

JOBS = [pytest.param(path, id=path.stem) for path in sorted((ROOT / "jobs").glob("*.yaml"))]


def test_the_plain_jobs_are_what_the_charts_render():
    programs()
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "jobs.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.34", "1.37"])
@pytest.mark.parametrize("path", JOBS)
def test_a_plain_job_is_valid_under_the_strict_schema(path, version):
    objects = objects_of(path.read_text())
    assert {"Job", "PyTorchJob", "TrainJob"} & {item["kind"] for item in objects}
    for item in objects:
        validate(item, version)


@pytest.mark.parametrize("path", JOBS)
def test_a_plain_job_begins_with_what_it_does_and_how_it_is_used(path):
    header = [line for line in path.read_text().splitlines() if line.startswith("# ")]
    for word in ("What:", "Needs:", "Apply:", "Watch:", "Clean:"):
        assert any(line.startswith(f"# {word}") for line in header), word
    assert "managed-by: Helm" not in path.read_text()
