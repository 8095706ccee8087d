import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xperience.standin.hub import StandinHub
from xperience.standin.hub_contents import VirtualFile

CHILD = Path(__file__).with_name("hub_child.py")
STREAMS, RANGE_BYTES = 6, 256 << 10


@pytest.mark.parametrize("seed", range(3))
def test_after_kill_9_at_random_moments_at_most_one_range_per_stream_is_fetched_twice(tmp_path, seed):
    virtual = {f"{number}.bin": VirtualFile((8 << 20) + number, number) for number in range(4)}
    total = sum(file.size_bytes for file in virtual.values())
    (tmp_path / "root").mkdir()
    draw, kills = random.Random(seed), 0
    with StandinHub(tmp_path / "root", "o/d", virtual=virtual, rate_bytes_per_second=20e6) as standin:
        command = [sys.executable, CHILD, "--endpoint", standin.endpoint, "--scratch", tmp_path / "scratch"]
        command += ["--streams", str(STREAMS), "--range-bytes", str(RANGE_BYTES), *virtual]
        while True:
            goal = standin.log.served().total_bytes + draw.randrange(int(total * 0.5))
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "HF_TOKEN": "hf_standin"})
            while child.poll() is None and (kills >= 3 or standin.log.served().total_bytes < goal):
                time.sleep(0.002)
            if child.returncode is None:
                child.kill()
                kills += 1
            if child.wait() == 0:
                break
        served = standin.log.served().total_bytes
        for path, file in virtual.items():
            assert (tmp_path / "scratch" / path).read_bytes() == b"".join(file.read(0, file.size_bytes))
    assert kills >= 1
    assert total <= served <= total + kills * STREAMS * RANGE_BYTES
    assert sorted(path.name for path in (tmp_path / "scratch").iterdir()) == sorted(virtual)


@pytest.mark.alone  # memory is more where a busy disk holds writes up
def test_memory_and_threads_stay_small_with_files_of_a_gib(tmp_path):
    virtual = {f"{number}.bin": VirtualFile(1 << 30, 5) for number in range(2)}
    (tmp_path / "root").mkdir()
    with StandinHub(tmp_path / "root", "o/d", virtual=virtual) as standin:
        command = [sys.executable, CHILD, "--endpoint", standin.endpoint, "--scratch", tmp_path / "scratch"]
        command += ["--streams", "32", "--range-bytes", str(16 << 20), "--delete", *virtual]
        env = {**os.environ, "HF_TOKEN": "hf_standin"}
        lines = subprocess.run(command, check=True, capture_output=True, env=env, timeout=120).stdout.splitlines()
    report = json.loads(lines[-1])
    print(report)
    assert len(lines) == 3
    assert report["rss_bytes"] <= 256 << 20
    assert report["threads"] <= 1 + 32 + 2
