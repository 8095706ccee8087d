"""Two legs at one rate: the pipeline takes hardly longer than one leg alone, and scratch stays under its budget.

These tests time things: `scripts/test` runs them with nothing beside them.
"""

import sqlite3
import threading
import time

import pytest
from conftest import Job, ssh_destination, summary_of

from xperience.standin.hub import StandinHub
from xperience.standin.hub_contents import VirtualFile

pytestmark = pytest.mark.alone
RATE = 8 * 2**20
FILE_BYTES = 2**20


def make_job(folder, hub, sshd, name) -> Job:
    folder.mkdir()
    job = Job(folder, hub, ssh_destination(sshd, name))
    job.flags = ["--transfer-limit-mib", str(RATE / 2**20), "--download-range-mib", "1", "--download-streams", "2"]
    job.select()
    return job


@pytest.mark.parametrize(("files", "limit"), [pytest.param(112, 1.05, id="112"), pytest.param(32, 1.08, id="32")])
def test_the_pipeline_takes_little_longer_than_its_slower_leg_alone(tmp_path, sshd, files, limit):
    virtual = {f"s/e{number:03}/file.bin": VirtualFile(FILE_BYTES, number) for number in range(files)}
    (tmp_path / "repository").mkdir()
    with StandinHub(
        tmp_path / "repository", "org/data", token="hf_standin_secret_0123456789", virtual=virtual,
        rate_bytes_per_second=RATE,
    ) as hub:  # fmt: skip
        alone = make_job(tmp_path / "alone", hub, sshd, f"alone-{files}")
        alone.run("--legs", "download", "--scratch-budget-gib", "1")
        alone.run("--legs", "transfer", "--scratch-budget-gib", "1")
        legs = {}
        for leg in ("download", "transfer"):
            found = summary_of(alone.scratch, leg)[leg]
            assert found["moved_bytes"] == files * FILE_BYTES
            legs[leg] = found["busy_seconds"]
        both = make_job(tmp_path / "both", hub, sshd, f"both-{files}")
        both.run("--scratch-budget-gib", str(16 * FILE_BYTES / 2**30))
        both.check_whole()
    found = summary_of(both.scratch)
    busy = max(found["download"]["busy_seconds"], found["transfer"]["busy_seconds"])
    ratio = span_of(both) / max(legs.values())
    print(f"{files} files: legs alone {legs}, together {span_of(both):.2f} s, ratio {ratio:.3f}, overlap {busy:.2f}")
    assert ratio <= limit


def span_of(job) -> float:
    """Seconds from the first byte's admission to the last file's verification."""
    with sqlite3.connect(job.scratch / "relay_ledger.sqlite") as ledger:
        query = "SELECT max(verified_at) - min(download_started_at) FROM file"
        return ledger.execute(query).fetchone()[0]


def test_scratch_never_exceeds_its_budget_of_one_and_a_half_files(tmp_path, sshd):
    virtual = {f"f{number:02}": VirtualFile(4 * 2**20 - number, number) for number in range(12)}
    (tmp_path / "repository").mkdir()
    with StandinHub(tmp_path / "repository", "org/data", token="hf_standin_secret_0123456789", virtual=virtual) as hub:
        job = make_job(tmp_path / "job", hub, sshd, "budget")
        budget = 6 * 2**20
        running = job.start("--scratch-budget-gib", str(budget / 2**30))
        peaks, ended = [0], threading.Event()

        def sample() -> None:
            while not ended.wait(0.005):
                used = 0
                for path in (job.scratch / "data").rglob("*"):
                    try:
                        used += 0 if path.is_dir() or path.suffix == ".ranges" else path.stat().st_blocks * 512
                    except FileNotFoundError:
                        continue
                peaks.append(used)

        sampler = threading.Thread(target=sample)
        sampler.start()
        output, errors = running.communicate(timeout=120)
        ended.set()
        sampler.join()
        assert running.returncode == 0, output + errors
        job.check_whole()
    assert 0 < max(peaks) <= budget
    assert len(peaks) > 100


def test_a_relay_of_files_over_a_gibibyte_stays_under_256_mib_resident(tmp_path, sshd):
    size = 2**30 + 12345
    virtual = {f"large{number}": VirtualFile(size, number) for number in range(2)}
    (tmp_path / "repository").mkdir()
    with StandinHub(tmp_path / "repository", "org/data", token="hf_standin_secret_0123456789", virtual=virtual) as hub:
        job = Job(tmp_path / "job", hub, ssh_destination(sshd, "memory"))
        job.folder.mkdir()
        job.select()
        running = job.start("--download-streams", "32", "--scratch-budget-gib", "3")
        peak_kib = 0
        while running.poll() is None:
            try:
                with open(f"/proc/{running.pid}/status") as status:  # noqa: PTH123
                    fields = dict(line.split(":", 1) for line in status)
            except OSError:
                break
            peak_kib = max(peak_kib, int(fields.get("VmHWM", "0 kB").split()[0]))
            time.sleep(0.05)
        assert running.wait() == 0, running.stderr.read()
        for path in virtual:
            with (job.destination.root / path).open("rb") as handle:
                assert handle.seek(0, 2) == size
            (job.destination.root / path).unlink()
    print(f"peak resident {peak_kib / 1024:.0f} MiB")
    assert 20_000 < peak_kib <= 256 * 1024
