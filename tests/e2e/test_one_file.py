"""The one-file relay, run by the Pythons that this machine has, with an empty home."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "scripts" / "pyz.py"
PYZ = Path(__file__).parents[2] / "dist" / "xperience-relay.pyz"


@pytest.fixture(scope="module")
def pyz():
    made = subprocess.run([sys.executable, BUILD], capture_output=True, text=True, check=False)
    if made.returncode and "Could not find a version" in made.stderr:
        pytest.skip(f"the wheels cannot be had here: {made.stderr[-300:]}")
    assert made.returncode == 0, made.stderr
    return PYZ


def run(pyz, home, *arguments, python=sys.executable):
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    command = [python, str(pyz), *arguments]
    return subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=False)


def real_pythons():
    base = Path(sys.base_prefix).parent
    found = {str(Path(sys.base_prefix) / "bin" / "python3")}
    for version in ("3.11", "3.12", "3.13"):
        found |= {str(path) for path in base.glob(f"{version}.*/bin/python3")}
        found |= {path for path in [shutil.which(f"python{version}", path="/usr/bin:/usr/local/bin")] if path}
    return sorted(found)


@pytest.mark.parametrize("python", real_pythons(), ids=lambda path: re.sub(r"\W+", "-", path)[-24:])
def test_one_file_plans_the_real_selection_with_nothing_but_python(pyz, tmp_path, python):
    done = run(
        pyz, tmp_path, "relay", "plan", "--offline", "--transfer-host", "me@store", "--transfer-root", "/d",
        "--delete-after-transfer", python=python,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "896 files, 277.71 GiB" in done.stdout
    assert not (tmp_path / "relay").exists()


def test_a_start_that_was_killed_in_the_middle_leaves_nothing_half_unpacked(pyz, tmp_path):
    started = subprocess.Popen(
        [sys.executable, str(pyz), "version"], env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    )
    cache = tmp_path / ".cache" / "xperience" / "pyz"
    while not list(cache.glob(".unpacking-*/*")):
        assert started.poll() is None
    started.kill()
    started.wait()
    assert [path for path in cache.iterdir() if not path.name.startswith(".")] == []
    assert run(pyz, tmp_path, "version").stdout.strip()


def test_a_cache_that_cannot_be_written_is_named(pyz, tmp_path):
    (tmp_path / ".cache").write_text("a file in the way")
    done = run(pyz, tmp_path, "version")
    assert done.returncode == 78
    assert "XPERIENCE_PYZ_CACHE" in done.stderr


def test_every_target_has_the_same_packages(pyz):
    with zipfile.ZipFile(pyz) as archive:
        names = set(archive.namelist())
        targets = [name for name in names if name.startswith("targets/")]
        assert len(targets) == 6
        packages = []
        for target in targets:
            wheels = archive.read(target).decode().split()
            assert {f"wheels/{wheel}" for wheel in wheels} <= names
            machine = target.split("/")[1].rpartition("-")[2]
            assert all(machine in wheel or wheel.endswith("-any.whl") for wheel in wheels)
            packages.append({wheel.split("-")[0] for wheel in wheels})
        assert all(found == packages[0] for found in packages)
        assert {"xperience", "boto3", "asyncssh", "huggingface_hub", "pydantic_core"} <= packages[0]
