import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(900)
def test_two_minutes_among_faults_leave_every_byte_right_and_memory_bounded(tmp_path):
    """What `make soak` does, for two minutes: at least one job to each store, at least one fault in it."""
    command = [sys.executable, Path(__file__).parent / "soak.py", "--minutes", "2", "--plot", tmp_path / "soak.svg"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (jobs,) = re.findall(r"(\d+) jobs, \d+ files, every one byte-identical", done.stdout)
    assert int(jobs) >= 2
    assert "did {'" in done.stdout, "nothing was disturbed"
