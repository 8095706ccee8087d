from pathlib import Path

import av
import pytest

from xperience.common.layout import VIDEOS
from xperience.episode.video import VideoError, read_content, read_header
from xperience.standin.episodes import Defect, write_episode
from xperience.standin.video import pad_video, write_video


@pytest.fixture(scope="module")
def episode(tmp_path_factory):
    folder = tmp_path_factory.mktemp("episode")
    write_episode(folder, frames=80, seed=7, defects=frozenset({Defect.SLOW_CLOCK}))
    return folder


def test_the_tables_and_the_packets_of_a_video_agree(episode):
    for name in VIDEOS:
        header, content = read_content(episode / name)
        assert header == read_header(episode / name)
        assert header.frames == content.frames == 80
        assert header.frames_per_second == pytest.approx(19.35, abs=0.01)
        assert header.duration_ms == pytest.approx(80 / 19.35 * 1000, abs=2)
        assert (header.audio_codec, header.audio_rate_hz) == ("aac", 16000)
        assert content.decoded_first > 0
        assert content.decoded_last > 0


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_video_that_lost_its_end_is_refused(episode, tmp_path, kept):
    whole = (episode / "stereo_left.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(VideoError):
        read_content(tmp_path / "cut.mp4")


def test_a_video_whose_first_pictures_are_gone_does_not_pass_by_its_tables(episode, tmp_path):
    content = bytearray((episode / "stereo_left.mp4").read_bytes())
    start = content.index(b"mdat") + 4
    content[start : start + 3000] = bytes(3000)
    (tmp_path / "hole.mp4").write_bytes(content)
    assert read_header(tmp_path / "hole.mp4").frames == 80
    with pytest.raises(VideoError, match="damaged"):
        read_content(tmp_path / "hole.mp4")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="no-bytes"),
        pytest.param(b"\x89HDF\r\n\x1a\n" + bytes(500), id="hdf5"),
        pytest.param(b"http://127.0.0.1/x.mp4\n", id="an-address"),
        pytest.param(b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", id="a-playlist"),
    ],
)
def test_what_is_no_mp4_is_refused_whatever_else_it_is(tmp_path, content):
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(VideoError):
        read_header(tmp_path / "x.mp4")


def test_little_of_a_video_is_read_to_count_its_packets(tmp_path):
    """The hash reads it whole already: 15 % more is what a look may read, first and last group of pictures included."""
    write_video(tmp_path / "thin.mp4", [frame / 20 for frame in range(3000)], seed=1)
    path = tmp_path / "wide.mp4"
    pad_video(tmp_path / "thin.mp4", path, 30_000_000)
    before = read_bytes()
    _, content = read_content(path)
    assert read_bytes() - before <= 0.2 * path.stat().st_size  # two groups of 250 pictures are a sixth of it
    assert (content.frames, content.decoded_first) == (3000, 250)


def read_bytes():
    return int(Path("/proc/self/io").read_text().split()[1])


def test_a_packet_that_ends_behind_the_file_is_damage(tmp_path):
    """The tables first, as a web server has them: a file that is cut still opens, and its header looks whole."""
    whole = tmp_path / "whole.mp4"
    write_video(tmp_path / "last.mp4", [frame / 20 for frame in range(300)], seed=1)
    with (
        av.open(str(tmp_path / "last.mp4")) as source,
        av.open(str(whole), "w", format="mp4", options={"movflags": "faststart"}) as made,
    ):
        copies = {stream.index: made.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                made.mux(packet)
    content = whole.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 2 // 3])
    assert read_header(tmp_path / "cut.mp4").frames == 300
    with pytest.raises(VideoError, match=r"packet \d+ ends at byte"):
        read_content(tmp_path / "cut.mp4")


def test_a_fragmented_video_is_counted_by_reading_it(tmp_path):
    write_video(tmp_path / "whole.mp4", [frame / 20 for frame in range(100)], seed=1, audio=False)
    options = {"movflags": "frag_keyframe+empty_moov"}
    with (
        av.open(str(tmp_path / "whole.mp4")) as source,
        av.open(str(tmp_path / "parts.mp4"), "w", format="mp4", options=options) as made,
    ):
        copy = made.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = copy
                made.mux(packet)
    header, content = read_content(tmp_path / "parts.mp4")
    assert (header.frames, content.frames) == (None, 100)
