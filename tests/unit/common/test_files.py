import hashlib
import subprocess
from pathlib import Path

import pytest

from xperience.common.files import (
    git_blob_sha1_of_file,
    replaced_folder,
    sha256_of_file,
    whole_lines,
    write_atomic,
)
from xperience.common.sizes import human_bytes, human_seconds


def test_an_atomic_write_leaves_the_whole_file_and_nothing_else(tmp_path):
    write_atomic(tmp_path / "deep" / "a.json", "one")
    write_atomic(tmp_path / "deep" / "a.json", "two")
    assert [path.read_text() for path in (tmp_path / "deep").iterdir()] == ["two"]


def test_a_failed_atomic_write_keeps_the_old_file(tmp_path):
    place = tmp_path / "a.json"
    write_atomic(place, "one")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(place, "\ud800")
    assert place.read_text() == "one"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize(("cut", "left"), [(False, b"one\ntwo\nthr"), (True, b"one\ntwo\n")])
def test_half_a_line_is_cut_off_without_writing_the_whole_ones_again(tmp_path, monkeypatch, cut, left):
    place = tmp_path / "answers.jsonl"
    place.write_bytes(b"one\ntwo\nthr")
    monkeypatch.delattr(Path, "write_bytes")
    assert whole_lines(place, cut=cut) == [b"one", b"two"]
    assert place.read_bytes() == left


def test_hashes_are_those_of_the_tools_that_everybody_uses(tmp_path):
    place = tmp_path / "a"
    place.write_bytes(b"some bytes\n" * 1000)
    git = subprocess.run(["git", "hash-object", place], capture_output=True, text=True, check=True)
    assert git_blob_sha1_of_file(place) == git.stdout.strip()
    assert sha256_of_file(place) == hashlib.sha256(place.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (298_189_759_263, "277.71 GiB"), (1 << 50, "1024.00 TiB")],
)
def test_sizes_read_as_the_plan_writes_them(count, text):
    assert human_bytes(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (61, "1:01"), (3600, "1:00:00"), (36061, "10:01:01")])
def test_durations_read_as_clocks(seconds, text):
    assert human_seconds(seconds) == text


def test_a_folder_is_replaced_when_it_is_whole_and_not_before(tmp_path):
    folder = tmp_path / "adapter"
    with replaced_folder(folder) as temporary:
        (temporary / "old").write_text("old")
    with pytest.raises(RuntimeError), replaced_folder(folder) as temporary:
        (temporary / "new").write_text("half")
        raise RuntimeError
    assert [place.name for place in folder.iterdir()] == ["old"]
    with replaced_folder(folder) as temporary:
        assert not list(temporary.iterdir())
        (temporary / "new").write_text("new")
    assert [place.name for place in tmp_path.iterdir()] == ["adapter"]
    assert [place.name for place in folder.iterdir()] == ["new"]
