"""SSH destinations: one remote hash per file, computed by the store."""

import hashlib
import re
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xperience.common.checks import Check
from xperience.common.errors import BadDataError, NoSpaceError, UsageError, XperienceError
from xperience.common.log import get_log
from xperience.common.sizes import human_bytes
from xperience.store.base import Expected, JobId, Verified
from xperience.store.mover import Mover, leftovers, probe_name
from xperience.store.rc import Rc, RcError

# openssl hashes 1,491 MB/s a core where coreutils' sha256sum hashes 181 (relay.md 4.2).
HASH_COMMANDS = ("openssl dgst -sha256 -r", "sha256sum")
READ_BACK = "read-back"
LEAST_FREE_BYTES = 64 << 20
DROPPED_AGAIN_SECONDS = (1.0, 2.0, 4.0)
MANY_STREAMS = 8  # of a file, whose ranges are shorter: the last ones end one by one, and seconds apart on a long way
LOGINS_AT_ONCE = 8  # sshd's default MaxStartups drops some from the tenth unauthenticated connection on


@dataclass(frozen=True, slots=True)
class SshTarget:
    """user@host[:port] and the absolute data root there."""

    user: str
    host: str
    port: int
    root: str

    def __str__(self) -> str:
        port = f":{self.port}" if self.port != 22 else ""
        return f"ssh://{self.user}@{self.host}{port}{self.root}"


def parse_host(text: str) -> tuple[str, str, int]:
    """user@host[:port] → user, host, port; an IPv6 address stands in brackets."""
    match = re.fullmatch(r"(.+)@(?:\[([0-9a-fA-F:.]+)\]|([^][:@]+))(?::(\d+))?", text)
    if match is None:
        raise UsageError("not an SSH destination", where=text, why="expected user@host[:port]")
    return match[1], match[2] or match[3], int(match[4] or 22)


def sftp_config(target: SshTarget, *, key: Path, known_hosts: Path) -> str:
    """rclone.conf of the destination.

    Every hash command and the shell type are pinned: rclone's own detection of them is wrong for sha256 and writes to
    the configuration (relay.md 1.3). `connections` stays unset, else there is no multi-thread upload.
    """
    return (
        "[store]\ntype = sftp\n"
        f"host = {target.host}\nuser = {target.user}\nport = {target.port}\n"
        f"key_file = {key}\nknown_hosts_file = {known_hosts}\nkey_use_agent = false\n"
        f"shell_type = unix\nhashes = sha256\nsha256sum_command = {HASH_COMMANDS[0]}\n"
        "md5sum_command = none\nsha1sum_command = none\nset_modtime = false\nidle_timeout = 10m\n"
        "multithread_upload = true\n"
    )


class SshStore(Mover):
    """A folder on an SSH host. `hash_how` is found once, by a probe file: openssl, sha256sum, or reading back."""

    kind = "ssh"
    logs_in = True

    def __init__(
        self, rc: Rc, remote: str, target: SshTarget, scratch: Path, *, threshold_bytes: int, chunk_bytes: int,
        chunked: bool,
    ) -> None:  # fmt: skip
        fs = f"{remote.rstrip(':')}:{target.root}"
        super().__init__(rc, fs, str(target), scratch, threshold_bytes=threshold_bytes, chunk_bytes=chunk_bytes)
        self._remote, self._root, self._chunked = remote.rstrip(":"), target.root, chunked
        self._hash_how: str | None = None
        self._settling = threading.Lock()
        self._limit_logins(1)

    def _limit_logins(self, sharers: int) -> None:
        # For rclone's remote, which is made by the first call that names it: its pacer serves nothing but logins.
        self.rc.config = {"MaxConnections": max(1, LOGINS_AT_ONCE // sharers)}

    def start_send(self, local_root: Path, path: str, *, size_bytes: int, streams: int, group: str) -> JobId:
        """As the mover's; one stream where this rclone cannot do several."""
        return super().start_send(
            local_root, path, size_bytes=size_bytes, streams=streams if self._chunked else 1, group=group
        )

    def _config(self, size_bytes: int, streams: int) -> dict[str, Any]:
        config = super()._config(size_bytes, streams)
        if streams >= MANY_STREAMS:
            config["MultiThreadChunkSize"] = f"{self.chunk_bytes // 2}B"
        return config

    def reach(self, sharers: int = 1) -> float:
        """Log in and no more: `fsinfo` asks the server for nothing."""
        self._limit_logins(sharers)
        started = time.monotonic()
        self._call("operations/fsinfo", fs=self.fs)
        return time.monotonic() - started

    def open_connections(self, count: int, folder: str, opened: Callable[[], None]) -> None:
        """After `reach`: as many calls, each on a connection of its own that rclone keeps.

        rclone makes a remote of each call that comes before the first login is done, and keeps one of them. On a short
        way the first call may be done before the last begins, and share its connection. The first call makes `folder`,
        five round trips for which the first sends would wait. What fails here a send will say.
        """

        def call(number: int) -> None:
            with suppress(XperienceError):
                if number == 0:
                    self._call("operations/mkdir", fs=self.fs, remote=folder)
                else:
                    self._call("operations/about", fs=self.fs)
                opened()

        # Not a pool, whose threads a process that ends would wait for, and with them for a host that does not answer.
        threads = [threading.Thread(target=call, args=(number,), daemon=True) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def settle(self) -> None:
        """Find out how a remote hash is had: seconds on a long way."""
        self.hash_how()

    def hash_how(self) -> str:
        """How a remote hash is had; puts, hashes and deletes a probe file the first time.

        It may change `fs`: what is sent already keeps the connections of the former.
        """
        with self._settling:
            if self._hash_how is None:
                self._hash_how = self._probe()
            return self._hash_how

    def _probe(self) -> str:
        self._call("operations/mkdir", fs=self.fs, remote="")
        name = probe_name()
        content = secrets.token_bytes(1000)
        expected = hashlib.sha256(content).hexdigest()
        self.put_bytes(name, content, verify=False)  # a right hash says as much
        try:
            for command in HASH_COMMANDS:
                fs = f'{self._remote},sha256sum_command="{command}":{self._root}'
                if command == HASH_COMMANDS[0]:
                    fs = self.fs
                try:
                    found = self._hash_of_probe(fs, name)
                except RcError as error:
                    get_log().warning("remote_hash_not_usable", command=command, why=str(error)[:200])
                    continue
                if found == expected:
                    self.fs = fs
                    return command
            get_log().warning("no_remote_hash", store=self.target, so="every file is read back to be verified")
            return READ_BACK
        finally:
            self.delete(name)

    def _hash_of_probe(self, fs: str, name: str) -> str:
        """Asked again where a login was dropped, as sshd does when several relays begin: no fault of the command."""
        for seconds in DROPPED_AGAIN_SECONDS:
            try:
                return self._hashsum(fs, name, download=False)
            except RcError as error:
                if "connect ssh" not in str(error).lower():
                    raise
                time.sleep(seconds)
        return self._hashsum(fs, name, download=False)

    def _arrived(self, path: str, content: bytes) -> bool:
        """By the store's hash, half of the round trips of reading it back."""
        return self._proven(path, hashlib.sha256(content).hexdigest(), len(content)) is not None

    def _proven(self, path: str, sha256: str, size_bytes: int) -> Verified | None:
        how = self.hash_how()
        if how == READ_BACK:
            return self.read_back(path, sha256, size_bytes)
        if self.hash_of(path, download=False) != sha256:
            return None
        return Verified(f"remote {how}")

    def verify(self, path: str, expected: Expected) -> Verified | None:
        """One remote hash of the whole file against the read that matched the hub's."""
        return self._proven(path, expected.sha256, expected.size_bytes)

    def verify_recorded(self, path: str, sha256: str, size_bytes: int, _recorded: Verified) -> bool:
        """The same hash again."""
        return self._proven(path, sha256, size_bytes) is not None

    def adopt(self, path: str, sha256: str, size_bytes: int) -> Verified | None:
        """The same hash again."""
        return self._proven(path, sha256, size_bytes)

    def free_bytes(self) -> int | None:
        """Free space of the data root's volume, where the server tells (statvfs@openssh.com)."""
        try:
            return int(self.rc.call("operations/about", fs=self.fs)["free"])
        except (RcError, KeyError):
            return None

    def _is_full(self, text: str) -> bool:
        # SFTP reports a full disk as plain failure.
        if "failure" not in text.lower():
            return False
        free = self.free_bytes()
        return free is not None and free < LEAST_FREE_BYTES

    def clean_leftovers(self, paths: Collection[str], listing: Iterable[str] | None = None) -> list[str]:
        """Delete `.partial` files of killed transfers; without a listing, only these files' folders are looked at."""
        found = leftovers(self._beside(paths) if listing is None else listing, paths)
        for path in found:
            self.delete(path)
        return found

    def _beside(self, paths: Iterable[str]) -> list[str]:
        """What lies in the folders of these files, and in the data root itself."""
        folders = sorted({path.rpartition("/")[0] for path in paths} | {""})
        with ThreadPoolExecutor(4) as pool:
            listings = pool.map(lambda folder: self.listing(folder, recurse=False), folders)
            return [path for listing in listings for path in listing]

    def checks(self, needed_bytes: int) -> Iterator[Check]:
        """Host key and login, write and delete, a working remote hash, room."""

        def login() -> str:
            self.reach()
            return self.target

        def probe() -> str:
            how = self.hash_how()
            if how == READ_BACK:
                return "none works: every file will be read back (slow)"
            return how

        def room() -> str:
            free = self.free_bytes()
            if free is None:
                return "the server does not tell"
            there = sum(self.listing().values())
            if free + there < needed_bytes:
                raise NoSpaceError(
                    "the store has no room for the selection", where=self.target,
                    why=f"{human_bytes(free)} free, {human_bytes(needed_bytes - there)} still needed",
                    fix="Free space there, use another --transfer-root, or lower --store-reserve-gib.",
                )  # fmt: skip
            return f"{human_bytes(free)} free, {human_bytes(max(0, needed_bytes - there))} still needed"

        def rename() -> str:
            name = probe_name()
            self.put_bytes(name, b"probe")
            self._call(
                "operations/movefile", name, srcFs=self.fs, srcRemote=name, dstFs=self.fs, dstRemote=f"{name}-renamed"
            )
            if self.stat_bytes(f"{name}-renamed") is None:
                raise BadDataError("a renamed file is not there", where=f"{self.target}/{name}")
            self.delete(f"{name}-renamed")
            return "write, rename, delete work"

        for title, look in (
            ("store login", login), ("store write", rename), ("store hash", probe), ("store space", room),
        ):  # fmt: skip
            try:
                yield Check(title, True, look())
            except XperienceError as error:
                yield Check.failed(title, error)
                return
