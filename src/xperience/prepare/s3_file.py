"""A file at an S3 store as a source of ranges, for the episode reader: nothing is staged to look into it."""

from collections.abc import Sequence
from concurrent.futures import Executor

from xperience.common.errors import BadDataError
from xperience.episode.ranged import Range
from xperience.store.s3_bucket import S3Bucket


class S3File:
    """One object under the bucket's prefix, as it was when this was made; ranges are fetched at once by `fetching`.

    BadDataError where there is none. An object that is written anew meanwhile is an error, never a mixture.
    """

    def __init__(self, bucket: S3Bucket, path: str, fetching: Executor) -> None:
        head = bucket.ask("head_object", path, Key=bucket.key(path))
        if head is None:
            raise BadDataError("not at the store", where=f"{bucket.target}/{path}")
        self._bucket, self._path, self._fetching = bucket, path, fetching
        self._etag = str(head["ETag"])
        self.size_bytes = int(head["ContentLength"])

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """The bytes of each range, whole."""
        return list(self._fetching.map(lambda found: self._read(*found), ranges))

    def _read(self, start: int, stop: int) -> bytes:
        return self._bucket.read_range(self._path, start, stop, etag=self._etag)
