"""The episode reader on a real S3 server, with credentials that may read and no more."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from xperience.common.errors import BadDataError, RefusedError, UnavailableError, UsageError
from xperience.common.layout import ANNOTATION
from xperience.common.settings.store import StoreSettings
from xperience.episode.annotation import Annotation
from xperience.episode.captions import parse_caption, resolve_caption
from xperience.episode.ranged import RangedFile
from xperience.episode.video import read_header
from xperience.prepare.s3_file import S3File
from xperience.prepare.workers import Workers
from xperience.standin.episodes import write_episode
from xperience.store.opening import open_bucket

VIDEO = "stereo_left.mp4"


class Counting:
    """A source that counts what passes."""

    def __init__(self, source):
        self.source, self.size_bytes, self.read_bytes = source, source.size_bytes, 0

    def read_ranges(self, ranges):
        self.read_bytes += sum(stop - start for start, stop in ranges)
        return self.source.read_ranges(ranges)


@pytest.fixture(scope="module")
def episode(tmp_path_factory, s3):
    """Its folder on disk and its prefix at the store."""
    folder = tmp_path_factory.mktemp("s3-episode") / "session" / "ep1"
    write_episode(folder, frames=120, seed=4, depth_pixels=96)
    for name in (ANNOTATION, VIDEO):
        s3.client().put_object(Bucket=s3.bucket, Key=f"root/session/ep1/{name}", Body=(folder / name).read_bytes())
    return folder


@pytest.fixture
def bucket(s3, monkeypatch):
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it keeps the keys that it found first
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.reader_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.reader_secret)
    return open_bucket(StoreSettings(store=f"s3://{s3.bucket}/root", s3_endpoint=s3.endpoint))


@pytest.fixture
def fetching():
    with ThreadPoolExecutor(8) as pool:
        yield pool


def test_timeline_and_caption_are_read_by_ranges(episode, bucket, fetching):
    source = Counting(S3File(bucket, f"session/ep1/{ANNOTATION}", fetching))
    with Annotation.open(RangedFile(source)) as there, Annotation.open(episode / ANNOTATION) as here:
        timeline = there.timeline()
        assert (timeline.t_ns == here.timeline().t_ns).all()
        assert there.caption() == here.caption()
        spans = resolve_caption(parse_caption(there.caption()[1]), timeline)
        assert spans.actions
        assert (there.poses().world_from_body == here.poses().world_from_body).all()
    assert source.size_bytes == (episode / ANNOTATION).stat().st_size
    assert source.read_bytes < source.size_bytes / 10


def test_a_worker_looks_into_it_as_into_a_local_file(episode, bucket, fetching):
    with Workers(timeout_seconds=60, memory_bytes=640 << 20) as workers:
        there = workers.look_at_ranges(
            "annotation", S3File(bucket, f"session/ep1/{ANNOTATION}", fetching), lambda _name: None
        )
        here = workers.look_at_file("annotation", episode / ANNOTATION)
    assert (there.fault, there.annotation) == ("", here.annotation)
    assert read_header(RangedFile(S3File(bucket, f"session/ep1/{VIDEO}", fetching))) == read_header(episode / VIDEO)


def test_what_is_not_there_and_what_changed_meanwhile_are_errors(s3, bucket, fetching):
    with pytest.raises(BadDataError, match="not at the store"):
        S3File(bucket, "session/ep2/annotation.hdf5", fetching)
    client, key = s3.client(), "root/changing"
    client.put_object(Bucket=s3.bucket, Key=key, Body=b"a" * 1000)
    file = S3File(bucket, "changing", fetching)
    assert file.read_ranges([(0, 3), (998, 1000)]) == [b"aaa", b"aa"]
    client.put_object(Bucket=s3.bucket, Key=key, Body=b"b" * 1000)
    with pytest.raises(UnavailableError, match="PreconditionFailed"):
        file.read_ranges([(0, 3)])


def test_wrong_credentials_are_refused(s3, bucket, fetching, monkeypatch):
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    wrong = open_bucket(StoreSettings(store=f"s3://{s3.bucket}/root", s3_endpoint=s3.endpoint))
    with pytest.raises(RefusedError):
        S3File(wrong, f"session/ep1/{ANNOTATION}", fetching)


def test_a_store_that_is_no_s3_has_no_bucket():
    with pytest.raises(UsageError, match="not an S3 store"):
        open_bucket(StoreSettings(store="ssh://me@store/data"))
