"""Relay and peers over an emulated link: `make bench`; goes on where it stopped, writes docs/benchmarks.md.

    python benchmarks/relay/run.py                                     # every cell that is not kept yet: hours
    python benchmarks/relay/run.py --cells '200 ms/ssh/*' --size-scale 0.05
    python benchmarks/relay/run.py --page-only                         # the page from the cells that are kept

A cell is LINK/STORE/DATA/WAY. iperf3 is measured before each. At 200 ms a peer first carries 1 GiB; under 15 MB/s that
is its figure. A way whose programs are missing is `not_run` with the reason. Needs root.
"""

import argparse
import fnmatch
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from link import Link, LinkRules
from page import leg_share, rate_of, whole_share, write_page
from ways import WAYS, tool_path

from xperience.common.files import write_atomic
from xperience.common.layout import TRAINING_FILES
from xperience.selection.plan_file import read_selection

LINKS = (LinkRules(1), LinkRules(40), LinkRules(200), LinkRules(200, loss_ppm=100))
SMALL_FILES, SMALL_BYTES = 896, 4_800_000
SLOW_BYTES_PER_SECOND = 15e6
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of the tables."""

    link: LinkRules
    store: str
    data: str
    way: str

    @property
    def name(self) -> str:
        """LINK/STORE/DATA/WAY."""
        return f"{self.link.name}/{self.store}/{self.data}/{self.way}"


def cells() -> Iterator[Cell]:
    """All of them, table by table."""
    for link in LINKS:
        for store in ("ssh", "s3"):
            for way, about in WAYS.items():
                if store in about.stores:
                    yield Cell(link, store, "episodes", way)
    for store in ("ssh", "s3"):
        for way in ("relay", "rclone8", "rsync"):
            if store in WAYS[way].stores:
                yield Cell(LINKS[2], store, "small", way)


def files_of(data: str, scale: float) -> dict[str, int]:
    """Path to size: the first two episodes of the real selection, or 896 files of 4.8 MB; `scale` shrinks each file
    of the first, and the number of the second."""
    if data == "small":
        return {f"s{n:03}/ep1/file.bin": SMALL_BYTES for n in range(max(8, round(SMALL_FILES * scale)))}
    found = {}
    for episode in read_selection(Path("xperience10m_128_episode_selection.json")).episodes[:2]:
        video = episode.video_bytes // 6
        for name in TRAINING_FILES:
            size = episode.annotation_bytes if name == TRAINING_FILES[0] else video
            found[f"{episode.path}/{name}"] = max(1, int(size * scale))
    return found


def measure(cell: Cell, folder: Path, *, scale: float, budget_gib: float, iperf_seconds: int) -> dict[str, Any]:
    """Run one cell over a link of its own, iperf3 first."""
    files = files_of(cell.data, scale)
    with Link(cell.link, folder / "link") as link:
        ceiling = link.iperf3(seconds=iperf_seconds)
        specification = {
            "folder": str(folder), "relay": link.relay, "store": cell.store, "way": cell.way, "files": files,
            "budget_gib": budget_gib,
        }  # fmt: skip
        done = subprocess.run(
            link.at_store(sys.executable, str(HERE / "cell.py")), input=json.dumps(specification), text=True,
            capture_output=True, env={**os.environ, "PATH": tool_path()}, check=False,
        )  # fmt: skip
    if done.returncode:
        return {"not_run": f"failed: {done.stderr.strip()[-600:]}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"iperf3_bytes_per_second": round(ceiling), **found}


def measured(cell: Cell, folder: Path, scale: float, options: dict[str, Any]) -> dict[str, Any]:
    """The cell's figures; a peer on a long way carries 1 GiB first."""
    missing = WAYS[cell.way].missing() if cell.way != "s5cmd" or not has_s5cmd() else []
    if missing:
        return {"not_run": f"{', '.join(missing)} not installed"}
    total = sum(files_of(cell.data, scale).values())
    first = min(1.0, (1 << 30) / total)
    if cell.way != "relay" and cell.link.rtt_ms >= 200 and first < 1:
        found = measure(cell, folder, scale=scale * first, **options)
        if rate_of(found) < SLOW_BYTES_PER_SECOND:
            return {**found, "reduced": True}
    return measure(cell, folder, scale=scale, **options)


def has_s5cmd() -> bool:
    """It may lie where `make bench-tools` puts it, which is not on PATH."""
    return Path("~/.cache/xperience/bin/s5cmd").expanduser().exists()


def machine() -> dict[str, Any]:
    """Where and with what this was measured."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]

    def version(*command: str) -> str:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return "missing"
        return (done.stdout or done.stderr).splitlines()[0].strip()

    return {
        "processor": (models or [platform.machine()])[0], "cores": os.cpu_count(), "kernel": platform.release(),
        "python": platform.python_version(),
        "ssh": version("ssh", "-V"), "rsync": version("rsync", "--version"), "iperf3": version("iperf3", "--version"),
        "aria2c": version("aria2c", "--version"), "load": [round(value, 1) for value in os.getloadavg()],
        "date": time.strftime("%Y-%m-%d %H:%M"),
    }  # fmt: skip


def main() -> int:
    """Measure what is asked for and not kept; 1 where a cell failed."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))  # the link goes with it
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="*", help="pattern of LINK/STORE/DATA/WAY")
    parser.add_argument("--size-scale", type=float, default=1.0, help="share of the real sizes")
    parser.add_argument("--kept", type=Path, default=Path("benchmarks/relay/kept"), help="folder of the kept cells")
    parser.add_argument("--folder", type=Path, default=Path("build/benchmark-relay"), help="scratch and store")
    parser.add_argument("--budget-gib", type=float, default=4.2, help="the relay's --scratch-budget-gib")
    parser.add_argument("--iperf-seconds", type=int, default=20)
    parser.add_argument("--again", action="store_true", help="measure cells that are kept, too")
    parser.add_argument("--list", action="store_true", help="print the cells' names")
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    parser.add_argument("--page-only", action="store_true", help="write the page from what is kept")
    asked = parser.parse_args()
    chosen = [cell for cell in cells() if fnmatch.fnmatch(cell.name, asked.cells)]
    if asked.list:
        print("\n".join(cell.name for cell in chosen))
        return 0
    failed = 0
    folder = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    asked.kept.mkdir(parents=True, exist_ok=True)
    options = {"budget_gib": asked.budget_gib, "iperf_seconds": asked.iperf_seconds}
    for cell in () if asked.page_only else chosen:
        place = asked.kept / f"{cell.name.replace('/', '_').replace(' ', '-')}.json"
        if place.exists() and not asked.again and "not_run" not in json.loads(place.read_text())["figures"]:
            continue
        about = {"cell": cell.name, "size_scale": asked.size_scale, "command": " ".join(sys.argv), **machine()}
        figures = measured(cell, folder, asked.size_scale, options)
        write_atomic(place, json.dumps({**about, "figures": figures}, indent=1) + "\n")
        failed += str(figures.get("not_run", "")).startswith("failed")
        print(cell.name, one_line(figures), flush=True)
    if asked.size_scale == 1.0:
        write_page(asked.page, asked.kept, [cell.name for cell in cells()], WAYS)
    return 1 if failed else 0


def one_line(figures: dict[str, Any]) -> str:
    """For the terminal."""
    if "not_run" in figures:
        return f"not_run({figures['not_run']})"
    leg = f", leg {leg_share(figures):.0%}" if "leg_seconds" in figures else ""
    return (
        f"{figures['wall_seconds']:.1f} s, {rate_of(figures) / 1e6:.1f} MB/s, {whole_share(figures):.0%} of"
        f" {figures['iperf3_bytes_per_second'] / 1e6:.1f}{leg},"
        f" {figures['cpu_seconds'] / figures['size_bytes'] * 2**30:.1f} CPU s/GiB, {figures['peak_rss_mib']} MiB,"
        f" scratch {figures['peak_scratch_bytes'] / 2**30:.2f} GiB, {'whole' if figures['whole'] else 'NOT WHOLE'}"
    )


if __name__ == "__main__":
    sys.exit(main())
