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
