"""Commands on a volume that can be full: a tmpfs of the command's own, as root."""

import os
import shutil
import subprocess

import pytest

SIZE_KIB = 256 * 1024
SCRIPT = """
place=$1 filler=$2 && shift 2
dd if=/dev/zero of="$place/filler" bs=1024 count="$filler" status=none
"$@"; full=$?
rm "$place/filler"
"$@"; room=$?
echo "exit codes $full $room"
"""


def run_on_tmpfs(place, size_bytes, command, *, timeout=None):
    """The ended process of a command that alone sees a tmpfs at `place`."""
    if os.getuid() or shutil.which("unshare") is None:
        pytest.skip("to mount a volume that can be full takes root and unshare")
    place.mkdir(parents=True, exist_ok=True)
    mount = f'mount -t tmpfs -o size={size_bytes} tmpfs "$0" && exec "$@"'
    return subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", mount, place, *map(str, command)],
        capture_output=True, text=True, check=False, timeout=timeout,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip


def run_full_and_with_room(place, left_kib, command):
    """What it said, and its two exit codes: on a volume with `left_kib` left, and once more when there is room."""
    script = ["sh", "-c", SCRIPT, "sh", place, SIZE_KIB - left_kib]
    done = run_on_tmpfs(place, SIZE_KIB * 1024, [*script, *command])
    full, room = done.stdout.split()[-2:]
    return done.stdout + done.stderr, int(full), int(room)
