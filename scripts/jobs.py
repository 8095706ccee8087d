"""Write jobs/*.yaml, the charts' jobs as plain manifests; `--check` says whether they are what the charts render."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "jobs"

IMAGES = "images xperience/relay and xperience/rclone where the nodes find them (`make images`)"
PREPARE_IMAGE = "image xperience/prepare where the nodes find it (`make images`)"
TRAIN_IMAGE = "image xperience/train where the nodes find it (`make images IMAGES=train`)"
DATA = "claim training-data (ReadWriteMany), in it what jobs/prepare.yaml and the jobs after it wrote"
OPERATOR = "Kubeflow's training operator 1.9"
COSMOS = "claim models, in it the folder Cosmos3-Nano"
MODEL = "claim models, in it the folder Qwen3-Omni-30B-A3B-Instruct"
TOKEN = "kubectl create secret generic hub-token --from-file=token=$HF_TOKEN_PATH"
SSH_KEY = "kubectl create secret generic store-key --from-file=id_ed25519 --from-file=known_hosts"
SSH_STORE = "XPERIENCE_TRANSFER_HOST and _ROOT, host, user, port (the NetworkPolicy's too): those of your store"
S3_KEYS = "kubectl create secret generic NAME --from-env-file=FILE (AWS_ACCESS_KEY_ID=…, AWS_SECRET_ACCESS_KEY=…)"

HUB = {"tokenSecret": {"name": "hub-token"}}
SSH = {"ssh": {"host": "me@store.example", "root": "/data/xperience10m_128", "secret": "store-key"}}
S3 = {"s3": {"url": "s3://training/xperience10m_128", "writerSecret": "s3-writer", "readerSecret": "s3-reader"}}
TRAIN = {"data": {"claim": "training-data"}, "model": {"claim": "models"}}


@dataclass(frozen=True, slots=True)
class Manifest:
    """One file: its name, what it does, what it needs, and the chart's values."""

    name: str
    what: str
    needs: tuple[str, ...]
    values: dict[str, Any]
    chart: str = "relay"
    container: str = ""


MANIFESTS = (
    Manifest(
        "relay-ssh",
        "moves the 128 episodes from the hub through 48 GiB of scratch to an SSH store; run again, it goes on",
        (IMAGES, TOKEN, SSH_KEY, SSH_STORE),
        {"hub": HUB, "store": SSH},
    ),
    Manifest(
        "relay-s3",
        "moves the 128 episodes from the hub through 48 GiB of scratch to an S3 bucket; run again, it goes on",
        (
            IMAGES, TOKEN, f"{S3_KEYS}, twice:", "  s3-writer may write the prefix, s3-reader may HEAD and List it",
            "XPERIENCE_STORE, XPERIENCE_S3_…, provider, region, endpoint: those of your bucket",
        ),
        {"hub": HUB, "store": S3},
    ),
    Manifest(
        "relay-dry-run",
        "looks at token, gate, scratch and store, prints what relay-ssh would do, and moves nothing",
        (IMAGES, TOKEN, SSH_KEY, SSH_STORE),
        {"hub": HUB, "store": SSH, "scratch": {"ephemeral": True}, "settings": {"dry_run": True, "log_format": "text"}},
    ),
    Manifest(
        "prepare",
        "checks the 128 staged episodes, writes manifest and audit, evaluates the gates; fails where one does not pass",
        (PREPARE_IMAGE, "claim training-data, in it the data root xperience10m_128 that the relay filled"),
        {"data": {"claim": "training-data"}},
        chart="prepare",
    ),
    Manifest(
        "windows",
        "indexes the labelled windows of the usable episodes and decodes their frames and sound, eight pods at a time",
        (PREPARE_IMAGE, DATA),
        {"data": {"claim": "training-data"}},
        chart="windows",
    ),
    Manifest(
        "qwen3-omni-train",
        "trains the adapter on two hosts of eight GPUs, if the gates for train pass; run again, it goes on",
        (TRAIN_IMAGE, OPERATOR, DATA, MODEL),
        {**TRAIN, "trainer": {"workers": 2}},
        chart="qwen3-omni",
        container="pytorch",
    ),
    Manifest(
        "qwen3-omni-trainjob",
        "the same under Kubeflow Trainer v2",
        (TRAIN_IMAGE, "Kubeflow Trainer 2.1 with JobSet", DATA, MODEL),
        {**TRAIN, "trainer": {"workers": 2, "api": "trainjob"}},
        chart="qwen3-omni",
        container="node",
    ),
    Manifest(
        "qwen3-omni-evaluate",
        "answers the held-out windows with the base model and with the adapter, and reports both beside the baselines",
        (TRAIN_IMAGE, DATA, f"{MODEL}; the adapter of qwen3-omni-train"),
        {**TRAIN, "stage": "evaluate", "evaluate": {"shards": 8}, "gpu": {"count": 1}},
        chart="qwen3-omni",
        container="evaluate",
    ),
    Manifest(
        "cosmos3-nano-export",
        "writes the records of Cosmos3-Nano's four tasks, with clips and NVIDIA's own formats",
        (TRAIN_IMAGE, DATA),
        {"data": {"claim": "training-data"}, "stage": "export"},
        chart="cosmos3-nano",
        container="export",
    ),
    Manifest(
        "cosmos3-nano-compatibility",
        "checks those records with a tiny random model of Nano's architecture, on CPUs",
        (TRAIN_IMAGE, OPERATOR, f"{DATA}; the records of cosmos3-nano-export"),
        {"data": {"claim": "training-data"}},
        chart="cosmos3-nano",
        container="pytorch",
    ),
    Manifest(
        "cosmos3-nano-weights",
        "measures the weights of Cosmos3-Nano on one GPU (compatibility L1), after L0 on the tiny model",
        (TRAIN_IMAGE, OPERATOR, f"{DATA}; the records of cosmos3-nano-export",
         f"{COSMOS}; beside it Cosmos3-Nano.selection.json, what `select from-repo` wrote of it"),
        {"data": {"claim": "training-data"}, "model": {"claim": "models"}, "gpu": {"count": 1},
         "settings": {"level": "L1", "clips": 8, "selection": "/models/Cosmos3-Nano.selection.json"}},
        chart="cosmos3-nano",
        container="pytorch",
    ),
    Manifest(
        "cosmos3-nano-post-training",
        "post-trains Cosmos3-Nano on two hosts of eight GPUs, if evaluation, audit and compatibility passed",
        (TRAIN_IMAGE, OPERATOR, f"{DATA}; records, compatibility and evaluation", COSMOS),
        {"data": {"claim": "training-data"}, "model": {"claim": "models"}, "stage": "post-training",
         "trainer": {"workers": 2}, "gpu": {"count": 8}},
        chart="cosmos3-nano",
        container="pytorch",
    ),
)  # fmt: skip


def helm() -> Path:
    """The Helm program of scripts/helm."""
    environment = {**os.environ, "PYTHON": sys.executable}
    found = subprocess.run([ROOT / "scripts" / "helm"], env=environment, capture_output=True, text=True, check=True)
    return Path(found.stdout.strip()) / "helm"


def render(manifest: Manifest) -> str:
    """Header and objects; without Helm's own hook, source comments and label."""
    done = subprocess.run(
        [helm(), "template", manifest.name, ROOT / "charts" / manifest.chart, "--no-hooks", "--values", "-"],
        input=yaml.safe_dump(manifest.values), capture_output=True, text=True, check=True,
    )  # fmt: skip
    objects = [
        line.rstrip()
        for line in done.stdout.splitlines()
        if line.strip() and not line.startswith("# Source:") and "app.kubernetes.io/managed-by:" not in line
    ]
    path = f"jobs/{manifest.name}.yaml"
    pods = f"app.kubernetes.io/instance={manifest.name}"
    header = [
        f"What:   {manifest.what}.",
        *(f"{'Needs:' if number == 0 else '      '}  {need}" for number, need in enumerate(manifest.needs)),
        f"Apply:  kubectl apply -f {path}",
        f"Watch:  kubectl logs -f -l {pods} -c {manifest.container or manifest.chart}",
        f"Clean:  kubectl delete -f {path}",
        "",
        f"Made by `make jobs` from charts/{manifest.chart}.",
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in header) + "\n".join(objects) + "\n"


def main() -> int:
    """Write, or check."""
    stale = []
    for manifest in MANIFESTS:
        text, place = render(manifest), TARGET / f"{manifest.name}.yaml"
        if "--check" in sys.argv:
            if not place.exists() or place.read_text() != text:
                stale.append(place.name)
        else:
            place.write_text(text)
            print(f"wrote {place}")
    if stale:
        print(f"out of date: {', '.join(stale)}: run `make jobs`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
