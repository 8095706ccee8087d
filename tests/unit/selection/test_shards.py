from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xperience.common.errors import UsageError
from xperience.common.shards import Shard, shard_of
from xperience.selection.model import SelectedFile, Selection
from xperience.selection.plan_file import EMBEDDED, read_selection
from xperience.selection.shards import share_of


def test_the_real_selection_is_cut_into_shares_of_about_equal_bytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from pathlib import Path

    whole = read_selection(Path(EMBEDDED))
    for count in (2, 3, 8):
        shares = [share_of(whole, Shard(index, count)) for index in range(count)]
        assert sorted(episode.path for share in shares for episode in share.episodes) == sorted(
            episode.path for episode in whole.episodes
        )
        sizes = [share.size_bytes for share in shares]
        assert sum(sizes) == whole.size_bytes
        assert max(sizes) - min(sizes) < 0.03 * whole.size_bytes / count


@given(sizes=st.lists(st.integers(0, 10**9), min_size=1, max_size=40), count=st.integers(1, 9))
def test_every_file_is_in_exactly_one_share_and_no_share_is_far_from_the_mean(sizes, count):
    files = tuple(SelectedFile(f"f{number}", size) for number, size in enumerate(sizes))
    whole = Selection("o/n", "dataset", "0" * 40, files, (), "")
    shares = [share_of(whole, Shard(index, count)) for index in range(count)]
    assert sorted(file.path for share in shares for file in share.files) == sorted(file.path for file in files)
    assert max(share.size_bytes for share in shares) <= sum(sizes) / count + max(sizes)


def test_a_share_keeps_the_order_of_the_selection():
    files = tuple(SelectedFile(f"f{number}", number) for number in range(20))
    share = share_of(Selection("o/n", "dataset", "0" * 40, files, (), ""), Shard(1, 3))
    assert list(share.files) == sorted(share.files, key=lambda file: file.size_bytes)
    assert replace(share, files=files) == Selection("o/n", "dataset", "0" * 40, files, (), "")


@pytest.mark.parametrize("text", ["2/2", "1", "a/b", "-1/2", "0/0", "1/1"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(UsageError, match="no such shard"):
        shard_of(text, 1)


def test_a_shard_is_read_as_it_is_written():
    assert shard_of(Shard(3, 4).name, 1) == Shard(3, 4)
    assert shard_of("3", 4) == Shard(3, 4)
    assert shard_of("", 1) == shard_of("0", 1) == Shard(0, 1)
