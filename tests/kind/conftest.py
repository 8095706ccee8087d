"""The cluster of a session of tests: made, prepared, and down at the end."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ground import CANNOT, HERE, Cluster, prepare_ground, run, up


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The limit is the test's own: a node image that has to be built first takes its 20 minutes."""
    for item in items:
        item.add_marker(pytest.mark.timeout(400, func_only=True))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Up, with images loaded and the other ends running; down at the end. KEEP_CLUSTER=1 keeps it for the next run."""
    done = up()
    if done.returncode == CANNOT and not os.environ.get("CI"):
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr[-3000:]
    try:
        yield prepare_ground(Path(done.stdout.strip()))
    finally:
        if not os.environ.get("KEEP_CLUSTER"):
            run(HERE / "cluster", "down")
