"""The plan's transfer as its scripts worked: each file cut into files of 8 MiB, 8 scp at a time, put together there.

    chunked_scp.py FOLDER ROOT ADDRESS PORT USER "SSH OPTIONS"

Sizes are compared at the end and nothing else. The parts stay on both sides, as they did.
"""

import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CHUNK_BYTES, AT_ONCE = 8 << 20, 8
folder, root, address, port, user, options = sys.argv[1:]
target = f"{user}@{address}"
parts_here = Path(folder).parent / "parts"
parts_there = f"{root}/.parts"


def remote(command: str) -> str:
    """Run a command at the store."""
    done = subprocess.run(
        ["ssh", "-p", port, *shlex.split(options), target, command], check=True, capture_output=True, text=True
    )
    return done.stdout


def cut(file: Path, where: Path) -> list[Path]:
    """The file in parts."""
    where.mkdir(parents=True)
    parts = []
    with file.open("rb") as handle:
        while block := handle.read(CHUNK_BYTES):
            parts.append(where / f"part_{len(parts):06}")
            parts[-1].write_bytes(block)
    return parts


def send(part: Path, there: str) -> None:
    """One scp, one login."""
    for tries in (1, 2, 3):  # sshd's MaxStartups drops some of them
        done = subprocess.run(
            ["scp", "-q", "-P", port, *shlex.split(options), str(part), f"{target}:{there}/"],
            check=tries == 3, capture_output=True,
        )  # fmt: skip
        if done.returncode == 0:
            return


for number, file in enumerate(sorted(path for path in Path(folder).rglob("*") if path.is_file())):
    name = file.relative_to(folder)
    there = f"{parts_there}/{number}"
    final = shlex.quote(f"{root}/{name}")
    remote(f"mkdir -p {there} $(dirname {final})")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda part, there=there: send(part, there), cut(file, parts_here / str(number))))
    size = int(remote(f"cat {there}/part_* > {final} && stat -c %s {final}"))
    if size != file.stat().st_size:
        sys.exit(f"{name} has {size} bytes at the store")
