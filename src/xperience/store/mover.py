"""What both stores share: every byte goes through one rclone daemon, under one constant root."""

import os
import re
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xperience.common.errors import (
    ConfigurationError,
    NoSpaceError,
    RefusedError,
    UnavailableError,
    XperienceError,
)
from xperience.store.base import Expected, JobId, JobState, Phase, Verified
from xperience.store.rc import Rc, RcError

WRITE_BUFFER = "16Mi"  # rclone's 128 KiB waits for a round trip each: 3.5 against 37 MB/s at 200 ms (relay.md)
STOP_GROUP_SECONDS = 60.0
PROBE = ".xperience-probe-"  # at the data root: written, hashed and deleted; a kill -9 may leave one
PARTIAL = re.compile(r"(?P<name>.+)\.[0-9a-f]{8}\.partial$")  # rclone's temporary name, fs/operations/copy.go

# rclone's words for what went wrong, first match wins; the rest is worth another try.
REFUSALS: tuple[tuple[str, type[XperienceError], str, str], ...] = (
    ("knownhosts: key mismatch", RefusedError, "the store's host key is not the trusted one",
     "Somebody else may answer there. If the host was set up anew, remove its old line from known_hosts and use "
     "`relay trust-host`."),
    ("knownhosts: key is unknown", RefusedError, "the store's host key is not trusted yet",
     "Pin it with `xperience relay trust-host --transfer-host …`."),
    ("unable to authenticate", RefusedError, "the store does not accept the relay's key",
     "Append the line that `relay keygen` prints to authorized_keys on the store, then try `relay check-key`."),
    ("failed to open known_hosts", ConfigurationError, "known_hosts cannot be read", "Check --known-hosts."),
    ("failed to read private key", ConfigurationError, "the relay's key cannot be read", "Make one: `relay keygen`."),
    ("failed to parse private key", ConfigurationError, "the relay's key cannot be read", "Make one: `relay keygen`."),
    ("AccessDenied", RefusedError, "the store refuses these credentials", "Give them read and write on the prefix."),
    ("InvalidAccessKeyId", RefusedError, "the store does not know the access key", "Check AWS_ACCESS_KEY_ID."),
    ("SignatureDoesNotMatch", RefusedError, "the store refuses the secret key", "Check AWS_SECRET_ACCESS_KEY."),
    ("NoSuchBucket", ConfigurationError, "the bucket does not exist", "Create it, or check --store."),
    ("permission denied", RefusedError, "the store denies access", "The login needs write access to the data root."),
    ("no space left", NoSpaceError, "the store is full", "Free space there and run again."),
    ("QuotaExceeded", NoSpaceError, "the store's quota is used up", "Raise it and run again."),
)  # fmt: skip


class Mover:
    """Sends, lists, deletes through rclone; subclasses add what proves the bytes."""

    kind = ""
    logs_in = False
    part_bytes: int | None = None

    def __init__(self, rc: Rc, fs: str, target: str, scratch: Path, *, threshold_bytes: int, chunk_bytes: int) -> None:
        self.rc, self.fs, self.target = rc, fs, target
        self.threshold_bytes, self.chunk_bytes = threshold_bytes, chunk_bytes
        self.outbox = scratch / "outbox"  # small files on their way to or from the store
        for place in self.outbox.glob("*-*"):
            pid = place.name.partition("-")[0]
            if pid == str(os.getpid()) or not Path(f"/proc/{pid}").exists():
                place.unlink(missing_ok=True)  # of a process that was killed

    def _call(self, method: str, path: str = "", /, **parameters: Any) -> dict[str, Any]:
        """A call whose failure is one of our errors."""
        try:
            return self.rc.call(method, **parameters)
        except RcError as error:
            raise self.error_of(str(error), path) from error

    def error_of(self, text: str, path: str) -> XperienceError:
        """rclone's text as one of our errors."""
        where = f"{self.target}/{path}".rstrip("/")
        why = " ".join(text.split())[:400]
        for words, kind, what, fix in REFUSALS:
            if words.lower() in text.lower():
                return kind(what, where=where, why=why, fix=fix)
        if self._is_full(text):
            return NoSpaceError("the store is full", where=where, why=why, fix="Free space there and run again.")
        return UnavailableError("the store did not take or give a file", where=where, why=why, fix="Run again later.")

    def _is_full(self, _text: str) -> bool:
        return False

    def part_bytes_of(self, size_bytes: int) -> int | None:
        """None without parts; below the threshold the whole object is one."""
        if self.part_bytes is None or size_bytes >= self.threshold_bytes:
            return self.part_bytes
        return max(self.part_bytes, size_bytes)

    def start_send(self, local_root: Path, path: str, *, size_bytes: int, streams: int, group: str) -> JobId:
        """Begin an asynchronous copyfile; a target of the same size and time is overwritten all the same."""
        return self._start(str(local_root), self.fs, path, size_bytes=size_bytes, streams=streams, group=group)

    def start_fetch(self, local_root: Path, path: str, *, size_bytes: int, streams: int, group: str) -> JobId:
        """As `start_send`, from the store to `local_root/path`; a file that is not whole has a temporary name there."""
        return self._start(self.fs, str(local_root), path, size_bytes=size_bytes, streams=streams, group=group)

    def _start(self, source: str, target: str, path: str, *, size_bytes: int, streams: int, group: str) -> JobId:
        self._call("core/stats-delete", path, group=group)
        answer = self._call(
            "operations/copyfile", path, srcFs=source, srcRemote=path, dstFs=target, dstRemote=path, _async=True,
            _group=group, _config=self._config(size_bytes, streams),
        )  # fmt: skip
        return JobId(str(answer["executeId"]), int(answer["jobid"]))

    def _config(self, size_bytes: int, streams: int) -> dict[str, Any]:
        # The one remote hash is ours, after the copy; rclone's own would read everything once more.
        # Nor does it look what is there: that would be replaced whatever it is.
        config: dict[str, Any] = {
            "IgnoreChecksum": True, "IgnoreTimes": True, "NoCheckDest": True, "MultiThreadStreams": 1,
        }  # fmt: skip
        if streams > 1 and size_bytes >= self.threshold_bytes:
            config |= {
                "MultiThreadStreams": streams, "MultiThreadSet": True, "MultiThreadCutoff": f"{self.threshold_bytes}B",
                "MultiThreadChunkSize": f"{self.chunk_bytes}B", "MultiThreadWriteBufferSize": WRITE_BUFFER,
            }  # fmt: skip
        return config

    def job(self, job: JobId, group: str) -> JobState:
        """State and bytes so far."""
        try:
            found = self.rc.call("job/status", jobid=job.job_id)
        except RcError as error:
            if "job not found" in str(error):
                return JobState(Phase.UNKNOWN)
            raise UnavailableError("rclone cannot say how a job is", where=group, why=str(error)) from error
        if found["executeId"] != job.execute_id or found["group"] != group:
            return JobState(Phase.UNKNOWN)
        if found["finished"] and not found["success"]:
            return JobState(Phase.FAILED, error=str(found["error"]))
        sent_bytes = int(self._call("core/stats", group=group).get("bytes", 0))
        return JobState(Phase.FINISHED if found["finished"] else Phase.RUNNING, sent_bytes)

    def stop_group(self, group: str) -> None:
        """Stop the group's jobs and wait until none runs."""
        self._call("job/stopgroup", group=group)
        deadline = time.monotonic() + STOP_GROUP_SECONDS
        while any(self._runs_in(job_id, group) for job_id in self._call("job/list").get("runningIds") or []):
            if time.monotonic() > deadline:
                raise UnavailableError("a stopped copy does not end", where=group, fix="Restart rclone.")
            time.sleep(0.1)

    def _runs_in(self, job_id: int, group: str) -> bool:
        try:
            found = self.rc.call("job/status", jobid=job_id)
        except RcError:
            return False  # it has just ended
        return bool(found["group"] == group and not found["finished"])

    def listing(self, folder: str = "", *, recurse: bool = True) -> dict[str, int]:
        """Path to size of every file under the root, or in one folder. On SSH each folder takes four round trips."""
        try:
            found = self.rc.call(
                "operations/list", fs=self.fs, remote=folder,
                opt={"recurse": recurse, "filesOnly": True, "noModTime": True, "noMimeType": True},
            )  # fmt: skip
        except RcError as error:
            if is_missing(error):
                return {}
            raise self.error_of(str(error), "") from error
        return {item["Path"]: int(item["Size"]) for item in found.get("list") or []}

    def stat_bytes(self, path: str) -> int | None:
        """Size of one file; None where it is missing."""
        found = self._call("operations/stat", path, fs=self.fs, remote=path, opt={"noModTime": True})
        return int(found["item"]["Size"]) if found.get("item") else None

    def hash_of(self, path: str, *, download: bool) -> str | None:
        """sha256 that the store computes, or, by `download`, of bytes read back; None where the file is missing."""
        try:
            return self._hashsum(self.fs, path, download=download)
        except RcError as error:
            if is_missing(error):
                return None
            raise self.error_of(str(error), path) from error

    def _hashsum(self, fs: str, path: str, *, download: bool) -> str:
        found = self.rc.call("operations/hashsumfile", fs=fs, remote=path, hashType="sha256", download=download)
        return str(found["hash"])

    def delete(self, path: str) -> None:
        """Delete a file; a missing one is no error."""
        try:
            self.rc.call("operations/deletefile", fs=self.fs, remote=path)
        except RcError as error:
            if not is_missing(error):
                raise self.error_of(str(error), path) from error

    def put_bytes(self, path: str, content: bytes, *, verify: bool = True) -> None:
        """Copy a small file through the outbox; UnavailableError where it does not arrive as it was sent."""
        local = self._outbox_file()
        local.write_bytes(content)
        try:
            self._call(
                "operations/copyfile", path, srcFs=str(self.outbox), srcRemote=local.name, dstFs=self.fs,
                dstRemote=path, _config=self._config(len(content), 1),
            )  # fmt: skip
            if verify and not self._arrived(path, content):
                raise UnavailableError("a small file did not arrive as it was sent", where=f"{self.target}/{path}")
        finally:
            local.unlink(missing_ok=True)

    def _arrived(self, path: str, content: bytes) -> bool:
        return self.read_bytes(path) == content

    def read_bytes(self, path: str) -> bytes | None:
        """Copy a small file back through the outbox."""
        if self.stat_bytes(path) is None:
            return None
        local = self._outbox_file()
        try:
            self._call(
                "operations/copyfile", path, srcFs=self.fs, srcRemote=path, dstFs=str(self.outbox),
                dstRemote=local.name, _config={"IgnoreTimes": True, "IgnoreChecksum": True, "MultiThreadStreams": 1},
            )  # fmt: skip
            return local.read_bytes()
        finally:
            local.unlink(missing_ok=True)

    def _outbox_file(self) -> Path:
        self.outbox.mkdir(parents=True, exist_ok=True)
        return self.outbox / f"{os.getpid()}-{time.monotonic_ns()}"

    def set_rate_limit(self, mib_per_second: float) -> None:
        """Bound the bytes per second of everything that this rclone moves; 0 is no bound."""
        rate = f"{round(mib_per_second * 1024)}Ki" if mib_per_second else "off"
        self._call("core/bwlimit", rate=rate)

    def read_back(self, path: str, sha256: str, size_bytes: int) -> Verified | None:
        """Read the stored bytes and hash them here: right everywhere, and as dear as a download."""
        if self.stat_bytes(path) != size_bytes or self.hash_of(path, download=True) != sha256:
            return None
        return Verified("read-back sha256")


def is_missing(error: RcError) -> bool:
    """Whether rclone says that a file or folder is not there; a command that is not found is something else."""
    return "object not found" in str(error) or "directory not found" in str(error)


def probe_name() -> str:
    """A new name for a probe file."""
    return f"{PROBE}{secrets.token_hex(4)}"


def leftovers(listing: Iterable[str], paths: Iterable[str]) -> list[str]:
    """Our probe files, and the temporary names that rclone gave these files (it cuts long ones: a prefix counts)."""
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        by_folder.setdefault(folder, []).append(name)
    found = []
    for path in listing:
        folder, _, name = path.rpartition("/")
        match = PARTIAL.match(name)
        if path.startswith(PROBE) or (
            match and any(selected.startswith(match["name"]) for selected in by_folder.get(folder, ()))
        ):
            found.append(path)
    return found


def expected_matches(etag: str, expected: Expected) -> str | None:
    """How an S3 ETag proves the bytes: s3:etag-md5 or s3:etag-multipart; None where it does not."""
    if "-" in etag:
        return "s3:etag-multipart" if etag == expected.multipart_etag else None
    return "s3:etag-md5" if etag == expected.md5 else None
