"""Build dist/xperience-relay.pyz: the relay in one file, for CPython 3.11 to 3.13 on x86_64 and aarch64 (glibc)."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "dist" / "xperience-relay.pyz"
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
GLIBC = ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux_2_5", "manylinux1")
# The relay downloads by ranges of its own; without this the file is a third smaller.
LEFT_OUT = ("hf-xet",)


def requirements() -> str:
    """The hashed base requirements without what the relay does not use."""
    text = (ROOT / "requirements" / "relay.txt").read_text()
    blocks = re.split(r"\n(?=\S)", text)
    return "\n".join(block for block in blocks if not block.startswith(LEFT_OUT)) + "\n"


def download(folder: Path, python: str, machine: str, listed: Path) -> list[str]:
    """Wheels of one target into the shared folder; their names, sorted."""
    with tempfile.TemporaryDirectory() as name:
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
            "--only-binary=:all:", "--require-hashes", "--requirement", str(listed), "--dest", name,
            "--implementation", "cp", "--python-version", python,
            *(f"--platform={glibc}_{machine}" for glibc in GLIBC),
            *(f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")),
        ]  # fmt: skip
        subprocess.run(command, check=True)
        wheels = sorted(Path(name).glob("*.whl"))
        for wheel in wheels:
            shutil.copy(wheel, folder / wheel.name)
        return [wheel.name for wheel in wheels]


def build() -> Path:
    """Build the file; the same bytes under SOURCE_DATE_EPOCH for the same wheels."""
    moment = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())))[:6]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "wheels"
        folder.mkdir()
        listed = Path(name) / "requirements.txt"
        listed.write_text(requirements())
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True)
        own = [path.name for path in folder.glob("xperience-*.whl")]
        targets = {
            f"cp{python.replace('.', '')}-{machine}": [*download(folder, python, machine, listed), *own]
            for python in PYTHONS
            for machine in MACHINES
        }
        digest = hashlib.sha256()
        for wheel in sorted(folder.iterdir()):
            digest.update(wheel.read_bytes())
        TARGET.parent.mkdir(exist_ok=True)
        temporary = TARGET.with_suffix(".tmp")
        with temporary.open("wb") as handle:
            handle.write(b"#!/usr/bin/env python3\n")
            with zipfile.ZipFile(handle, "w") as archive:

                def add(path: str, content: bytes) -> None:
                    archive.writestr(zipfile.ZipInfo(path, moment), content)

                add("__main__.py", (Path(__file__).parent / "pyz_main.py").read_bytes())
                add("digest", digest.hexdigest().encode())
                for target, wheels in targets.items():
                    add(f"targets/{target}/wheels", "\n".join(wheels).encode())
                for wheel in sorted(folder.iterdir()):
                    add(f"wheels/{wheel.name}", wheel.read_bytes())
        temporary.chmod(0o755)
        temporary.replace(TARGET)
    return TARGET


if __name__ == "__main__":
    made = build()
    print(f"{made} {made.stat().st_size / 1e6:.1f} MB")
