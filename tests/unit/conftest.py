"""A data root of the real selection's sizes, and the command line in this process."""

import pytest
from evidence_parts import SIZES, call


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
def run():
    """`run(*arguments)` runs `xperience …` in this process; an error of ours comes out as one."""
    return call
