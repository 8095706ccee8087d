import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from conftest import BOTH_STORES, EPISODES, TOKEN, summary_of

from xperience.common.transfer import TransferManifest
from xperience.relay.ledger import Ledger, State


@BOTH_STORES
def test_a_run_brings_every_byte_and_leaves_nothing_behind(job):
    done = job.run()
    job.check_whole()
    assert "relay complete: 12 of 12 files" in done.stdout
    summary = summary_of(job.scratch)
    assert summary["status"] == "complete"
    assert summary["arrived_bytes"] == summary["size_bytes"] == sum(f.size_bytes for f in manifest(job).files)
    assert 0 < summary["peak_scratch_bytes"] <= summary["scratch_budget_bytes"]


def manifest(job) -> TransferManifest:
    return TransferManifest.read(job.scratch / "xperience-transfer-manifest.json")


@BOTH_STORES
def test_the_manifest_says_how_each_file_was_verified(job):
    job.run()
    files = {file.path: file for file in manifest(job).files}
    assert {path: file.sha256 for path, file in files.items()} == job.source()
    annotation, notes = files["session-0/ep1/annotation.hdf5"], files["session-0/ep1/notes.txt"]
    assert annotation.sha256_from == "hub-lfs"
    assert notes.sha256_from == "computed-after-git-blob-check"
    if job.destination.kind == "s3":
        # one part of 5 MiB and the rest: S3 takes no smaller parts
        assert annotation.verified_how == "s3:etag-multipart"
        assert annotation.etag.endswith("-2")
        assert notes.verified_how == "s3:etag-md5"
    else:
        assert annotation.verified_how == "remote openssl dgst -sha256 -r"


@BOTH_STORES
def test_what_killed_sends_of_a_lost_ledger_left_is_deleted(job):
    path = "session-1/ep1/annotation.hdf5"
    if job.destination.kind == "ssh":
        job.destination.put(f"{path}.0123abcd.partial", b"half")
    else:
        key = f"{job.destination.prefix}/{path}"
        server = job.destination.server
        server.client().create_multipart_upload(Bucket=server.bucket, Key=key)
        assert job.destination.unfinished_uploads() == [key]
    job.run()
    job.check_whole()


@BOTH_STORES
def test_a_second_run_moves_nothing(job):
    job.run()
    served = job.hub.log.served().total_bytes
    job.run()
    assert job.hub.log.served().total_bytes == served
    assert summary_of(job.scratch)["transfer"]["moved_bytes"] == 0
    job.check_whole()


@BOTH_STORES
def test_verify_finds_what_is_missing_changed_or_too_much(job):
    job.run()
    assert "12 files" in job.run(verb=("relay", "verify")).stdout
    content = job.destination.all_content()
    job.destination.put("session-1/ep1/annotation.hdf5", b"x" * 6_000_001)
    job.destination.put("session-2/ep1/notes.txt", b"x")
    job.destination.put("session-9/ep1/stray.mp4", b"x")
    done = job.run(verb=("relay", "verify"), expect=65)
    assert "hash differs: session-1/ep1/annotation.hdf5" in done.stdout
    assert "size differs: session-2/ep1/notes.txt" in done.stdout
    assert "unexpected: session-9/ep1/stray.mp4" in done.stdout
    assert len(content) == 13


@BOTH_STORES
def test_a_lost_ledger_is_rebuilt_from_what_the_store_holds(job):
    job.run()
    for name in ("relay_ledger.sqlite", "relay_ledger.sqlite-journal"):
        (job.scratch / name).unlink(missing_ok=True)
    served = job.hub.log.served().total_bytes
    job.destination.put("session-3/ep1/annotation.hdf5", b"y" * 6_000_003)  # same size, other bytes
    job.run()
    job.check_whole()
    again = job.hub.log.served().total_bytes - served
    # The corrupt one, and the four small files whose sha256 only a download can tell.
    assert again == 6_000_003 + 4 * 100


@BOTH_STORES
def test_a_corrupt_file_of_the_same_size_at_the_store_is_overwritten(job):
    job.destination.put("session-0/ep1/annotation.hdf5", b"z" * 6_000_000)
    job.run()
    job.check_whole()


def test_two_processes_share_a_ledger_one_leg_each(job):
    transfer = job.start("--legs", "transfer")
    download = job.start("--legs", "download")
    assert transfer.wait(120) == 0, transfer.stderr.read()
    assert download.wait(120) == 0, download.stderr.read()
    job.check_whole()


def test_a_prefetch_alone_stops_at_its_budget_and_says_who_is_missing(job):
    done = job.run("--legs", "download", "--scratch-budget-gib", "0.01", "--lock-wait-seconds", "1", expect=75)
    assert "no process transfers" in done.stderr
    there = sum(path.stat().st_size for path in (job.scratch / "data").rglob("*") if path.is_file())
    assert there <= 0.01 * 2**30
    with closing(Ledger(job.scratch / "relay_ledger.sqlite", read_only=True)) as ledger:
        assert min(file.size_bytes for file in ledger.files(State.PLANNED)) > 0.01 * 2**30 - there, "a gap was left"
    job.run("--scratch-budget-gib", "0.01")
    job.check_whole()


def test_a_second_writer_of_a_leg_is_turned_away(job):
    job.hub.rate.bytes_per_second = 3e6
    first = job.start()
    wait_for((job.scratch / "relay_ledger.sqlite").exists)
    done = job.run("--lock-wait-seconds", "0.5", expect=75)
    assert "another process holds the download leg" in done.stderr
    assert first.wait(120) == 0
    job.check_whole()


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sigterm_saves_the_state_and_exits_with_143(job):
    job.hub.rate.bytes_per_second = 4e6
    running = job.start()
    wait_for(lambda: job.hub.log.served().total_bytes > 8e6)
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 143
    assert "stopped" in running.stderr.read()
    assert summary_of(job.scratch)["status"] == "stopped"
    job.hub.rate.bytes_per_second = 0
    job.run()
    job.check_whole()
    assert job.hub.log.served().total_bytes < sum(f.size_bytes for f in manifest(job).files) + 16 * 2**24


@BOTH_STORES
def test_a_run_goes_on_with_another_chunk_size(job):
    job.flags = ["--chunk-size-mib", "5", "--chunk-threshold-mib", "5", "--transfer-limit-mib", "4"]
    running = job.start()
    wait_for(lambda: job.hub.log.served().total_bytes >= sum(EPISODES.values()))
    running.kill()
    running.wait()
    job.flags = ["--chunk-size-mib", "6", "--chunk-threshold-mib", "5"]
    job.run()
    job.check_whole()
    assert "mismatch" not in (job.scratch / "relay_events.jsonl").read_text()
    assert "mismatch" not in summary_of(job.scratch)["transfer"]["retries"]


def test_resume_goes_on_with_the_settings_of_the_run(job):
    job.hub.rate.bytes_per_second = 4e6
    running = job.start()
    wait_for(lambda: job.hub.log.served().total_bytes > 8e6)
    running.kill()
    running.wait()
    job.hub.rate.bytes_per_second = 0
    command = [sys.executable, "-m", "xperience", "relay", "resume", "--relay-root", str(job.scratch)]
    done = subprocess.run(command, env=job.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    job.check_whole()


def test_status_reads_the_ledger_of_a_running_relay(job):
    job.hub.rate.bytes_per_second = 4e6
    running = job.start()
    wait_for(lambda: job.hub.log.served().total_bytes > 8e6)
    job.hub.rate.bytes_per_second = 1e5  # it goes on for as long as the other command takes to start
    command = [sys.executable, "-m", "xperience", "relay", "status", "--relay-root", str(job.scratch), "--json"]
    found = json.loads(subprocess.run(command, env=job.environment, capture_output=True, check=True).stdout)
    assert found["running_legs"] == ["download", "transfer"]
    assert sum(state["files"] for state in found["states"]) == 12
    job.hub.rate.bytes_per_second = 0
    assert running.wait(120) == 0


def test_copies_stay_without_delete_after_transfer(job):
    job.run("--no-delete-after-transfer")
    assert job.destination.content() == job.source()
    assert len(job.left_on_scratch()) == 12


def test_a_selection_above_the_budget_is_refused_where_copies_are_kept(job):
    done = job.run("--no-delete-after-transfer", "--scratch-budget-gib", "0.01", expect=73)
    assert "--delete-after-transfer" in done.stderr
    assert job.hub.log.served().total_bytes == 0


def test_a_budget_of_one_and_a_half_times_the_largest_file_is_enough(job):
    job.run("--scratch-budget-gib", str(1.5 * 6_000_003 / 2**30))
    job.check_whole()
    summary = summary_of(job.scratch)
    assert summary["peak_scratch_bytes"] <= summary["scratch_budget_bytes"]


@BOTH_STORES
def test_no_secret_is_in_any_argv_log_ledger_or_manifest(job):
    job.hub.rate.bytes_per_second = 8e6
    running = job.start("--log-format", "json", "--log-level", "debug")
    secrets = {TOKEN, *job.destination.environment.values()} - {""}
    secrets = {secret.encode() for secret in secrets if not secret.startswith("XPERIENCESTANDIN")}
    seen = 0
    while running.poll() is None:
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = place.read_bytes()
            except OSError:
                continue
            seen += b"rcd" in line
            assert not any(secret in line for secret in secrets), line
        time.sleep(0.05)
    output = running.stdout.read() + running.stderr.read()
    assert running.returncode == 0, output
    assert seen, "rclone was never looked at"
    assert job.hub.log.served().cdn_authorizations == set()
    files = [path for path in job.scratch.rglob("*") if path.is_file()]
    assert {"relay_ledger.sqlite", "rclone.log", "relay_events.jsonl"} <= {path.name for path in files}
    for content in [output.encode(), *(path.read_bytes() for path in files)]:
        assert not any(secret in content for secret in secrets)
        assert b"signature=" not in content


def test_metrics_are_served_during_a_run(job):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    job.hub.rate.bytes_per_second = 4e6
    running = job.start("--metrics-port", str(port))
    wait_for(lambda: job.hub.log.served().total_bytes > 12e6)
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    assert running.wait(120) == 0
    values = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert float(values['xperience_relay_bytes_total{leg="download"}']) > 1e6
    assert float(values['xperience_relay_scratch_bytes{kind="budget"}']) > 1e6
    assert sum(float(v) for k, v in values.items() if k.startswith("xperience_relay_files{")) == 12


@pytest.mark.skipif(os.getuid() != 0, reason="a full volume needs root to mount one")
def test_a_full_scratch_volume_ends_with_73_and_a_rerun_completes(job):
    job.scratch.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", job.scratch], check=True)
    try:
        filler = job.scratch / "somebody-elses"
        filler.write_bytes(b"x" * 7_000_000)
        done = job.run("--headroom-gib", "0", expect=73)
        assert "scratch" in done.stderr
        filler.unlink()
        job.run("--headroom-gib", "0")
        job.check_whole()
    finally:
        subprocess.run(["umount", "-l", job.scratch], check=True)
