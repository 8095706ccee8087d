import errno
import os
import subprocess
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from xperience.common.errors import ConfigurationError, NoSpaceError
from xperience.common.identity import FileIdentity
from xperience.hub import ranges
from xperience.hub.ranges import RangedFile, bitmap_path, part_path, scratch_errors, write_all

IDENTITY = FileIdentity("a/b.bin", 1050, sha256="0" * 64)


def filled(destination, *marks):
    file = RangedFile(IDENTITY, destination, 100)
    for index in marks:
        file.write(bytes([index]) * 100, index * 100)
        file.mark(index)
    return file


def test_a_new_file_is_preallocated_and_misses_every_range(tmp_path):
    file = RangedFile(IDENTITY, tmp_path / "deep" / "b.bin", 100)
    assert file.missing() == list(range(11))
    assert file.bounds(10) == (1000, 1050)
    assert file.part.stat().st_size == 1050
    assert file.part.stat().st_blocks * 512 >= 1050


def test_folders_that_another_leg_removes_meanwhile_are_made_again(tmp_path):
    """The transfer leg removes folders that its releases left empty while the next files' downloads begin in them."""
    folder = tmp_path / "session" / "episode"
    ended = threading.Event()

    def remove():
        while not ended.wait(0.0001):
            for empty in (folder, folder.parent):
                with suppress(OSError):
                    empty.rmdir()

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        for _ in range(1000):
            RangedFile(IDENTITY, folder / "b.bin", 100).discard()
    finally:
        ended.set()
        remover.join()


def test_marked_ranges_are_adopted_with_their_bytes(tmp_path):
    filled(tmp_path / "b.bin", 0, 7).close()
    again = RangedFile(IDENTITY, tmp_path / "b.bin", 100)
    assert again.missing() == [1, 2, 3, 4, 5, 6, 8, 9, 10]
    assert again.part.read_bytes()[700:800] == b"\7" * 100


def test_an_adopted_pair_keeps_its_range_size(tmp_path):
    filled(tmp_path / "b.bin", 3).close()
    again = RangedFile(IDENTITY, tmp_path / "b.bin", 64)
    assert again.range_bytes == 100
    assert 3 not in again.missing()


@pytest.mark.parametrize(
    "identity",
    [
        pytest.param(replace(IDENTITY, sha256="1" * 64), id="hash"),
        pytest.param(replace(IDENTITY, size_bytes=1051), id="size"),
    ],
)
def test_a_changed_identity_starts_anew(tmp_path, identity):
    filled(tmp_path / "b.bin", 0, 1).close()
    again = RangedFile(identity, tmp_path / "b.bin", 100)
    assert again.missing() == list(range(11))
    assert again.part.read_bytes() == bytes(identity.size_bytes)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda part, bitmap: part.unlink(), id="part is gone"),
        pytest.param(lambda part, bitmap: os.truncate(part, 10), id="part is short"),
        pytest.param(lambda part, bitmap: bitmap.unlink(), id="bitmap is gone"),
        pytest.param(lambda part, bitmap: bitmap.write_bytes(b"\x00\xff"), id="bitmap is garbage"),
        pytest.param(lambda part, bitmap: bitmap.write_bytes(bitmap.read_bytes()[:-3]), id="bitmap is cut"),
    ],
)
def test_a_pair_that_does_not_fit_starts_anew(tmp_path, damage):
    filled(tmp_path / "b.bin", 0, 1).close()
    damage(part_path(tmp_path / "b.bin"), bitmap_path(tmp_path / "b.bin"))
    assert RangedFile(IDENTITY, tmp_path / "b.bin", 100).missing() == list(range(11))


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: only root can mount a small volume to fill it")
def test_a_volume_without_room_is_an_error_that_names_the_file_and_leaves_nothing(tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", tmp_path], check=True)
    try:
        with pytest.raises(NoSpaceError, match=r"b\.bin.*1\.00 MiB needed"):
            RangedFile(replace(IDENTITY, size_bytes=1 << 20), tmp_path / "b.bin", 100_000)
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_volume_that_fills_up_while_a_range_is_written_is_an_error_that_names_the_file():
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(NoSpaceError, match="some-file"), scratch_errors(Path("some-file")):
        write_all(descriptor, b"x", 0)
    os.close(descriptor)


def test_a_volume_without_preallocation_gets_a_file_of_the_size(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(ranges.os, "posix_fallocate", unsupported)
    assert RangedFile(IDENTITY, tmp_path / "b.bin", 100).part.stat().st_size == 1050


def test_a_refusal_of_the_volume_names_the_file(tmp_path):
    with pytest.raises(ConfigurationError, match="some-file"), scratch_errors(tmp_path / "some-file"):
        (tmp_path / "missing" / "some-file").touch()
