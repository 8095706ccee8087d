"""Frames and sound of real MP4 files: which frame, which instant, what is heard, what is not there."""

import wave
from fractions import Fraction

import av
import numpy as np
import pytest
from staged import SPLITS, stage

from xperience.common.errors import BadDataError
from xperience.common.evidence import content_hash
from xperience.common.layout import VIDEOS
from xperience.episode.timeline import timeline_of
from xperience.standin.episodes import Defect
from xperience.windows.frames import Camera, stored_size
from xperience.windows.media import FRAMES, MARKER, build_media, finished, folder_of
from xperience.windows.reader import Media
from xperience.windows.recipe import CAMERAS, MediaRecipe
from xperience.windows.sound import HERTZ, read_sound, sound_of
from xperience.windows.source import read_sources

RECIPE = MediaRecipe(cameras=CAMERAS, rate_millihertz=2000, pixels=64, jpeg_scale=2)


def built(tmp_path, *defects, recipe=RECIPE, frames=130):
    """One episode's media: its facts, its source, the open reader."""
    staged = stage(tmp_path, *defects, splits=SPLITS[:1], frames=frames)
    episode = read_sources(staged.manifest, None).episodes[0]
    build_media(tmp_path / "out", episode, recipe)
    return staged.episodes[0], episode, Media(tmp_path / "out", f"media/{episode.path}")


def bar_of(picture):
    """Column where the stand-in's white bar begins: 3 pixels further in each frame."""
    bright = picture.astype(int).min(axis=2).mean(axis=0)
    return int(np.argmax([np.roll(bright, -column)[:4].sum() for column in range(len(bright))]))


@pytest.mark.parametrize(
    ("defects", "fps"), [((), 20.0), ((Defect.SLOW_CLOCK,), 19.35)], ids=["20 per second", "19.35 per second"]
)
def test_each_instant_shows_the_frame_nearest_to_it_of_every_camera(tmp_path, defects, fps):
    facts, _, media = built(tmp_path, *defects)
    assert media.marker.instants == int((facts.frames - 1) / fps * 2) + 1
    for instant in range(media.marker.instants):
        expected = round(instant * fps / 2 + 1e-9)
        assert media.grid.source[instant] == pytest.approx(expected, abs=0.51)
        shown = int(media.grid.source[instant])
        assert media.grid.t_ns[instant] == facts.timestamps_ns[shown]
    for camera in CAMERAS:
        pictures = media.frames(0, media.marker.instants, camera)
        assert pictures.shape == (media.marker.instants, 64, 64, 3)
        for instant, picture in enumerate(pictures):
            column = int(media.grid.source[instant]) * 3 % 64
            if column <= 60:  # at the edge the bar is cut
                assert abs(bar_of(picture) - column) <= 1, (camera, instant)


def test_the_colours_of_a_stored_frame_are_those_of_the_video(tmp_path):
    _, episode, media = built(tmp_path)
    with av.open(str(episode.video("stereo_left"))) as container:
        source = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    stored = media.frames(0, 1, "stereo_left")[0].astype(int)
    assert np.abs(stored[:, 10:] - source[:, 10:]).mean() < 4


@pytest.mark.parametrize(
    ("width", "height", "pixels", "expected"),
    [
        (512, 512, 256, (256, 256)), (1024, 768, 256, (256, 192)), (640, 480, 256, (256, 192)),
        (480, 640, 256, (192, 256)), (1920, 1080, 256, (256, 128)), (64, 4, 64, (64, 32)),
    ],
)  # fmt: skip
def test_sides_are_multiples_of_32(width, height, pixels, expected):
    assert stored_size(width, height, pixels) == expected


def test_the_same_episode_gives_the_same_bytes(tmp_path):
    _, episode, media = built(tmp_path)
    first = {name: (folder_of(tmp_path / "out", episode) / name).read_bytes() for name in media.marker.files}
    build_media(tmp_path / "again", episode, RECIPE)
    for name, content in first.items():
        assert (folder_of(tmp_path / "again", episode) / name).read_bytes() == content
    again = finished(tmp_path / "again", episode, RECIPE)
    assert content_hash(again.document()) == content_hash(media.marker.document())


def test_only_the_cameras_asked_for_are_decoded(tmp_path):
    recipe = RECIPE.model_copy(update={"cameras": ("fisheye_cam1", "stereo_left")})
    _, _episode, media = built(tmp_path, recipe=recipe)
    assert media.cameras == ("fisheye_cam1", "stereo_left")
    assert [len(instant) for instant in media.jpegs(2, 3)] == [2, 2, 2]
    assert media.marker.sound.camera == "fisheye_cam1"
    assert set(media.marker.inputs) == {"annotation.hdf5", "fisheye_cam1.mp4", "stereo_left.mp4"}
    with pytest.raises(BadDataError, match="no such instants"):
        media.jpegs(media.marker.instants - 1, 2)


def test_media_are_finished_only_with_their_marker_their_files_and_their_recipe(tmp_path):
    _, episode, media = built(tmp_path)
    output, folder = tmp_path / "out", folder_of(tmp_path / "out", episode)
    assert finished(output, episode, RECIPE) == media.marker
    assert finished(output, episode, RECIPE.model_copy(update={"jpeg_scale": 3})) is None
    other = episode.model_copy(update={"identity": episode.identity | {"stereo_left.mp4": "0" * 64}})
    assert finished(output, other, RECIPE) is None
    content = (folder / FRAMES).read_bytes()
    (folder / FRAMES).write_bytes(content[:-1])
    assert finished(output, episode, RECIPE) is None
    (folder / FRAMES).write_bytes(content)
    assert finished(output, episode, RECIPE) is not None
    (folder / MARKER).unlink()
    assert finished(output, episode, RECIPE) is None


def test_a_video_one_frame_short_ends_with_its_last_picture_and_two_short_is_an_error(tmp_path):
    _, episode, _ = built(tmp_path)
    camera = Camera("stereo_left", episode.video("stereo_left"), 64, 2)
    wanted = np.array([0, 129, 130])
    pictures = list(camera.pictures(wanted, 131))
    assert len(pictures) == 3
    assert pictures[1] == pictures[2]
    with pytest.raises(BadDataError, match="130 frames decoded, 132 on the timeline"):
        list(Camera("stereo_left", episode.video("stereo_left"), 64, 2).pictures(np.array([0, 131]), 132))


def test_a_video_that_is_none_is_named(tmp_path):
    staged = stage(tmp_path, Defect.EMPTY_VIDEO, splits=SPLITS[:1])
    with pytest.raises(BadDataError, match=r"stereo_left\.mp4"):
        build_media(tmp_path / "out", read_sources(staged.manifest, None).episodes[0], RECIPE)


def test_a_file_of_another_size_than_the_manifest_says_is_refused_before_decoding(tmp_path):
    staged = stage(tmp_path, splits=SPLITS[:1])
    episode = read_sources(staged.manifest, None).episodes[0]
    with episode.video("fisheye_cam2").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BadDataError, match="a file is not the manifest's"):
        build_media(tmp_path / "out", episode, RECIPE)


# Sound


def tone_hertz(samples):
    """The loudest frequency."""
    spectrum = np.abs(np.fft.rfft(samples.astype(float) * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * HERTZ / len(samples)


def test_sound_is_16_khz_mono_and_a_window_hears_its_tone(tmp_path):
    facts, episode, media = built(tmp_path)
    assert media.marker.sound.status == "sound"
    with wave.open(str(folder_of(tmp_path / "out", episode) / "audio.wav")) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (HERTZ, 1, 2)
        assert reader.getnframes() == media.marker.sound.samples
    timeline = timeline_of(np.array(facts.timestamps_ns))
    first, stop = media.sound_range(timeline, 2, 4)
    assert (first, stop) == (pytest.approx(HERTZ, abs=2), pytest.approx(3 * HERTZ, abs=2))
    seed = 1 * 10  # of the first camera of the first episode
    assert tone_hertz(media.waveform(first, stop - first)) == pytest.approx(220 + seed % 7 * 40, abs=2)
    assert sound_of(media.marker.sound, media.samples, first, stop) == ("sound", pytest.approx(-23, abs=0.5))


def test_sound_stays_beside_its_frames_where_the_containers_clock_is_not_the_devices(tmp_path):
    facts, _, media = built(tmp_path)
    # The device says that the frames took 5 % longer than the container does.
    slow = np.array(facts.timestamps_ns[0] + (np.array(facts.timestamps_ns) - facts.timestamps_ns[0]) * 21 // 20)
    first, stop = media.sound_range(timeline_of(slow), 8, 2)
    assert first == pytest.approx(4.0 / 1.05 * HERTZ, abs=2)
    assert stop == pytest.approx(5.0 / 1.05 * HERTZ, abs=2)


def test_without_an_audio_stream_sound_is_absent_and_no_file_is_there(tmp_path):
    _, episode, media = built(tmp_path, Defect.NO_AUDIO)
    assert media.marker.sound.status == "absent"
    assert not (folder_of(tmp_path / "out", episode) / "audio.wav").exists()
    assert len(media.samples) == 0
    assert sound_of(media.marker.sound, media.samples, 0, HERTZ) == ("absent", None)


def write_sound(path, pieces, *, seconds=4.0):
    """A 64-pixel video of 20 frames per second with tones (start, length, amplitude) in seconds at 48 kHz stereo."""
    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=20)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=48000, layout="stereo")
        for _ in range(round(seconds * 20)):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            for packet in video.encode(picture):
                container.mux(packet)
        for start, length, amplitude in pieces:
            for block in range(round(length * 48000 / 1024)):
                ticks = np.arange(1024) + block * 1024
                tone = np.tile(amplitude * np.sin(2 * np.pi * 440 * ticks / 48000), (2, 1)).astype(np.float32)
                frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="stereo")
                frame.sample_rate, frame.time_base = 48000, Fraction(1, 48000)
                frame.pts = round(start * 48000) + block * 1024
                container.mux(sound.encode(frame))
        for stream in (video, sound):
            container.mux(stream.encode(None))
    return read_sound([("fisheye_cam0", path)], np.arange(round(seconds * 20)) * 50_000_000)


def test_silence_is_said_and_is_not_absence(tmp_path):
    sound = write_sound(tmp_path / VIDEOS[0], [(0, 4, 0.0)])
    assert sound.facts.status == "silent"
    assert sound_of(sound.facts, sound.samples, 0, HERTZ)[0] == "silent"


def test_a_hole_in_the_sound_is_said_and_what_follows_keeps_its_place(tmp_path):
    sound = write_sound(tmp_path / VIDEOS[0], [(0, 1, 0.1), (3, 1, 0.1)])
    assert sound.facts.status == "sound"
    assert len(sound.facts.runs) == 2
    assert sound.facts.runs[1][0] == pytest.approx(3 * HERTZ, abs=HERTZ * 0.07)
    heard = [
        sound_of(sound.facts, sound.samples, round(s * HERTZ), round((s + 0.5) * HERTZ))[0] for s in (0.2, 1.5, 3.3)
    ]
    assert heard == ["sound", "absent", "sound"]
    assert sound_of(sound.facts, sound.samples, round(0.8 * HERTZ), round(1.8 * HERTZ))[0] == "partial"


def test_sound_that_begins_late_is_absent_before(tmp_path):
    sound = write_sound(tmp_path / VIDEOS[0], [(2, 2, 0.1)])
    assert sound_of(sound.facts, sound.samples, 0, HERTZ)[0] == "absent"
    assert sound_of(sound.facts, sound.samples, round(2.2 * HERTZ), 3 * HERTZ)[0] == "sound"


def test_sound_that_breaks_off_is_damaged_and_absent_from_there_on(tmp_path):
    video = tmp_path / VIDEOS[0]
    write_sound(video, [(0, 4, 0.1)])
    with av.open(str(video)) as container:
        late = [entry for entry in container.streams.audio[0].index_entries if entry.timestamp > 2 * 48000]
    content = bytearray(video.read_bytes())
    for entry in late:
        content[entry.pos : entry.pos + entry.size] = b"\xff" * entry.size
    video.write_bytes(content)
    sound = read_sound([("fisheye_cam0", video)], np.arange(80) * 50_000_000)
    assert (sound.facts.status, len(sound.sample_of_frame)) == ("damaged", 80)
    assert len(sound.samples) == pytest.approx(4 * HERTZ, abs=2)
    heard = [sound_of(sound.facts, sound.samples, s * HERTZ, s * HERTZ + HERTZ // 2)[0] for s in (1, 3)]
    assert heard == ["sound", "absent"]


def test_sound_that_nobody_here_can_decode_is_damaged_and_the_frames_stay(tmp_path):
    video = tmp_path / VIDEOS[0]
    write_sound(video, [(0, 4, 0.1)])
    before, tables, after = video.read_bytes().partition(b"esds")
    other = after.replace(b"\x40\x15", b"\xfe\x15", 1)  # the object type: AAC no more
    video.write_bytes(before.replace(b"mp4a", b"zzzz") + tables + other)
    sound = read_sound([("fisheye_cam0", video)], np.arange(80) * 50_000_000)
    assert (sound.facts.status, sound.facts.codec, sound.facts.fault) == ("damaged", "unknown", "no decoder for it")
    assert len(sound.sample_of_frame) == 80
    assert sound_of(sound.facts, sound.samples, 0, HERTZ) == ("absent", None)


def test_the_first_camera_that_has_sound_gives_it(tmp_path):
    _, episode, _ = built(tmp_path)
    mute = tmp_path / "mute.mp4"
    with av.open(str(episode.video("stereo_left"))) as source, av.open(str(mute), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    found = read_sound([("a", mute), ("b", episode.video("stereo_left"))], np.arange(130) * 50_000_000)
    assert found.facts.camera == "b"
    assert found.facts.status == "sound"
