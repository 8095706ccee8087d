"""S3 destinations: rclone sends, the object's own ETag proves the bytes."""

import base64
import hashlib
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from xperience.common.checks import Check
from xperience.common.errors import BadDataError, RefusedError, XperienceError
from xperience.common.log import get_log
from xperience.store.base import Expected, Verified
from xperience.store.mover import Mover, expected_matches, leftovers, probe_name
from xperience.store.rc import Rc
from xperience.store.s3_bucket import S3Bucket, S3Target

LEAST_PART_BYTES = 5 << 20  # S3's own


def s3_config(target: S3Target, *, provider: str, threshold_bytes: int, part_bytes: int) -> str:
    """rclone.conf of the destination; the keys come from the environment.

    Backend concurrency is 1, so that the streams of a copyfile call are its connections; `upload_cutoff` equals the
    multi-thread cutoff, so that size alone says whether an object is multipart, whatever the streams. Without
    `disable_checksum` rclone reads a large file whole for an md5 in its metadata, before it sends the first part.
    """
    endpoint = f"endpoint = {target.endpoint}\n" if target.endpoint else ""
    return (
        f"[store]\ntype = s3\nprovider = {provider}\nenv_auth = true\nregion = {target.region}\n{endpoint}"
        f"upload_concurrency = 1\nchunk_size = {part_bytes}B\nupload_cutoff = {threshold_bytes}B\n"
        "no_check_bucket = true\nleave_parts_on_error = false\ndisable_checksum = true\n"
    )


class S3Store(Mover):
    """A prefix of a bucket; boto3 asks for HEAD and lists uploads, with credentials that may be read-only."""

    kind = "s3"

    def __init__(
        self, rc: Rc, remote: str, target: S3Target, scratch: Path, *, threshold_bytes: int, part_bytes: int
    ) -> None:
        root = f"{remote.rstrip(':')}:{target.bucket}/{target.prefix}".rstrip("/")
        super().__init__(rc, root, str(target), scratch, threshold_bytes=threshold_bytes, chunk_bytes=part_bytes)
        self.part_bytes = part_bytes
        self._bucket = S3Bucket(target)

    def reach(self, _sharers: int = 1) -> float:
        """Bucket and credentials."""
        self._bucket.ask("head_bucket")
        return 0.0

    def open_connections(self, _count: int, _folder: str, _opened: Callable[[], None]) -> None:
        """None: what needs no login is opened in no time."""

    def settle(self) -> None:
        """Nothing: an ETag says by itself what it is."""

    def _head(self, path: str, **parameters: Any) -> dict[str, Any] | None:
        return self._bucket.ask("head_object", path, Key=self._bucket.key(path), **parameters)

    def verify(self, path: str, expected: Expected) -> Verified | None:
        """The ETag against the md5s of the read that matched the hub's; else a server-side sha256; else read back.

        That read had the md5 of the kind of upload that was to come; an rclone set up by others may choose the other.
        """
        head = self._head(path)
        if head is None or head["ContentLength"] != expected.size_bytes:
            return None
        if not _etag_is_md5(head) or (expected.multipart_etag if "-" in _etag(head) else expected.md5) is None:
            return self._prove_otherwise(path, expected.sha256, expected.size_bytes)
        how = expected_matches(_etag(head), expected)
        return self._verified(how, head, expected.part_bytes) if how else None

    def verify_recorded(self, path: str, sha256: str, size_bytes: int, recorded: Verified) -> bool:
        """Size and ETag as recorded; a recorded version's own where the bucket keeps versions."""
        versioned = {"VersionId": recorded.version_id} if recorded.version_id else {}
        head = self._head(path, **versioned)
        if head is None or head["ContentLength"] != size_bytes:
            return False
        if recorded.how.startswith("s3:etag"):
            newest = self._head(path) if versioned else head
            return _etag(head) == recorded.etag and newest is not None and _etag(newest) == recorded.etag
        return self._prove_otherwise(path, sha256, size_bytes) is not None

    def adopt(self, path: str, sha256: str, size_bytes: int) -> Verified | None:
        """Bytes of unknown history: a server-side sha256 where there is one, else read back; then the ETag is kept."""
        return self._prove_otherwise(path, sha256, size_bytes)

    def _prove_otherwise(self, path: str, sha256: str, size_bytes: int) -> Verified | None:
        head = self._head(path, ChecksumMode="ENABLED")
        if head is None or head["ContentLength"] != size_bytes:
            return None
        if head.get("ChecksumSHA256") and head.get("ChecksumType") == "FULL_OBJECT":
            same = head["ChecksumSHA256"] == _base64(sha256)
            return self._verified("s3:checksum-sha256", head) if same else None
        if self.read_back(path, sha256, size_bytes) is None:
            return None
        how = "s3:etag-after-read-back" if _etag_is_md5(head) else "read-back sha256"
        return self._verified(how, head)

    def _verified(self, how: str, head: dict[str, Any], part_bytes: int | None = None) -> Verified:
        return Verified(how, _etag(head), part_bytes if "-" in _etag(head) else None, head.get("VersionId"))

    def free_bytes(self) -> int | None:
        """S3 has no end."""
        return None

    def clean_leftovers(self, paths: Collection[str], listing: Iterable[str] | None = None) -> list[str]:
        """Abort unfinished multipart uploads of these files, where the credentials may; delete forgotten probes."""
        keys = {self._bucket.key(path) for path in paths}
        aborted = leftovers(self.listing(recurse=False) if listing is None else listing, ())
        for path in aborted:
            self.delete(path)
        try:
            for key, upload_id in self._bucket.uploads():
                if key in keys:
                    self._bucket.ask("abort_multipart_upload", key, Key=key, UploadId=upload_id)
                    aborted.append(key)
        except RefusedError as error:
            get_log().warning(
                "multipart_uploads_not_cleaned", why=str(error), so="a lifecycle rule on the bucket should abort them"
            )
        return aborted

    def checks(self, _needed_bytes: int) -> Iterator[Check]:
        """Bucket and credentials, write and delete, an ETag that is the md5 of what was written."""

        def login() -> str:
            self.reach()
            return f"{self.target} {self._bucket.target.endpoint}".strip()

        def write() -> str:
            name = probe_name()
            content = secrets.token_bytes(1000)
            self.put_bytes(name, content)
            try:
                head = self._head(name)
                if head is None:
                    raise BadDataError("a written object is not there", where=f"{self.target}/{name}")
                if not _etag_is_md5(head):
                    return "encryption hides the md5: every object will be read back (slow)"
                if _etag(head) != hashlib.md5(content, usedforsecurity=False).hexdigest():
                    raise BadDataError(
                        "ETag is not the object's md5", where=self.target, why=_etag(head),
                        fix="Tell us which server this is: its objects can only be verified by reading back.",
                    )  # fmt: skip
            finally:
                self.delete(name)
            return "write, HEAD, delete work; ETag is md5"

        for title, look in (("store login", login), ("store write and hash", write)):
            try:
                yield Check(title, True, look())
            except XperienceError as error:
                yield Check.failed(title, error)
                return
        yield Check("store space", True, "S3 has no end")


def _etag(head: dict[str, Any]) -> str:
    return str(head.get("ETag", "")).strip('"')


def _etag_is_md5(head: dict[str, Any]) -> bool:
    """With SSE-KMS and SSE-C it is not (AWS, Object ETag)."""
    return "kms" not in str(head.get("ServerSideEncryption", "")) and not head.get("SSECustomerAlgorithm")


def _base64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()
