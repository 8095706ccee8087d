import json
from types import SimpleNamespace

import pytest

from xperience.common.errors import RefusedError
from xperience.training import checkpoint


def second_rank(told):
    """Rank 1 of two on another host; rank 0 has `told` it."""

    def barrier():
        raise AssertionError("it waits for a rank that has gone on")

    return SimpleNamespace(rank=1, first=lambda _mine: told, barrier=barrier)


def test_a_rank_that_does_not_see_a_checkpoint_yet_takes_it_as_written_where_rank_0_does(tmp_path):
    folder = checkpoint.folder_of(tmp_path, 3)
    assert checkpoint.save(tmp_path, None, None, group=second_rank(told=True), progress={"step": 3}) == folder


def test_all_ranks_go_on_from_the_checkpoint_that_rank_0_sees(tmp_path):
    for step in (1, 2):
        checkpoint.folder_of(tmp_path, step).mkdir(parents=True)
        (checkpoint.folder_of(tmp_path, step) / checkpoint.MARKER).write_text(json.dumps({"fingerprint": "other"}))
    assert checkpoint.load(tmp_path, None, None, group=second_rank(told=None), fingerprint="f") is None
    with pytest.raises(RefusedError, match="step-0000001"):
        checkpoint.load(
            tmp_path, None, None, group=second_rank(told=checkpoint.folder_of(tmp_path, 1)), fingerprint="f"
        )
