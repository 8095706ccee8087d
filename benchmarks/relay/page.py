"""docs/benchmarks.md from the kept cells."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ways import Way

from xperience.common.files import write_atomic

HEAD = """# Benchmarks

Made by `make bench` from the cells in `benchmarks/relay/kept`; a cell that was not run says so.

Stand-in hub → relay → store over an emulated link of 500 Mbit/s (`benchmarks/relay/link`: two network namespaces and
a user-space emulator with delay, rate, a drop-tail queue of one bandwidth-delay product, and loss), TCP cubic, default
socket buffers, one machine. The share is that of iperf3 with 8 streams, measured just before over the same link. Peers
download first and send then; what they keep on purpose is deleted as their last step. *1 GiB*: the way was slower than
15 MB/s and carried no more than that. The relay has scratch for one batch (4.2 GiB), which both episodes are; its
transfer leg counts from the first file that could be sent. Hub, relay, link and store share the cores: while the hub
serves (with the lowest priority, since it stands for another machine) and the relay hashes, less is left for sending.
Compare cells of one make of processor.
"""
LEAST_LEG, LEAST_WHOLE = 0.90, 0.85  # of iperf3
COLUMNS = (
    "way", "wall s", "MB/s", "of iperf3", "transfer leg of iperf3", "CPU s/GiB", "peak MiB", "peak scratch GiB",
    "left behind", "verified at the far end", "measured",
)  # fmt: skip


def write_page(page: Path, kept: Path, names: Sequence[str], ways: Mapping[str, Way]) -> None:
    """One table per link, store and data, in the order of `names`."""
    documents = [json.loads(place.read_text()) for place in sorted(kept.glob("*.json"))]
    found = {document["cell"]: document for document in documents}
    text, heading = [HEAD, *goals(found, names)], ""
    for name in names:
        table, _, way = name.rpartition("/")
        if table != heading:
            heading = table
            link, store, data = table.split("/")
            what = "two episodes, 14 files at their real sizes" if data == "episodes" else "896 files of 4.8 MB"
            text.append(f"\n## {link}, {store.upper()}, {what}\n")
            text.append(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
        text.append(f"| {' | '.join(row(ways[way], found.get(name)))} |")
    for place in sorted(kept.glob("*.txt")):  # of `make bench-shards` and `bench-stages`; the first line is the command
        command, _, printed = place.read_text().partition("\n")
        text.append(f"\n## `{command}`\n\n```text\n{printed.strip()}\n```")
    machines = sorted(
        {
            f"* {d['processor']}, {d['cores']} cores, Linux {d['kernel']}, Python {d['python']}, {d['ssh']},"
            f" {d['rsync']}, {d['aria2c']}, {d['iperf3']}"
            for d in found.values()
        }
    )
    commands = sorted({f"* `{d['command']}`" for d in found.values()})
    text.append("\n## Machine and commands\n\n" + "\n".join([*machines, *commands] or ["Nothing is measured yet."]))
    write_atomic(page, "\n".join(text) + "\n")


def rate_of(figures: Mapping[str, Any]) -> float:
    """Bytes per second from the first step's start to the last one's end; 0 where it was not run."""
    return 0.0 if "not_run" in figures else float(figures["size_bytes"] / figures["wall_seconds"])


def whole_share(figures: Mapping[str, Any]) -> float:
    """End to end, of iperf3."""
    return rate_of(figures) / float(figures["iperf3_bytes_per_second"])


def leg_share(figures: Mapping[str, Any]) -> float:
    """The relay's transfer leg, of iperf3."""
    return float(figures["size_bytes"] / figures["leg_seconds"] / figures["iperf3_bytes_per_second"])


def goals(found: Mapping[str, dict[str, Any]], names: Sequence[str]) -> list[str]:
    """The relay against its goals and the fastest other way, table by table."""
    lines = [
        "## The relay against its goals\n",
        f"| link, store | transfer leg (goal {LEAST_LEG:.0%}) | end to end (goal {LEAST_WHOLE:.0%}) |"
        " fastest other way | beside the plan's settings |\n|---|---|---|---|---|",
    ]
    for name in (name for name in names if name.endswith("/episodes/relay")):
        table = name.rpartition("/")[0]
        measured = {
            n.rpartition("/")[2]: found[n]["figures"] for n in names if n.startswith(f"{table}/") and n in found
        }
        own = measured.pop("relay", {"not_run": ""})
        if "not_run" in own:
            continue
        leg, whole = leg_share(own), whole_share(own)
        others = {way: rate_of(figures) for way, figures in measured.items()}
        best = max(others, key=lambda way: others[way], default="")
        lines.append(
            f"| {table.removesuffix('/episodes').replace('/', ', ')} | {leg:.0%}{_mark(leg >= LEAST_LEG)} |"
            f" {whole:.0%}{_mark(whole >= LEAST_WHOLE)} |"
            + (f" {best}, {rate_of(own) / others[best]:.2f} × as fast |" if best and others[best] else " not_run |")
            + (f" {rate_of(own) / others['plan']:.1f} × as fast |" if others.get("plan") else " not_run |")
        )
    return lines


def _mark(met: bool) -> str:
    return "" if met else " (missed)"


def row(way: Way, document: dict[str, Any] | None) -> list[str]:
    """One line of a table."""
    figures = document["figures"] if document else {"not_run": "not measured yet"}
    if document is None or "not_run" in figures:
        return [way.title, *["-"] * (len(COLUMNS) - 2), f"not_run({figures['not_run'][:80]})".replace("\n", " ")]
    leg = f"{leg_share(figures):.0%}" if "leg_seconds" in figures else "-"
    reduced = " (1 GiB)" if figures.get("reduced") else ""
    reduced += f" (sizes × {document['size_scale']:g})" if document["size_scale"] != 1 else ""
    left = f"{figures['left_at_scratch_bytes'] / 2**20:.1f} MiB, {len(figures['left_at_store_files'])} files there"
    many = f", {figures['files'] / figures['wall_seconds']:.1f} files/s" if figures["files"] > 14 else ""
    return [
        way.title + reduced, f"{figures['wall_seconds']:.1f}",
        f"{rate_of(figures) / 1e6:.1f}{many}",
        f"{whole_share(figures):.0%}", leg, f"{figures['cpu_seconds'] / figures['size_bytes'] * 2**30:.1f}",
        str(figures["peak_rss_mib"]), f"{figures['peak_scratch_bytes'] / 2**30:.2f}", left,
        way.verified + ("" if figures["whole"] else ", and WRONG BYTES there"),
        f"{document['date']}, {document['processor'].split('(')[0].split()[0]}, load {document['load'][0]}",
    ]  # fmt: skip
