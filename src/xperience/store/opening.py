"""Open the destination that the settings name: parse it, start or attach rclone."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from xperience.common.errors import ConfigurationError, RefusedError, UsageError
from xperience.common.log import get_log
from xperience.common.settings.store import StoreSettings
from xperience.common.sizes import MIB
from xperience.store.rc import Rc
from xperience.store.rclone import find_rclone, has_sftp_multithread, running_rclone
from xperience.store.s3 import LEAST_PART_BYTES, S3Store, s3_config
from xperience.store.s3_bucket import S3Bucket, S3Target, parse_s3
from xperience.store.ssh import SshStore, SshTarget, parse_host, sftp_config


def target_of(settings: StoreSettings) -> SshTarget | S3Target:
    """The destination; UsageError where there is none, or more than one."""
    if settings.store and settings.transfer_host:
        raise UsageError("two destinations", where="--store and --transfer-host", fix="Give one of them.")
    if settings.store.startswith("s3://"):
        return parse_s3(settings.store, endpoint=settings.s3_endpoint, region=settings.s3_region)
    if settings.store.startswith("ssh://"):
        parts = urlsplit(settings.store)
        return _ssh_target(parts.netloc, parts.path)
    if settings.store:
        raise UsageError(
            "not a destination", where=f"--store {settings.store}", why="expected s3://bucket/prefix or ssh://u@h/path"
        )
    if not settings.transfer_host:
        raise UsageError(
            "no destination", fix="Give --transfer-host and --transfer-root, or --store s3://bucket/prefix."
        )
    return _ssh_target(settings.transfer_host, settings.transfer_root)


def _ssh_target(host_text: str, root: str) -> SshTarget:
    user, host, port = parse_host(host_text)
    if not root.startswith("/") or root.rstrip("/") == "":
        raise UsageError("data root is not an absolute path", where=f"--transfer-root {root!r}")
    return SshTarget(user, host, port, root.rstrip("/"))


def open_bucket(settings: StoreSettings) -> S3Bucket:
    """The store's bucket, to read from it; UsageError where the store is no S3."""
    target = target_of(settings)
    if not isinstance(target, S3Target):
        raise UsageError("not an S3 store", where=str(target), fix="Give --store s3://bucket/prefix.")
    return S3Bucket(target)


@contextmanager
def open_store(settings: StoreSettings, *, scratch: Path) -> Iterator[SshStore | S3Store]:
    """The store, with its rclone: the sidecar's where `--rclone-socket` is given, else one of our own.

    Call it from the main thread (see `running_rclone`).
    """
    target = target_of(settings)
    scratch = scratch.absolute()
    with ExitStack() as stack:
        if settings.rclone_socket is not None:
            rc = Rc(settings.rclone_socket)
            stack.callback(rc.close)
            remote = settings.rclone_fs
        else:
            rc = stack.enter_context(_own_rclone(settings, target, scratch))
            remote = "store:"
        store = _store_of(settings, target, rc, remote, scratch)
        if settings.transfer_limit_mib:
            store.set_rate_limit(settings.transfer_limit_mib)
        yield store


def _part_bytes(settings: StoreSettings) -> int:
    return max(settings.chunk_size_mib * MIB, LEAST_PART_BYTES)


def _store_of(
    settings: StoreSettings, target: SshTarget | S3Target, rc: Rc, remote: str, scratch: Path
) -> SshStore | S3Store:
    threshold_bytes = settings.chunk_threshold_mib * MIB
    if isinstance(target, S3Target):
        return S3Store(
            rc, remote, target, scratch, threshold_bytes=threshold_bytes, part_bytes=_part_bytes(settings)
        )  # fmt: skip
    chunked = settings.transfer_mode == "chunked" and has_sftp_multithread(rc)
    if settings.transfer_mode == "chunked" and not chunked:
        get_log().warning(
            "rclone_too_old_for_chunks", version=rc.call("core/version")["version"],
            so="each file goes over one SSH connection; rclone 1.76 does better",
        )  # fmt: skip
    return SshStore(
        rc, remote, target, scratch, threshold_bytes=threshold_bytes, chunk_bytes=settings.chunk_size_mib * MIB,
        chunked=chunked,
    )  # fmt: skip


def _own_rclone(settings: StoreSettings, target: SshTarget | S3Target, scratch: Path) -> AbstractContextManager[Rc]:
    if isinstance(target, S3Target):
        config = s3_config(
            target, provider=settings.s3_provider, threshold_bytes=settings.chunk_threshold_mib * MIB,
            part_bytes=_part_bytes(settings),
        )  # fmt: skip
    else:
        key, known_hosts = settings.ssh_key.expanduser().absolute(), settings.known_hosts.expanduser().absolute()
        if not os.access(key, os.R_OK):
            raise RefusedError("the relay's key cannot be read", where=str(key), fix="Make one: `relay keygen`.")
        if not known_hosts.is_file():
            raise ConfigurationError(
                "known_hosts cannot be read", where=str(known_hosts), fix="Pin the store: `relay trust-host`."
            )
        config = sftp_config(target, key=key, known_hosts=known_hosts)
    scratch.mkdir(parents=True, exist_ok=True)
    return running_rclone(find_rclone(settings.rclone), config, scratch / "rclone.log")
