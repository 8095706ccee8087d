"""Stages whose output has no room: exit 73 with the reason, and the same command goes on when there is."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[1] / "unit"), str(Path(__file__).parents[1] / "unit" / "windows")]

from full_volume import run_full_and_with_room  # noqa: E402  the unit tests have them
from staged import stage  # noqa: E402

LEFT_KIB = 32


@pytest.mark.parametrize(
    ("command", "output"),
    [
        pytest.param(["windows", "build", "--jobs", "1"], "--windows", id="windows"),
        pytest.param(["cosmos3-nano", "export"], "--records", id="cosmos3-nano"),
    ],
)
def test_a_full_volume_ends_a_stage_with_73_and_it_goes_on_when_there_is_room(tmp_path, command, output):
    staged = stage(tmp_path, splits=("train", "val"), frames=300)
    told, full, room = run_full_and_with_room(
        tmp_path / "volume", LEFT_KIB,
        [sys.executable, "-m", "xperience", *command, "--manifest-json", staged.manifest, output,
         tmp_path / "volume" / "output"],
    )  # fmt: skip
    assert (full, room) == (73, 0), told
    assert "No space left on device" in told and "Traceback" not in told
