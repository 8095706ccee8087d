"""dist/xperience-relay.pyz, as a host with nothing but Python starts it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from email.parser import BytesParser
from pathlib import Path

import pytest
from conftest import BOTH_STORES
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from xperience.store.rclone import find_rclone

ROOT = Path(__file__).parents[2]
SELECTION = ROOT / "tests" / "data" / "xperience10m_128_episode_selection.json"
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
TARGETS = [f"cp{python.replace('.', '')}-{machine}" for python in PYTHONS for machine in MACHINES]
ELF_MACHINE = {"x86_64": 62, "aarch64": 183}
UNREACHED = ("Failed to fetch", "error sending request", "dns error")


@pytest.fixture(scope="session")
def pyz(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("pyz") / "xperience-relay.pyz"
    made = subprocess.run([ROOT / "scripts" / "pyz", file], capture_output=True, text=True, check=False)
    if any(sign in made.stderr for sign in UNREACHED):
        pytest.skip("the package index is not reached, so the wheels of other Pythons and machines cannot be fetched")
    assert made.returncode == 0, made.stderr
    return file


def bare_python(version: str = f"{sys.version_info.major}.{sys.version_info.minor}") -> str:
    """A Python of that version outside of this virtual environment."""
    candidates = [Path(sys.base_prefix, "bin", f"python{version}"), Path(shutil.which(f"python{version}") or "missing")]
    candidates += sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
    for candidate in candidates:
        if candidate.exists():  # and starts: pyenv's shims do not
            asked = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False)
            if asked.stdout.startswith(f"Python {version}."):
                return str(candidate)
    return pytest.skip(f"no Python {version} on this machine")


def command(pyz: Path, *arguments: str, python: str = "") -> list[str]:
    """-I -S: no site packages, no environment variables of Python."""
    return [python or bare_python(), "-I", "-S", str(pyz), *arguments]


@pytest.fixture
def home(tmp_path) -> Iterator[Path]:
    """An empty home; removed at once, for 65 MB are unpacked into it."""
    place = tmp_path / "home"
    place.mkdir()
    yield place
    shutil.rmtree(place)


def start(pyz: Path, home: Path, *arguments: str, python: str = "", before: tuple[str, ...] = ()) -> subprocess.Popen:
    return subprocess.Popen(
        [*before, *command(pyz, *arguments, python=python)], env={"HOME": str(home)}, cwd=home, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(pyz: Path, home: Path, *arguments: str, expect: int = 0, **options) -> str:
    """Standard output, or standard error where a failure is expected."""
    process = start(pyz, home, *arguments, **options)
    out, err = process.communicate(timeout=60)
    assert process.returncode == expect, f"{process.returncode}\n{out}\n{err}"
    return err if expect else out


def cached(home: Path) -> list[str]:
    return sorted(path.name for path in (home / ".cache/xperience/pyz").iterdir() if path.name != "lock")


def files_for(packed: zipfile.ZipFile, target: str) -> dict[str, bytes]:
    """What a host of that target unpacks."""
    found = {}
    for name in packed.namelist():
        part, _, path = name.partition("/")
        if path and part in ("any", *target.split("-"), target):
            assert path not in found, f"{path} comes from two folders"
            found[path] = packed.read(name)
    return found


@pytest.mark.parametrize("version", PYTHONS)
def test_a_python_without_any_package_plans_the_selection(pyz, home, version):
    python = bare_python(version)
    assert run(pyz, home, "version", python=python) == "0.1.0\n"
    plan = run(
        pyz, home, "relay", "plan", "--offline", "--selection-json", str(SELECTION),
        "--transfer-host", "me@store", "--transfer-root", "/d", "--delete-after-transfer", python=python,
    )  # fmt: skip
    assert "896 files, 277.71 GiB" in plan
    assert len(cached(home)) == 1


@BOTH_STORES
def test_a_whole_relay_runs_from_the_file(pyz, job, home):
    kept = {name: value for name, value in job.environment.items() if name.startswith(("AWS_", "HF_"))}
    done = subprocess.run(
        command(pyz, *job.command("--rclone", str(find_rclone(None)))[3:]), env={"HOME": str(home)} | kept, cwd=home,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    job.check_whole()


def test_packing_again_what_is_inside_gives_the_same_bytes(pyz):
    with tempfile.TemporaryDirectory() as trees, zipfile.ZipFile(pyz) as packed:
        for target in TARGETS:
            for path, content in files_for(packed, target).items():
                place = Path(trees, target, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
        again = Path(trees, "again.pyz")
        glibc = json.loads(packed.read("inside.json"))["glibc"]
        subprocess.run(
            [sys.executable, ROOT / "scripts" / "pyz_pack.py", trees, glibc, again],
            env=os.environ | {"TZ": "Asia/Tokyo"}, check=True,
        )  # fmt: skip
        assert again.read_bytes() == pyz.read_bytes()


def test_two_first_starts_at_once_both_run(pyz, home):
    both = [start(pyz, home, "version") for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in both] == ["0.1.0\n"] * 2
    assert len(cached(home)) == 1


def test_a_start_after_a_kill_in_the_middle_of_unpacking_runs_and_leaves_nothing_behind(pyz, home):
    process = start(pyz, home, "version")
    try:
        while len(list(home.rglob("*.py"))) < 20:
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    (partial,) = cached(home)
    assert partial.endswith(f".{process.pid}")
    assert run(pyz, home, "version") == "0.1.0\n"
    assert cached(home) == [partial.removesuffix(f".{process.pid}")]


def test_a_cache_that_lost_bytes_is_unpacked_again(pyz, home):
    run(pyz, home, "version")
    (name,) = cached(home)
    damaged = home / ".cache/xperience/pyz" / name / "pydantic" / "main.py"
    damaged.write_bytes(b"")
    assert run(pyz, home, "version") == "0.1.0\n"
    assert damaged.stat().st_size > 0
    assert cached(home) == [name]


def test_a_host_that_it_was_not_made_for_is_told_what_is_inside(pyz, home):
    if not shutil.which("setarch"):
        pytest.skip("setarch is missing: install util-linux")
    said = run(pyz, home, "version", expect=78, before=("setarch", "i686"))
    assert "not made for this host" in said
    assert "on i686" in said
    assert all(target in said for target in TARGETS)


def test_a_home_that_cannot_be_written_to_names_the_variable_that_helps(pyz, home):
    (home / ".cache").write_text("a file where the folder would be")
    said = run(pyz, home, "version", expect=78)
    assert "XPERIENCE_PYZ_CACHE" in said


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_all_distributions_and_libraries_for_its_machine(pyz, target):
    python, machine = target.split("-")
    with zipfile.ZipFile(pyz) as packed:
        files = files_for(packed, target)
    metadata_of = [BytesParser().parsebytes(data) for path, data in files.items() if path.endswith("info/METADATA")]
    found = {canonicalize_name(metadata["Name"]): metadata for metadata in metadata_of}
    assert "xperience" in found
    environment = {
        "python_version": f"3.{python[3:]}", "python_full_version": f"3.{python[3:]}.0", "platform_machine": machine,
        "sys_platform": "linux", "platform_system": "Linux", "implementation_name": "cpython", "extra": "",
    }  # fmt: skip
    for name, metadata in found.items():
        for requirement in map(Requirement, metadata.get_all("Requires-Dist", [])):
            needed = canonicalize_name(requirement.name)
            if needed == "hf-xet" or (requirement.marker and not requirement.marker.evaluate(environment)):
                continue
            assert needed in found, f"{name} needs {requirement}"
            assert requirement.specifier.contains(found[needed]["Version"]), f"{name} needs {requirement}"
    libraries = {path: content for path, content in files.items() if path.endswith(".so")}
    assert {re.sub(r"\..*", "", path) for path in libraries} >= {
        "_cffi_backend", "cryptography/hazmat/bindings/_rust", "pydantic_core/_pydantic_core", "yaml/_yaml",
    }  # fmt: skip
    for path, content in libraries.items():
        assert int.from_bytes(content[18:20], "little") == ELF_MACHINE[machine], path
        assert max(int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)", content)) <= 28, path
        assert ".abi3." in path or f".cpython-3{python[3:]}-{machine}-" in path


def test_no_path_of_the_building_machine_is_inside(pyz):
    with zipfile.ZipFile(pyz) as packed:
        assert set(json.loads(packed.read("inside.json"))["targets"]) == set(TARGETS)
        assert not [name for name in packed.namelist() if name.endswith("direct_url.json") or "hf_xet" in name]
        assert not [name for name in packed.namelist() if str(ROOT).encode() in packed.read(name)]
