"""Artefacts and data roots for the tests of prepare and gates."""

import hashlib
import json
from pathlib import Path

from xperience.common.evidence import canonical

DATA = Path(__file__).parents[1] / "data"
REAL = DATA / "xperience10m_128_episode_selection.json"
SIZES = json.loads((DATA / "xperience10m_128_sizes.json").read_text())


def write_evidence(path, schema, **fields):
    """An artefact of another stage, as that stage writes it."""
    document = {"schema": schema, "generated_at": "2026-01-01T00:00:00+00:00", "inputs": {}, **fields}
    document["content_sha256"] = hashlib.sha256(canonical(document)).hexdigest()
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
        "files": list(files),
    }
