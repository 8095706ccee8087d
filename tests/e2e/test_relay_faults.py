import os
import subprocess
import time
from pathlib import Path

import pytest
from conftest import BOTH_STORES, Job, s3_destination, ssh_destination, summary_of, write_files

from xperience.standin.hub import StandinHub
from xperience.standin.servers import S3Server, SshServer

ANNOTATION = "session-1/ep1/annotation.hdf5"
JUMPING_CLOCK = Path(__file__).parent / "jumping_clock.py"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "drop", "path": ANNOTATION, "at_byte": 3_000_000, "times": 3}, id="drop"),
        pytest.param({"kind": "flip", "path": ANNOTATION, "at_byte": 4_000_000}, id="flip-once"),
        pytest.param({"kind": "too_many_requests", "times": 2}, id="429-ratelimit"),
        pytest.param({"kind": "too_many_requests", "times": 2, "header": "Retry-After"}, id="429-retry-after"),
        pytest.param({"kind": "too_many_requests", "route": "cdn", "times": 2}, id="429-cdn"),
        pytest.param({"kind": "unavailable", "times": 3}, id="503"),
        pytest.param({"kind": "unavailable", "route": "cdn", "times": 3}, id="503-cdn"),
        pytest.param({"kind": "slow", "bytes_per_second": 2e6, "times": 4}, id="slow"),
        pytest.param({"kind": "expire", "times": 5}, id="expired-addresses"),
    ],
)
def test_a_passing_fault_of_the_hub_is_survived(job, fault):
    job.hub.faults.add(fault.pop("kind"), **fault)
    job.run()
    job.check_whole()


def test_a_file_that_is_wrong_twice_ends_with_65_and_its_name_and_nothing_is_lost(job):
    job.hub.faults.add("flip", path=ANNOTATION, at_byte=4_000_000, times=None)
    done = job.run(expect=65)
    assert ANNOTATION in done.stderr
    summary = summary_of(job.scratch)
    assert summary["status"] == "failed"
    assert ANNOTATION in summary["cause"]
    assert ANNOTATION not in job.destination.content()
    job.hub.faults.clear()
    job.run()
    job.check_whole()


def test_a_scratch_copy_that_changed_after_it_was_hashed_is_downloaded_anew_by_the_next_run(job):
    job.run("--legs", "download")
    with (job.scratch / "data" / ANNOTATION).open("r+b") as copy:  # as after a loss of power
        copy.seek(4_000_000)
        copy.write(bytes(4096))
    done = job.run(expect=75)
    assert "a scratch copy has changed" in done.stderr
    assert ANNOTATION in done.stderr
    job.run()
    job.check_whole()


def test_a_hub_that_ignores_ranges_is_survived_or_said_and_nothing_wrong_arrives(job):
    job.hub.faults.add("ignore_range", times=None)
    done = job.run("--hub-retries", "1", expect=None)
    if done.returncode:
        assert done.returncode == 69
        assert "range" in done.stderr.lower()
    source = job.source()
    assert all(source[path] == digest for path, digest in job.destination.content().items())
    job.hub.faults.clear()
    job.run()
    job.check_whole()


def test_a_token_that_is_revoked_during_a_run_ends_with_77_and_a_new_one_goes_on(job):
    job.hub.rate.bytes_per_second = 4e6
    job.flags += ["--download-streams", "2"]
    running = job.start()
    while job.hub.log.served().total_bytes < 4e6:
        time.sleep(0.02)
    token, job.hub.token = job.hub.token, None
    job.hub.faults.add("expire", times=None)
    assert running.wait(60) == 77
    assert "token" in running.stderr.read()
    job.hub.token, job.hub.rate.bytes_per_second = token, 0
    job.hub.faults.clear()
    job.run()
    job.check_whole()


@pytest.mark.parametrize(
    ("gate", "token", "message"),
    [
        pytest.param("not_approved", True, "gate is not approved", id="gate"),
        pytest.param("token", False, "hub asks for a token", id="no-token"),
    ],
)
def test_a_closed_gate_is_refused_with_77(job, gate, token, message, monkeypatch):
    job.hub.gate = gate
    if not token:
        monkeypatch.setattr("conftest.TOKEN", "")
    done = job.run(expect=77)
    assert message in done.stderr
    assert job.destination.content() == {}


def test_a_hub_that_is_down_ends_with_69(job):
    job.hub.stop()
    done = job.run("--hub-retries", "1", "--hub-timeout-seconds", "2", expect=69)
    assert "cannot be reached" in done.stderr


def test_a_wrong_host_key_is_refused_with_77(job, tmp_path, sshd):
    other = tmp_path / "known_hosts"
    lines = sshd.known_hosts.read_text().split()
    with SshServer(tmp_path / "other") as stranger:
        other.write_text(f"{lines[0]} {' '.join(stranger.known_hosts.read_text().split()[1:3])}\n")
    done = job.run("--known-hosts", str(other), expect=77)
    assert "host key" in done.stderr
    other.write_text("")
    done = job.run("--known-hosts", str(other), expect=77)
    assert "not trusted yet" in done.stderr


def test_a_key_that_the_store_does_not_know_is_refused_with_77(job, tmp_path):
    with SshServer(tmp_path / "other") as stranger:
        done = job.run("--ssh-key", str(stranger.key), expect=77)
    assert "does not accept the relay's key" in done.stderr


def test_wrong_s3_keys_are_refused_with_77(tmp_path, s3):
    destination = s3_destination(s3, tmp_path.name)
    destination.environment = {**destination.environment, "AWS_SECRET_ACCESS_KEY": "x" * 40}
    write_files(tmp_path / "repository", {"a.bin": 5000})
    with StandinHub(tmp_path / "repository", "org/data", token="hf_standin_secret_0123456789") as hub:
        job = Job(tmp_path, hub, destination)
        job.select()
        done = job.run(expect=77)
    assert "refuse" in done.stderr


@pytest.fixture
def own_ssh(tmp_path):
    """A job with an sshd of its own, that may be stopped."""
    sizes = {f"s/e{number}/annotation.hdf5": 8_000_000 for number in range(6)}
    write_files(tmp_path / "repository", sizes)
    with (
        StandinHub(tmp_path / "repository", "org/data", token="hf_standin_secret_0123456789") as hub,
        SshServer(tmp_path / "sshd") as server,
    ):
        destination = ssh_destination(server, "root")
        job = Job(tmp_path, hub, destination, ["--chunk-size-mib", "1", "--chunk-threshold-mib", "2"])
        job.select()
        yield job, server


def test_an_sshd_that_restarts_during_the_transfer_costs_a_retry(own_ssh):
    job, server = own_ssh
    running = job.start("--transfer-limit-mib", "8")
    while not job.destination.all_content():
        time.sleep(0.05)
    time.sleep(0.5)
    server.stop(connections=True)
    time.sleep(1)
    server.start()
    _output, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors[-3000:]
    job.check_whole()
    before, after = server.log.read_text().split("Server listening")[1:]
    assert "Accepted publickey" in before
    assert "Accepted publickey" in after


@pytest.mark.skipif(os.getuid() != 0, reason="only root's sshd runs an AuthorizedKeysCommand")
def test_logins_stay_below_max_startups_however_many_connections_are_allowed(tmp_path):
    # Every login takes two seconds, as on a bad line; the tenth at a time is dropped.
    keys = tmp_path / "sshd" / "authorized_keys"
    slow_login = (
        "MaxStartups 9:100:9\nAuthorizedKeysFile none\nAuthorizedKeysCommandUser root\n"
        f'AuthorizedKeysCommand /bin/sh -c "sleep 2; cat {keys}"'
    )
    sizes = {f"s/e{number:02}/file": 3_000_000 for number in range(24)}
    write_files(tmp_path / "repository", sizes)
    with (
        StandinHub(tmp_path / "repository", "org/data", token="hf_standin_secret_0123456789") as hub,
        SshServer(tmp_path / "sshd", options=slow_login) as server,
    ):
        job = Job(tmp_path, hub, ssh_destination(server, "root"))
        job.select()
        job.run("--legs", "download", "--scratch-budget-gib", "1")  # so that all files wait at once
        job.run("--legs", "transfer", "--chunk-parallel", "32", "--scratch-budget-gib", "1")
        job.check_whole()
        log = server.log.read_text()
    assert log.count("Accepted publickey") > 8
    assert "MaxStartups" not in log


def test_a_store_that_stays_down_ends_with_69_and_a_rerun_completes(own_ssh):
    job, server = own_ssh
    server.stop()
    done = job.run("--store-retries", "1", expect=69)
    assert "store" in done.stderr
    server.start()
    job.run()
    job.check_whole()


@pytest.mark.skipif(os.getuid() != 0, reason="a full volume needs root to mount one")
def test_a_full_store_ends_with_73_and_a_rerun_completes(own_ssh):
    job, _ = own_ssh
    job.destination.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", job.destination.root], check=True)
    try:
        done = job.run(expect=73)
        assert "store is full" in done.stderr
        subprocess.run(["mount", "-o", "remount,size=200m", job.destination.root], check=True)
        job.run()
        job.check_whole()
    finally:
        subprocess.run(["umount", "-l", job.destination.root], check=True)


def test_an_s3_server_that_restarts_during_the_transfer_costs_a_retry(tmp_path):
    sizes = {f"s/e{number}/annotation.hdf5": 12_000_000 for number in range(4)}
    write_files(tmp_path / "repository", sizes)
    with (
        StandinHub(tmp_path / "repository", "org/data", token="hf_standin_secret_0123456789") as hub,
        S3Server(tmp_path / "s3") as server,
    ):
        job = Job(
            tmp_path, hub, s3_destination(server, "root"), ["--chunk-threshold-mib", "5", "--chunk-size-mib", "5"]
        )
        job.select()
        running = job.start("--transfer-limit-mib", "6", "--store-retries", "8")
        while not (job.scratch / "relay_ledger.sqlite").exists():
            time.sleep(0.05)
        time.sleep(3)
        server.stop()
        time.sleep(1)
        server.start()
        _output, errors = running.communicate(timeout=180)
        assert running.returncode == 0, errors[-3000:]
        job.check_whole()


def test_a_clock_that_jumps_days_to_and_fro_changes_nothing(job):
    job.hub.rate.bytes_per_second = 5e6
    done = job.run(script=JUMPING_CLOCK)
    assert int(done.stderr.rsplit("clock jumps: ", 1)[1].split()[0]) > 5
    job.check_whole()


@BOTH_STORES
def test_preflight_says_what_is_right_and_the_first_thing_that_is_not(job):
    done = job.run(verb=("preflight",))
    for name in ("hub token", "revision", "gate", "selected files", "scratch", "store"):
        assert name in done.stdout
    assert "FAILED" not in done.stdout
    job.hub.gate = "not_approved"
    done = job.run(verb=("preflight",), expect=77)
    assert "gate" in done.stderr
    assert job.destination.all_content() == {}
