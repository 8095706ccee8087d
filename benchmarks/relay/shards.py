"""Where another relay stops helping: a simulation of 1–64 shards, and a real run of 1, 2 and 4 that checks it.

    python benchmarks/relay/shards.py                     # the table, 128 episodes and the whole data set
    python benchmarks/relay/shards.py --check             # real relays with rate-limited legs against the simulation

A shard's time is the larger of its pipeline (`relay.plan.estimate`, at its share of what is shared) and of its calls
at its share of the hub's limit. The rates are the flags'; the defaults are a relay with 1 Gbit/s from the hub and
500 Mbit/s to a store that takes 1 GB/s of all relays together.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scale import whole_data_set

from xperience.common.shards import Shard
from xperience.common.sizes import GIB, MIB
from xperience.relay.plan import estimate, plan_batches, with_estimated_sizes
from xperience.selection.model import SelectedFile, Selection
from xperience.selection.plan_file import read_selection
from xperience.selection.shards import share_of
from xperience.standin.hub import StandinHub
from xperience.standin.hub_contents import VirtualFile
from xperience.standin.servers import SshServer

COUNTS = (1, 2, 4, 8, 16, 32, 64)
CALLS_OF_A_FILE = 1  # of a pinned selection: its resolve call; the ranges go to the CDN, which the limit leaves alone
WORTH_IT = 0.75  # of the time, from twice as many relays
CHECKED = (1, 2, 4)
TOLERANCE = 0.25
FILES = 448
COMMAND = (sys.executable, "-m", "xperience")


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes per second of one relay's legs and of hub and store for all relays; calls that the hub grants in 300 s."""

    hub_relay: float
    hub_total: float
    store_relay: float
    store_total: float
    hub_calls: int


def seconds_of(selection: Selection, count: int, rates: Rates, budget_bytes: int) -> tuple[float, str]:
    """Time of the slowest of `count` shards, and what binds it."""
    slowest, binds = 0.0, ""
    download = min(rates.hub_relay, rates.hub_total / count)
    transfer = min(rates.store_relay, rates.store_total / count)
    for index in range(count):
        share = share_of(selection, Shard(index, count))
        batches = plan_batches(share, max_bytes=budget_bytes, max_episodes=16)
        sizes = [file.size_bytes or 0 for batch in batches for file in batch.files]
        pipeline = estimate(sizes, budget_bytes=budget_bytes, download_rate=download, transfer_rate=transfer).seconds
        # The first window's calls may be made at once.
        calls = max(0, len(sizes) * CALLS_OF_A_FILE * count - rates.hub_calls) * 300 / rates.hub_calls
        if max(pipeline, calls) > slowest:
            slowest = max(pipeline, calls)
            if calls > pipeline:
                binds = "the hub's calls"
            elif download < transfer:
                binds = "hub, all relays" if rates.hub_total / count < rates.hub_relay else "a relay's hub leg"
            else:
                binds = "store, all relays" if rates.store_total / count < rates.store_relay else "a relay's store leg"
    return slowest, binds


def table(name: str, selection: Selection, rates: Rates, budget_bytes: int) -> list[str]:
    """Markdown rows; the last line says where doubling stops helping."""
    lines = [f"\n{name}\n", "| relays | hours | of one relay | bound by |", "|---|---|---|---|"]
    found = {count: seconds_of(selection, count, rates, budget_bytes) for count in COUNTS}
    for count, (seconds, binds) in found.items():
        lines.append(f"| {count} | {seconds / 3600:.2f} | {found[1][0] / seconds:.1f} × | {binds} |")
    worth = [count for count in COUNTS[1:] if found[count][0] <= WORTH_IT * found[count // 2][0]]
    lines.append(f"\nMore than {max(worth, default=1)} relays are not worth it.")
    return lines


def check(folder: Path) -> bool:
    """Real relays beside each other, one hub with a rate for all, a transfer limit of each; every byte hash-checked.

    What starting and ending so many takes here is measured with eight small files, and added: on the hosts of a
    cluster it is some seconds, whatever their number; on one machine it grows with it.
    """
    relay_mib, hub_mib, total_mib = 6, 18, 288
    drawn = random.Random(3)
    # Of a file nothing is sent before it is whole: files are as small a part of the whole as the real ones are.
    sizes = [int(total_mib * MIB / FILES * drawn.uniform(0.2, 1.8)) for _ in range(FILES)]
    rates = Rates(1e12, hub_mib * MIB, relay_mib * MIB, 1e12, 5000)
    budget_bytes = 64 * MIB
    flags = ["--scratch-budget-gib", str(budget_bytes / GIB), "--headroom-gib", "0.1", "--transfer-limit-mib",
             str(relay_mib)]  # fmt: skip
    fine = True
    with serving(folder / "small", [1024] * 8, hub_mib) as small, serving(folder / "large", sizes, hub_mib) as large:
        for count in CHECKED:
            fixed = seconds_of_real(small, count, flags)
            seconds = seconds_of_real(large, count, flags)
            simulated, binds = seconds_of(read_selection(large.selection), count, rates, budget_bytes)
            kept = abs(seconds - fixed - simulated) <= TOLERANCE * simulated
            fine &= kept
            print(
                f"{count} relays: {seconds:.1f} s, simulated {simulated:.1f} s ({binds}) and {fixed:.1f} s to start and"
                f" end: {'ok' if kept else 'DIFFERENT'}", flush=True,
            )  # fmt: skip
    return fine


@dataclass(frozen=True, slots=True)
class Served:
    """A selection, and the environment in which its hub is asked."""

    folder: Path
    selection: Path
    environment: dict[str, str]


@contextmanager
def serving(folder: Path, sizes: Sequence[int], rate_mib: int) -> Iterator[Served]:
    """A hub with files of these sizes, at a rate for all who ask it; all of them are selected."""
    (folder / "repository").mkdir(parents=True)
    virtual = {f"part-{n:02}/shard-{n:03}.bin": VirtualFile(size, n) for n, size in enumerate(sizes)}
    with StandinHub(
        folder / "repository", "org/data", virtual=virtual, gate="open", rate_bytes_per_second=rate_mib * MIB
    ) as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1"}
        served = Served(folder, folder / "selection.json", environment)
        subprocess.run(
            [*COMMAND, "select", "from-repo", "--repo-id", "org/data", "--output", str(served.selection)], check=True,
            env=environment, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        yield served


def seconds_of_real(served: Served, count: int, flags: Sequence[str]) -> float:
    """Until the last of `count` relays has ended; RuntimeError where one of them failed."""
    place = served.folder / f"of-{count}"
    with SshServer(place / "store") as store:
        begun = time.monotonic()
        running = [
            subprocess.Popen(
                [*COMMAND, "relay", "run", "--selection-json", str(served.selection), "--relay-root",
                 str(place / f"relay-{index}"), "--shard", f"{index}/{count}", "--delete-after-transfer", *flags,
                 "--transfer-host", store.host, "--transfer-root", str(store.root), "--ssh-key", str(store.key),
                 "--known-hosts", str(store.known_hosts)],
                env=served.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for index in range(count)
        ]  # fmt: skip
        codes = [process.wait(600) for process in running]
        seconds = time.monotonic() - begun
    if any(codes):
        raise RuntimeError(f"{count} relays ended with {codes}")
    return seconds


def main() -> int:
    """Print the tables, or the check; 1 where the simulation is off by more than a quarter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    for name, value in (("hub-relay", 125.0), ("hub-total", 2500.0), ("store-relay", 56.0), ("store-total", 1000.0)):
        parser.add_argument(f"--{name}", type=float, default=value, help="MB/s")
    parser.add_argument("--hub-calls", type=int, default=5000, help="in five minutes, of all relays")
    parser.add_argument("--budget-gib", type=float, default=40.0, help="scratch of each relay")
    asked = parser.parse_args()
    if asked.check:
        with tempfile.TemporaryDirectory() as folder:
            return 0 if check(Path(folder)) else 1
    rates = Rates(
        *(1e6 * rate for rate in (asked.hub_relay, asked.hub_total, asked.store_relay, asked.store_total)),
        asked.hub_calls,
    )
    budget_bytes = int(asked.budget_gib * GIB)
    plan = with_estimated_sizes(read_selection(Path("xperience10m_128_episode_selection.json")))
    whole = whole_data_set(random.Random(7))
    files = tuple(SelectedFile(file.path, file.size_bytes, file.sha256) for file in whole.files)
    everything = Selection("org/name", "dataset", "0" * 40, files, (), "")
    for name, selection in (("128 episodes, 277.71 GiB", plan), ("12,102 episodes, sizes drawn", everything)):
        print("\n".join(table(name, selection, rates, budget_bytes)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
