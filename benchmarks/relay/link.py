"""A slow link on one machine: two network namespaces that `link/tunlink.c` joins with a delay, a rate and loss.

Made for kernels without netem. Needs root, iproute2 and gcc; everything that it makes is gone when it closes. It ends
at some 230 MB/s itself.
"""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

RELAY_ADDRESS, STORE_ADDRESS = "10.9.0.1", "10.9.0.2"
CONGESTION = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
# The kernel's own defaults, said because a namespace may have others.
BUFFERS = {"tcp_rmem": "4096 131072 6291456", "tcp_wmem": "4096 16384 4194304", "tcp_no_metrics_save": "1"}


@dataclass(frozen=True, slots=True)
class LinkRules:
    """Round trip, rate, packets of a million that are lost, and TCP's congestion control."""

    rtt_ms: float
    mbit: float = 500.0
    loss_ppm: int = 0
    congestion: str = "cubic"

    @property
    def name(self) -> str:
        """For tables and file names."""
        loss = f" {self.loss_ppm / 10_000:g}%" if self.loss_ppm else ""
        return f"{self.rtt_ms:g} ms{loss}"

    @property
    def queue_kib(self) -> int:
        """One bandwidth-delay product, 512 KiB at least."""
        return max(512, int(self.mbit * 1e6 / 8 * self.rtt_ms / 1000 / 1024))


class Link:
    """The namespaces `relay` and `store` of this process while it is open."""

    def __init__(self, rules: LinkRules, folder: Path) -> None:
        self.rules, self.folder = rules, folder
        self.relay, self.store = f"xp-relay-{os.getpid()}", f"xp-store-{os.getpid()}"
        self._emulator: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        program = self.folder / "tunlink"
        source = Path(__file__).parent / "link" / "tunlink.c"
        subprocess.run(["gcc", "-O2", "-pthread", "-o", program, source], check=True)
        try:
            for name in (self.relay, self.store):
                _run("ip", "netns", "add", name)
                _run("ip", "-n", name, "link", "set", "lo", "up")
            self._emulator = subprocess.Popen(
                ["nice", "-n", "-20", program, self.relay, self.store, str(self.rules.rtt_ms / 2), str(self.rules.mbit),
                 str(self.rules.queue_kib), str(self.rules.loss_ppm)],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            assert self._emulator.stdout is not None
            ready = self._emulator.stdout.readline().strip()
            assert ready == b"ready", "tunlink did not start"
            for name, address in ((self.relay, RELAY_ADDRESS), (self.store, STORE_ADDRESS)):
                _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "wan0")
                _run("ip", "-n", name, "link", "set", "wan0", "mtu", "1500", "txqueuelen", "10000", "up")
                for setting, value in BUFFERS.items():
                    _set(name, setting, value)
            self._choose_congestion()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the emulator, delete the namespaces."""
        if self._emulator is not None:
            self._emulator.kill()
            self._emulator.wait()
        for name in (self.relay, self.store):
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)

    def _choose_congestion(self) -> None:
        """A namespace takes what the machine allows; the list is as before as soon as both have chosen."""
        wanted, allowed = self.rules.congestion, CONGESTION.read_text().strip()
        try:
            if wanted not in allowed.split():
                CONGESTION.write_text(f"{allowed} {wanted}")
            for name in (self.relay, self.store):
                _set(name, "tcp_congestion_control", wanted)
        finally:
            if CONGESTION.read_text().strip() != allowed:
                CONGESTION.write_text(allowed)

    def at_relay(self, *command: str) -> list[str]:
        """A command in the relay's namespace."""
        return ["ip", "netns", "exec", self.relay, *command]

    def at_store(self, *command: str) -> list[str]:
        """A command in the store's namespace."""
        return ["ip", "netns", "exec", self.store, *command]

    def iperf3(self, *, streams: int = 8, seconds: int = 15) -> float:
        """Bytes per second that arrive at the store, over so many streams."""
        server = subprocess.Popen(
            self.at_store("iperf3", "-s", "-1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            time.sleep(0.5)
            done = subprocess.run(
                self.at_relay("iperf3", "-c", STORE_ADDRESS, "-P", str(streams), "-t", str(seconds), "-J"),
                capture_output=True, text=True, check=True, timeout=seconds + 60,
            )  # fmt: skip
        finally:
            server.terminate()
            server.wait()
        return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]) / 8


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _set(namespace: str, setting: str, value: str) -> None:
    text = f'echo "{value}" > /proc/sys/net/ipv4/{setting}'
    _run("ip", "netns", "exec", namespace, "sh", "-c", text)
