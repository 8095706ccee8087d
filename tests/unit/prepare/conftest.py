"""Real files: sparse ones of the real selection's sizes, and small synthetic episodes with their evidence."""

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xperience.cli.main import app
from xperience.common.errors import XperienceError

DATA = Path(__file__).parents[2] / "data"
REAL = DATA / "xperience10m_128_episode_selection.json"
SIZES = json.loads((DATA / "xperience10m_128_sizes.json").read_text())


@pytest.fixture(scope="session")
def sparse_root(tmp_path_factory):
    """The 896 real files by name and size, as holes."""
    root = tmp_path_factory.mktemp("real")
    for episode in SIZES["episodes"]:
        folder = root / episode["episode_path"]
        folder.mkdir(parents=True)
        for name, size in episode["files"].items():
            with (folder / name).open("wb") as handle:
                handle.truncate(size)
    return root


@pytest.fixture
def prepare():
    """`prepare(*arguments)` runs `xperience …` in this process; an error of ours comes out as one."""

    def call(*arguments, expect=0):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if isinstance(done.exception, XperienceError):
            raise done.exception
        assert done.exit_code == expect, done.output
        return done.stdout

    return call


def write_evidence(path, schema, **fields):
    """An artefact of another stage, as that stage writes it."""
    from xperience.common.evidence import canonical

    document = {"schema": schema, "generated_at": "2026-01-01T00:00:00+00:00", "inputs": {}, **fields}
    document["content_sha256"] = hashlib.sha256(canonical(document)).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return document["content_sha256"]
