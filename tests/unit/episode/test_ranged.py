import io
import random

import av
import h5py
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xperience.common.layout import ANNOTATION
from xperience.episode.annotation import Annotation
from xperience.episode.ranged import RangedFile
from xperience.episode.video import read_header
from xperience.standin.episodes import write_episode


class Memory:
    """Bytes as a source that notes what it is asked for."""

    def __init__(self, content: bytes) -> None:
        self.content, self.size_bytes = content, len(content)
        self.calls: list[list[tuple[int, int]]] = []

    def read_ranges(self, ranges):
        self.calls.append(list(ranges))
        return [self.content[start:stop] for start, stop in ranges]

    @property
    def ranges(self):
        return [found for call in self.calls for found in call]


CONTENT = random.Random(1).randbytes(100_001)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 100_100), st.integers(0, 9000)), max_size=30),
    st.sampled_from([1024, 4096, 1 << 20]),
)
def test_a_ranged_file_reads_what_a_file_reads(reads, block_bytes):
    file, plain = RangedFile(Memory(CONTENT), block_bytes=block_bytes, cache_bytes=8 * block_bytes), io.BytesIO(CONTENT)
    for offset, count in reads:
        assert file.seek(offset) == plain.seek(offset)
        assert file.read(count) == plain.read(count)
        assert file.tell() == plain.tell()
    assert file.seek(-7, io.SEEK_END) == 99_994
    assert file.read() == CONTENT[-7:]


def test_a_block_is_fetched_once_and_reading_on_fetches_twice_as_much_each_time():
    source = Memory(CONTENT)
    file = RangedFile(source, block_bytes=1000)
    for _ in range(40):
        file.read(500)
    assert [stop - start for start, stop in source.ranges] == [1000, 2000, 4000, 8000, 16000]
    file.seek(0)
    file.read(20_000)
    assert len(source.calls) == 5


def test_one_long_read_is_one_request():
    source = Memory(CONTENT)
    file = RangedFile(source, block_bytes=1000)
    file.seek(10_500)
    assert file.read(30_000) == CONTENT[10_500:40_500]
    assert source.ranges == [(10_000, 41_000)]


def test_what_is_planned_is_fetched_in_one_call_neighbours_together():
    source = Memory(CONTENT)
    file = RangedFile(source, block_bytes=1000)
    file.plan([(100, 900), (1500, 2500), (90_000, 200_000)])
    assert source.calls == [[(0, 3000), (90_000, 100_001)]]
    file.seek(99_000)
    assert file.read() == CONTENT[99_000:]
    file.plan([(0, 3000)])
    assert len(source.calls) == 1


@pytest.fixture(scope="module")
def episode(tmp_path_factory):
    folder = tmp_path_factory.mktemp("episode")
    write_episode(folder, frames=60, seed=5)
    return folder


def test_hdf5_is_read_through_ranges(episode):
    source = Memory((episode / ANNOTATION).read_bytes())
    with Annotation.open(RangedFile(source)) as ranged, Annotation.open(episode / ANNOTATION) as plain:
        assert ranged.caption() == plain.caption()
        assert (ranged.timeline().t_ns == plain.timeline().t_ns).all()
        assert (ranged.poses().world_from_body == plain.poses().world_from_body).all()


def with_tables_first(path, target):
    """The same streams with `moov` before `mdat`, as a web server's files are."""
    with (
        av.open(str(path)) as source,
        av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as made,
    ):
        copies = {stream.index: made.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                made.mux(packet)


@pytest.mark.parametrize("tables", ["last", "first"])
def test_the_header_of_a_video_is_two_ranges_wherever_it_lies(episode, tmp_path, tables):
    path = episode / "fisheye_cam0.mp4"
    if tables == "first":
        with_tables_first(path, tmp_path / "first.mp4")
        path = tmp_path / "first.mp4"
    content = bytearray(path.read_bytes())
    box = content.index(b"mdat") - 4
    length = int.from_bytes(content[box : box + 4])
    content[box + length : box + length] = bytes(3_000_000)  # a video of some length: that is not to be fetched
    content[box : box + 4] = (length + 3_000_000).to_bytes(4)
    source = Memory(bytes(content))
    file = RangedFile(source)
    header = read_header(file)
    assert (header.frames, header.codec, header.width, header.audio_codec) == (60, "h264", 64, "aac")
    assert len(source.ranges) <= 2
    assert sum(stop - start for start, stop in source.ranges) < 100_000


def test_h5py_closes_a_ranged_file_that_is_no_hdf5():
    with pytest.raises(OSError, match="signature"):
        h5py.File(RangedFile(Memory(CONTENT)), "r")
