import json

import pytest
from ground import RELEASE_IMAGES, run

BASE = "python:3.11-slim-bookworm"
MOST_BYTES = dict(zip(RELEASE_IMAGES, (250e6, 100e6, 800e6), strict=True))  # prepare has pyarrow


def inspect(image: str) -> dict:
    return json.loads(run("docker", "image", "inspect", image))[0]


@pytest.mark.parametrize("image", RELEASE_IMAGES)
def test_an_image_is_small_names_its_user_its_source_and_its_stop_signal(cluster, image):
    found = inspect(image)
    added = found["Size"] - inspect(BASE)["Size"]
    print(f"{image} adds {added / 1e6:.0f} MB to its base")
    assert 0 < added <= MOST_BYTES[image]
    config = found["Config"]
    assert (config["User"], config["StopSignal"]) == ("65532:65532", "SIGTERM")
    assert not config.get("Healthcheck")
    labels = {name.rpartition(".")[2] for name in config["Labels"]}
    assert labels >= {"title", "description", "licenses", "version", "revision"}


def test_the_relay_image_runs_read_only_as_nobody_and_holds_no_tools_to_build_with(cluster):
    locked = ("docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "none")
    relay, rclone, _ = RELEASE_IMAGES
    assert run(*locked, relay, "version").strip() == relay.rpartition(":")[2]
    plan = run(*locked, relay, "relay", "plan", "--offline", "--relay-root", "/tmp/r", "--transfer-host", "u@h",
               "--transfer-root", "/d", "--delete-after-transfer")  # fmt: skip
    assert "896 files" in plan
    look = "for name in gcc cc make git go uv; do command -v $name; done; ls /opt/xperience/bin"
    tools = run(*locked, "--entrypoint", "sh", relay, "-c", look, expect=None).split()
    assert "xperience" in tools
    assert not {name for name in tools if name.startswith(("pip", "gcc", "make", "git", "/"))}
    assert "v1.76.0" in run(*locked, "--entrypoint", "rclone", rclone, "version")
