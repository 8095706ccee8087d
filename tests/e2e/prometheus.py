"""Debian's Prometheus on loopback, for as long as a test runs."""

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

LABELS = {"namespace": "data", "pod": "demo-relay-1a2b3c4d-xyz12", "job": "relay"}  # as a PodMonitor gives them


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Prometheus:
    """Scrapes one target every second; rules are those of a PrometheusRule's `spec`."""

    def __init__(self, folder: Path, target: str, rules: dict) -> None:
        if not shutil.which("prometheus"):
            pytest.skip("prometheus is missing: install the Debian package prometheus")
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        self.config = folder / "prometheus.yaml"
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        scrape = {"job_name": "relay", "static_configs": [{"targets": [target], "labels": LABELS}]}
        self.config.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(folder / "rules.yaml")],
                    "scrape_configs": [scrape],
                }
            )
        )

    def __enter__(self) -> "Prometheus":
        log = (self.folder / "prometheus.log").open("w")
        self.process = subprocess.Popen(
            [
                "prometheus", f"--config.file={self.config}", f"--storage.tsdb.path={self.folder / 'tsdb'}",
                f"--web.listen-address={self.address}",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while not self._ready():
            assert self.process.poll() is None, (self.folder / "prometheus.log").read_text()
            assert time.monotonic() < deadline, "Prometheus does not answer"
            time.sleep(0.1)
        return self

    def _ready(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.url}/-/ready", timeout=1).status == 200
        except (urllib.error.URLError, TimeoutError):
            return False

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)
