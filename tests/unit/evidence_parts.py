"""Artefacts and data roots for the tests of prepare and gates."""

import json
from pathlib import Path

from typer.testing import CliRunner

from xperience.cli.main import app
from xperience.common.errors import XperienceError
from xperience.common.evidence import content_hash

DATA = Path(__file__).parents[1] / "data"
REAL = DATA / "xperience10m_128_episode_selection.json"
SIZES = json.loads((DATA / "xperience10m_128_sizes.json").read_text())


def call(*arguments, expect=0):
    """`xperience …` in this process; an error of ours comes out as one."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(done.exception, XperienceError):
        raise done.exception
    assert done.exit_code == expect, done.output
    return done.stdout


def write_evidence(path, schema, **fields):
    """An artefact of another stage, as that stage writes it."""
    document = {"schema": schema, "generated_at": "2026-01-01T00:00:00+00:00", "inputs": {}, **fields}
    document["content_sha256"] = content_hash(document)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return document["content_sha256"]


def judged(path, *, windows=True, actions=True, reason="slam is missing", frames=20, files=()):
    """An episode of probe or check evidence."""
    fit = {"windows": windows, "actions": actions}
    return {
        "path": path,
        "verdict": {
            "usable_for": [purpose for purpose, holds in fit.items() if holds],
            "good_for": [],
            "reasons": {purpose: [] if holds else [reason] for purpose, holds in fit.items()},
        },
        "facts": {"annotation": {"timeline": {"frames": frames}}},
        "files": dict(files),
    }


def write_probe(path, episodes, *, purposes=("windows", "actions"), repo_id="r/n", revision="0" * 40, **fields):
    """What `prepare probe` writes, as far as others read it."""
    about = {"repo_id": repo_id, "revision": revision, "purposes": list(purposes)}
    return write_evidence(path, "xperience.probe/1", **about, episodes=episodes, **fields)


def arrived(path, size_bytes, sha256):
    """A file of the transfer manifest."""
    return {
        "path": path, "size_bytes": size_bytes, "sha256": sha256, "sha256_from": "hub-lfs",
        "verified_how": "sha256 by the store",
    }  # fmt: skip


TOPICS = (
    ("Folding cardboard cartons", ("Fold carton", "Glue carton edge")),
    ("Stocking supermarket shelves", ("Place product", "Scan barcode")),
    ("Sorting screws and washers", ("Pick screw", "Drop screw in tray")),
    ("Cooking vegetable soup", ("Chop vegetable", "Stir soup")),
    ("Sewing a garment", ("Thread needle", "Cut fabric")),
    ("Cleaning dishes", ("Rinse dish", "Scrub dish")),
)


def caption_about(task, actions=("Pick up", "Put down"), subtask=None):
    """Caption JSON of one segment."""
    spans = [{"label": label, "description": "", "start_frame": 1, "end_frame": 9} for label in actions]
    segment = {
        "segment_id": 0, "start_frame": 1, "end_frame": 20, "Sub Task": subtask or f"{task} step by step",
        "Current Action": spans, "sampled_frames": {}, "objects": {"1": ["hand", task.split()[-1]]},
        "interaction": {"1": "The hand touches it."},
    }  # fmt: skip
    return json.dumps({"config": {"Main Task": task}, "segments": [segment], "global_summary": f"{task}."})


def captioned_root(root):
    """annotation.hdf5 with caption and device for each of the real 128 episodes, topics in turn within each split."""
    import h5py

    turns = {"train": 0, "val": 0, "test": 0}
    for episode in SIZES["episodes"]:
        turn = turns[episode["split"]]
        turns[episode["split"]] += 1
        task, actions = TOPICS[turn % len(TOPICS)]
        folder = root / episode["episode_path"]
        folder.mkdir(parents=True)
        with h5py.File(folder / "annotation.hdf5", "w") as file:
            file["caption"] = caption_about(task, actions)
            file["metadata/device_id"] = f"device-{turn % 5}"
            file["metadata/time_created"] = "2026-01-01T00:00:00"
