"""The cluster's half of docs/tutorial.md: its commands, run as they stand there, and its values."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml
from ground import ROOT, Cluster

PAGE = ROOT / "docs" / "tutorial.md"
SECONDS = 360


def commands(*headings: str) -> str:
    """The indented blocks under these headings, in their order."""
    text = PAGE.read_text().partition("## In a cluster\n")[2]
    sections = dict(re.findall(r"^### (.+?)\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL))
    return "\n".join(
        line.strip() for heading in headings for line in sections[heading].splitlines() if line.startswith("    ")
    )


def start(cluster: Cluster, *headings: str) -> "subprocess.Popen[str]":
    """Begin with the commands under these headings; the first one that fails ends it."""
    path = os.pathsep.join((str(cluster.folder), str(Path(sys.executable).parent), os.environ["PATH"]))
    script = ["timeout", str(SECONDS), "bash", "-euo", "pipefail", "-c", commands(*headings)]
    return subprocess.Popen(
        script, cwd=ROOT, env=os.environ | {"KUBECONFIG": cluster.kubeconfig, "PATH": path}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def follow(cluster: Cluster, *headings: str) -> str:
    """Do what stands under these headings, to its end; what it printed."""
    return done(start(cluster, *headings))


def done(following: "subprocess.Popen[str]") -> str:
    """Wait for its end; what it printed."""
    printed, _ = following.communicate()
    assert following.returncode == 0, f"{following.returncode}: {printed}"
    return printed


def values(stage: str, *without: str) -> dict:
    """What the tutorial tells a stage, but for these."""
    told = yaml.safe_load((ROOT / "docs" / "tutorial" / f"{stage}.yaml").read_text())
    return {key: value for key, value in told.items() if key not in without}
