"""Run a command on a volume that is full, and once more when there is room: a tmpfs of the command's own, as root."""

import os
import subprocess

import pytest

SCRIPT = """
place=$1 left=$2 && shift 2
mount -t tmpfs -o size=256m tmpfs "$place"
dd if=/dev/zero of="$place/filler" bs=1024 count=$((256 * 1024 - left)) status=none
"$@"; full=$?
rm "$place/filler"
"$@"; room=$?
echo "exit codes $full $room"
"""


def run_full_and_with_room(place, left_kib, command):
    """What it said, and its two exit codes; `left_kib` are left on the full volume."""
    if os.getuid():
        pytest.skip("to mount a volume that can be full takes root")
    place.mkdir(parents=True, exist_ok=True)
    alone = ["unshare", "-m", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]
    done = subprocess.run(
        [*alone, place, str(left_kib), *map(str, command)],
        capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    full, room = done.stdout.split()[-2:]
    return done.stdout + done.stderr, int(full), int(room)
