"""Relays to both stores while everything around them fails: `make soak SOAK_MINUTES=5`; prints its log.

Job after job until the time is over: kill -9, SIGSTOP, faults of the hub, restarts of sshd and S3, a full scratch (as
root, a tmpfs in a mount namespace of this process), clocks that jump by days (SSH; S3 refuses a wrong clock, and
rightly). Each job has to end byte-identical at the store, with an empty scratch. Memory and file descriptors of relay
and rclone are sampled and drawn (`--plot`). Everything is on loopback, bounded in count and time.
"""

import argparse
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from conftest import TOKEN, Job, s3_destination, ssh_destination
from kills import check_final_names, check_released_is_there
from soak_plot import Sample, draw

from xperience.standin.hub import StandinHub
from xperience.standin.hub_contents import VirtualFile
from xperience.standin.servers import S3Server, SshServer

FLAGS = (
    "--chunk-size-mib", "5", "--chunk-threshold-mib", "5", "--download-range-mib", "2", "--download-streams", "8",
    "--hub-retries", "8", "--store-retries", "8",
)  # fmt: skip
MAY_END = {0, 69, 73, 75}  # done, hub or store away for too long, full, another process
SCRATCH_MIB = 120
MOST_RSS_MIB, MOST_DESCRIPTORS = 256, 256
LAST_JOB_SECONDS = 300.0
JUMPING_CLOCK = Path(__file__).parent / "jumping_clock.py"


@dataclass
class Soak:
    """One soak: its servers, what it did, what it saw."""

    hub: StandinHub
    sshd: SshServer
    s3: S3Server
    folder: Path
    drawn: random.Random
    ends_at: float
    started: float = field(default_factory=time.monotonic)
    did: Counter[str] = field(default_factory=Counter)
    ended_with: Counter[int] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    def job(self, number: int) -> None:
        """One job, to its end; AssertionError where it is not whole."""
        kind = ("ssh", "s3")[number % 2]
        name = f"d{number}"
        destination = ssh_destination(self.sshd, name) if kind == "ssh" else s3_destination(self.s3, name)
        job = Job(self.folder / name, self.hub, destination, list(FLAGS))
        job.scratch.mkdir(parents=True)
        mounted = os.getuid() == 0
        if mounted:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={SCRATCH_MIB}m", "tmpfs", job.scratch], check=True
            )  # fmt: skip
        begun, runs = time.monotonic(), 0
        try:
            job.select()
            while self.run(job, kind, full_disk=mounted) != 0:
                runs += 1
                check_final_names(job)
                check_released_is_there(job)
                assert time.monotonic() < self.ends_at + LAST_JOB_SECONDS, "the last job did not end"
            self.hub.faults.clear()
            job.check_whole()
        finally:
            if mounted:
                subprocess.run(["umount", "-l", job.scratch], check=True)
        say(f"job {number} ({kind}): whole after {runs + 1} runs in {time.monotonic() - begun:.0f} s")
        shutil.rmtree(job.folder)
        if destination.root is not None:
            shutil.rmtree(destination.root)

    def run(self, job: Job, kind: str, *, full_disk: bool) -> int:
        """One process of the relay among faults; its exit code."""
        clock = JUMPING_CLOCK if kind == "ssh" and self.drawn.random() < 0.3 else None
        self.did["jumping clocks"] += clock is not None
        log = (job.folder / "relay.log").open("ab")
        running = subprocess.Popen(job.command(script=clock), env=job.environment, stdout=log, stderr=log)
        ended = threading.Event()
        sampler = threading.Thread(target=self.sample, args=(running.pid, kind, ended))
        sampler.start()
        try:
            while running.poll() is None:
                if time.monotonic() > self.ends_at:
                    running.wait(LAST_JOB_SECONDS)
                    break
                time.sleep(self.drawn.uniform(0.3, 3.0))
                if running.poll() is None:
                    self.harm(job, kind, running, full_disk=full_disk)
        finally:
            running.kill()
            status = running.wait()
            ended.set()
            sampler.join()
            log.close()
        self.ended_with[status] += 1
        if status not in MAY_END | {-signal.SIGKILL}:
            raise AssertionError(f"exit {status}: {(job.folder / 'relay.log').read_text()[-2000:]}")
        return status

    def harm(self, job: Job, kind: str, running: "subprocess.Popen[bytes]", *, full_disk: bool) -> None:
        """One thing that goes wrong."""
        path = self.drawn.choice(self.hub.contents.paths())
        size = self.hub.contents.find(path).size_bytes
        harms = ["kill", "pause", "drop", "drop", "flip", "busy", "unavailable", "expire", "restart"]
        harm = self.drawn.choice([*harms, "full"] if full_disk else harms)
        self.did[harm if harm != "restart" else f"restart of {kind}"] += 1
        match harm:
            case "kill":
                running.kill()
            case "pause":
                running.send_signal(signal.SIGSTOP)
                time.sleep(self.drawn.uniform(0.5, 3.0))
                running.send_signal(signal.SIGCONT)
            case "drop" | "flip":
                self.hub.faults.add(harm, path=path, at_byte=self.drawn.randrange(size))
            case "busy":
                self.hub.faults.add("too_many_requests", seconds=1)
            case "unavailable":
                self.hub.faults.add("unavailable", times=3, route=self.drawn.choice(["resolve", "cdn"]))
            case "expire":
                self.hub.faults.add("expire", path=path)
            case "restart" if kind == "ssh":
                self.sshd.stop(connections=True)
                time.sleep(self.drawn.uniform(0.1, 2.0))
                self.sshd.start()
            case "restart":
                self.s3.stop()
                self.s3.start()
            case "full":
                fill(job.scratch / "filler")
                time.sleep(self.drawn.uniform(0.5, 2.0))
                (job.scratch / "filler").unlink()

    def sample(self, pid: int, kind: str, ended: threading.Event) -> None:
        """Memory and descriptors of the relay and of its rclone, twice a second."""
        while not ended.wait(0.5):
            at = time.monotonic() - self.started
            for name, found in (("relay", [pid]), ("rclone", children_of(pid))):
                for one in found:
                    rss, descriptors = figures_of(one)
                    if rss:
                        self.samples.append(Sample(at, f"{name} ({kind})", rss, descriptors))


def fill(filler: Path) -> None:
    """Take all but a page of the volume; or all of it, where the relay writes in the same moment."""
    try:
        filler.write_bytes(bytes(max(0, shutil.disk_usage(filler.parent).free - 4096)))
    except OSError as problem:
        if problem.errno != errno.ENOSPC:
            raise


def children_of(pid: int) -> list[int]:
    """Processes that this one started."""
    try:
        return [
            int(text) for place in Path(f"/proc/{pid}/task").glob("*/children") for text in place.read_text().split()
        ]
    except OSError:
        return []


def figures_of(pid: int) -> tuple[int, int]:
    """Resident bytes and open descriptors; zeros where the process has gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0, 0


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def main() -> int:
    """Soak until the time is over; 1 where memory or descriptors went over their bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--small", type=int, default=150, help="small files of a job")
    parser.add_argument("--large", type=int, default=4, help="large files of a job")
    parser.add_argument("--plot", type=Path, default=Path("build/artefacts/soak.svg"))
    asked = parser.parse_args()
    drawn = random.Random(asked.seed)
    virtual = {
        f"s{n % 20}/ep1/small{n}.bin": VirtualFile(drawn.randrange(2000, 200_000), n) for n in range(asked.small)
    }
    virtual |= {
        f"s{n}/ep1/annotation.hdf5": VirtualFile(drawn.randrange(12 << 20, 24 << 20), 1000 + n)
        for n in range(asked.large)
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "repository").mkdir()
        with (
            StandinHub(
                folder / "repository", "org/data", token=TOKEN, virtual=virtual, rate_bytes_per_second=20e6
            ) as hub,
            SshServer(folder / "ssh") as sshd,
            S3Server(folder / "s3") as s3,
        ):
            soak = Soak(hub, sshd, s3, folder, drawn, time.monotonic() + asked.minutes * 60)
            number = 0
            while time.monotonic() < soak.ends_at:
                soak.job(number)
                number += 1
    draw(soak.samples, asked.plot)
    rss = {one: max(s.rss_bytes for s in soak.samples if s.process == one) for one in {s.process for s in soak.samples}}
    descriptors = max(sample.descriptors for sample in soak.samples)
    say(f"{number} jobs, {number * len(virtual)} files, every one byte-identical at the store, scratch empty")
    say(f"did {dict(soak.did.most_common())}; runs ended with {dict(soak.ended_with)}")
    say(f"largest resident { ({one: f'{value >> 20} MiB' for one, value in sorted(rss.items())}) }")
    say(f"most descriptors {descriptors}; plot in {asked.plot}")
    relay = max(value for one, value in rss.items() if one.startswith("relay"))
    return 0 if relay <= MOST_RSS_MIB << 20 and descriptors <= MOST_DESCRIPTORS else 1


if __name__ == "__main__":
    if os.getuid() == 0 and "SOAK_OWN_MOUNTS" not in os.environ:
        # Mounts of this process alone: a soak that is killed leaves none behind.
        os.environ["SOAK_OWN_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv])
    sys.exit(main())
