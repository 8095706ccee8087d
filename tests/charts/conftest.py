"""Render charts with the real Helm; look at what comes out as plain objects."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "charts"


@cache
def programs(major: str = "4") -> Path:
    """The folder with helm and kubectl."""
    found = subprocess.run(
        [ROOT / "scripts" / "helm", major], env={**os.environ, "PYTHON": sys.executable}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if found.returncode:
        pytest.skip(f"Helm cannot be had here: {found.stderr[-300:]}")
    return Path(found.stdout.strip())


def tool(name: str) -> str:
    """A program with a lock of its own (requirements/NAME.txt)."""
    found = subprocess.run([ROOT / "scripts" / "tool", name], cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"{name} cannot be had here: {found.stderr[-300:]}")
    return found.stdout.strip()


def helm(*arguments: str, values: dict | None = None, major: str = "4") -> subprocess.CompletedProcess:
    command = [str(programs(major) / "helm"), *arguments]
    if values is not None:
        command += ["--values", "-"]
    return subprocess.run(
        command,
        input=yaml.safe_dump(values) if values is not None else None,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


@cache
def _rendered(chart: str, values: str, kubernetes: str) -> str:
    done = subprocess.run(
        [
            str(programs() / "helm"), "template", "demo", str(CHARTS / chart), "--namespace", "data",
            "--kube-version", kubernetes, "--api-versions", "monitoring.coreos.com/v1", "--values", "-",
        ],
        input=values, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(chart: str, values: dict, kubernetes: str = "1.34.0") -> list[dict]:
    """Every object of a release, in the order in which Helm makes them."""
    return objects_of(_rendered(chart, yaml.safe_dump(values), kubernetes))


def objects_of(text: str) -> list[dict]:
    """The objects of a manifest, those of its lists too."""
    found = [item for item in yaml.safe_load_all(text) if item]
    return [each for item in found for each in (item["items"] if item["kind"] == "List" else [item])]


def refusal(chart: str, values: dict) -> str:
    """What Helm says where it refuses to render."""
    done = helm("template", "demo", str(CHARTS / chart), values=values)
    assert done.returncode != 0, "it rendered"
    return done.stderr


def scenarios(chart: str) -> list:
    paths = sorted((CHARTS / chart / "ci").glob("*-values.yaml"))
    return [pytest.param(yaml.safe_load(path.read_text()), id=path.stem.removesuffix("-values")) for path in paths]


def one(objects: list[dict], kind: str, name: str = "") -> dict:
    """The one object of a kind (with this in its name)."""
    (found,) = (item for item in objects if item["kind"] == kind and name in item["metadata"]["name"])
    return found


# Where the pods of a kind are.
PODS = {
    "Pod": lambda item: item,
    "Job": lambda item: item["spec"]["template"],
    "PyTorchJob": lambda item: item["spec"]["pytorchReplicaSpecs"]["Worker"]["template"],
    "TrainingRuntime": lambda item: item["spec"]["template"]["spec"]["replicatedJobs"][0]["template"]["spec"][
        "template"
    ],
}


def pods(objects: list[dict]) -> list[dict]:
    """Every pod template of a release."""
    found = [PODS[item["kind"]](item) for item in objects if item["kind"] in PODS]
    assert found
    return found


def validate(item: dict, kubernetes: str) -> None:
    """By the strict schema: Kubernetes' own, or the CRD's (made by scripts/crd_schemas.py)."""
    crd = ROOT / "tests" / "data" / "crds" / f"{item['kind'].lower()}.json"
    if crd.exists():
        jsonschema.validate(item, json.loads(crd.read_text())["schema"])
    else:
        kubernetes_validate.validate(item, kubernetes, strict=True)
