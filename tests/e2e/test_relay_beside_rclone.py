"""The relay beside an rclone that it did not start, as in a pod."""

import json
import sqlite3
import subprocess
import time

import pytest
from conftest import Job, ssh_destination, write_files

from xperience.standin.hub import StandinHub
from xperience.store.rc import Rc
from xperience.store.rclone import find_rclone
from xperience.store.ssh import SshTarget, sftp_config

# A kill has to come while files are on their way, at a rate that another test beside it would change.
pytestmark = pytest.mark.alone


@pytest.fixture
def sidecar(tmp_path, sshd):
    """A running `rclone rcd` with the store's configuration, and a client of it."""
    target = SshTarget(sshd.user, "127.0.0.1", sshd.port, "/unused")
    config, socket = tmp_path / "rclone.conf", tmp_path / "s"
    config.write_text(sftp_config(target, key=sshd.key, known_hosts=sshd.known_hosts))
    command = [str(find_rclone(None)), "rcd", "--config", str(config), "--rc-addr", f"unix://{socket}", "--rc-no-auth"]
    with (tmp_path / "rcd.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    while not socket.exists():
        assert process.poll() is None
        time.sleep(0.02)
    rc = Rc(socket)
    yield rc
    rc.close()
    process.kill()
    process.wait()


@pytest.fixture
def job(tmp_path, sshd, sidecar):
    sizes = {f"s/e{number}/annotation.hdf5": 6_000_000 for number in range(3)}
    write_files(tmp_path / "repository", sizes)
    with StandinHub(tmp_path / "repository", "org/data", token="hf_standin_secret_0123456789") as hub:
        destination = ssh_destination(sshd, f"{tmp_path.parent.name}-{tmp_path.name}")
        # The key is the sidecar's alone: the relay is given neither it nor known_hosts.
        destination.flags = [*destination.flags[:4], "--rclone-socket", str(sidecar.socket), "--rclone-fs", "store:"]
        made = Job(tmp_path, hub, destination, ["--chunk-size-mib", "1", "--chunk-threshold-mib", "2"])
        made.select()
        yield made


def sending(job) -> list[tuple[str, int]]:
    with sqlite3.connect(job.scratch / "relay_ledger.sqlite") as ledger:
        query = "SELECT path, job_id FROM file WHERE state = 'sending' AND job_id IS NOT NULL"
        return ledger.execute(query).fetchall()


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def start_and_kill(job) -> list[tuple[str, int]]:
    """Kill the relay with two files on their way; the sidecar goes on."""
    running = job.start("--transfer-limit-mib", "1")
    wait_until((job.scratch / "relay_summary.json").exists)  # the ledger has its files by then
    wait_until(lambda: len(sending(job)) >= 2)
    running.kill()
    running.wait()
    return sending(job)


def test_a_relay_that_was_killed_takes_up_the_jobs_that_its_sidecar_still_runs(job, sidecar):
    before = start_and_kill(job)
    running = set(sidecar.call("job/list")["runningIds"])
    assert {job_id for _, job_id in before} <= running
    sidecar.call("core/bwlimit", rate="off")
    job.run()
    job.check_whole()
    with sqlite3.connect(job.scratch / "relay_ledger.sqlite") as ledger:
        sends = dict(ledger.execute("SELECT path, sends FROM file"))
    # A third file may have been between its call and its commit, and is sent again: the next test is of that.
    assert {path: sends[path] for path, _ in before} == {path: 1 for path, _ in before}


def test_a_job_that_the_ledger_does_not_name_is_stopped_before_its_file_is_sent_again(job, sidecar):
    before = start_and_kill(job)
    with sqlite3.connect(job.scratch / "relay_ledger.sqlite") as ledger:  # as after a kill between call and commit
        ledger.execute("UPDATE file SET job_id = NULL, execute_id = NULL")
    # Slow enough that what is on its way has not arrived before the run has looked at the store and stops it.
    done = job.run("--transfer-limit-mib", "4")
    job.check_whole()
    stopped = [sidecar.call("job/status", jobid=job_id) for _, job_id in before]
    assert all(item["finished"] for item in stopped), json.dumps(stopped)
    assert any(not item["success"] for item in stopped), done.stderr


def test_a_sidecar_that_comes_back_as_another_costs_a_retry(job, sidecar):
    start_and_kill(job)
    with sqlite3.connect(job.scratch / "relay_ledger.sqlite") as ledger:  # as after a restart of the sidecar
        ledger.execute("UPDATE file SET execute_id = 'another life'")
    job.run("--transfer-limit-mib", "50")
    job.check_whole()
