"""The sidecar as the pod starts it: the image's entry point and the rendered variables, asked by the rendered probe."""

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest
from conftest import ROOT, one, render, scenarios

from xperience.common.errors import ConfigurationError
from xperience.store.rclone import find_rclone

SSH = next(scenario.values[0] for scenario in scenarios("relay") if scenario.id == "ssh")


@pytest.fixture
def sidecar(tmp_path):
    """A function that starts the sidecar; changes are variables of the values."""
    try:
        rclone = find_rclone(None)
    except ConfigurationError as error:
        pytest.skip(str(error))
    (tmp_path / "rclone").symlink_to(rclone)
    objects = render("relay", SSH)
    config = tmp_path / "rclone.conf"
    config.write_text(one(objects, "ConfigMap", "rclone")["data"]["rclone.conf"])
    socket = tmp_path / "rc.sock"
    probe = one(objects, "Job")["spec"]["template"]["spec"]["initContainers"][0]["startupProbe"]["exec"]["command"]

    def variables(**changes):
        pod = one(render("relay", SSH | {"rcloneEnv": changes}), "Job")["spec"]["template"]["spec"]
        found = {item["name"]: item["value"] for item in pod["initContainers"][0]["env"]}
        places = {"RCLONE_CONFIG": str(config), "RCLONE_SOCKET": str(socket), "HOME": str(tmp_path)}
        return found | places | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def ask(call):
        command = [str(socket) if part.endswith(".sock") else part for part in probe]
        done = subprocess.run([*command[:-1], call], env=variables(), capture_output=True, text=True, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    @contextmanager
    def start(**changes):
        process = subprocess.Popen([ROOT / "images" / "rclone" / "rcd"], env=variables(**changes))
        try:
            deadline = time.monotonic() + 20
            while ask(probe[-1]) is None:
                assert process.poll() is None, "rclone ended"
                assert time.monotonic() < deadline, "rclone does not answer the probe"
                time.sleep(0.1)
            yield process, ask
        finally:
            process.kill()
            process.wait()

    return start


def test_the_sidecar_answers_its_probe_and_comes_back_after_kill_9(sidecar):
    with sidecar() as (process, _):
        process.send_signal(signal.SIGKILL)
        process.wait()
    with sidecar() as (process, ask):
        assert ask("core/pid")["pid"] == process.pid
        process.send_signal(signal.SIGTERM)
        process.wait(15)  # with 0 or 143, as it happens: nobody judges a sidecar by its exit code


def test_the_sidecar_reads_the_rendered_configuration(sidecar):
    with sidecar() as (_, ask):
        assert ask("config/dump")["store"]["multithread_upload"] == "true"


@pytest.mark.parametrize(
    ("changes", "level", "retries"),
    [
        pytest.param({}, "INFO", 1, id="own"),
        pytest.param({"RCLONE_LOG_LEVEL": "DEBUG", "RCLONE_RETRIES": "4"}, "DEBUG", 4, id="values"),
    ],
)
def test_any_setting_of_rclone_passes_through(sidecar, changes, level, retries):
    with sidecar(**changes) as (_, ask):
        main = ask("options/get")["main"]
        assert (main["LogLevel"], main["Retries"]) == (level, retries)
