import json
import sys

import pytest

from xperience.common.errors import ExitCode
from xperience.training import launch


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What the launcher would read."""
    place = tmp_path / "outcome.json"
    monkeypatch.setenv(launch.OUTCOME_FILE, str(place))
    return lambda: json.loads(place.read_text())


def test_a_worker_that_misses_another_one_does_not_hide_why_that_one_ended(told):
    launch.tell_outcome(exit_code=int(ExitCode.BAD_DATA), message="the clip is cut off")
    launch.tell_lost("lost another process of the run")
    assert told() == {"exit_code": 65, "message": "the clip is cut off"}


@pytest.mark.parametrize("before", [pytest.param(None, id="nothing-was-said"), pytest.param({"step": 9}, id="a-step")])
def test_a_worker_that_misses_another_one_says_so_where_none_has_failed(told, before):
    if before:
        launch.tell_outcome(**before)
    launch.tell_lost("lost another process of the run")
    assert told()["exit_code"] == launch.LOST


def test_a_launcher_whose_torchrun_is_killed_ends_with_its_signal(tmp_path, monkeypatch):
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    assert launch.launch(["worker"], processes=1) == (137, "a worker ended with 137")
