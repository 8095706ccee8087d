"""kustomize/: every overlay built by the real kubectl, validated, and looked at for what it promises."""

import os
import shutil
import socket
import subprocess
from functools import cache

import pytest
import yaml
from conftest import PODS, ROOT, one, programs, validate
from test_relay_chart import containers_of, env_of, keeps_the_restricted_standard, pod_of

from xperience.common.errors import ConfigurationError
from xperience.store import ssh_access
from xperience.store.rclone import find_rclone

FOLDERS = sorted((ROOT / "kustomize" / "overlays").iterdir())
STAGES = ["cosmos3-nano", "prepare", "qwen3-omni", "windows"]
JOBS = {"qwen3-omni": "qwen3-omni-train", "cosmos3-nano": "cosmos3-nano-compatibility"}
EVERY = pytest.mark.parametrize("name", [folder.name for folder in FOLDERS])
RELAYS = pytest.mark.parametrize("name", [folder.name for folder in FOLDERS if folder.name not in STAGES])


@cache
def built(name: str, major: str = "4") -> str:
    command = [programs(major) / "kubectl", "kustomize", ROOT / "kustomize" / "overlays" / name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(name: str) -> list[dict]:
    return list(yaml.safe_load_all(built(name)))


def relay_policy(objects):
    return one(objects, "NetworkPolicy", "relay")["spec"]


def ports(rule):
    return [port["port"] for port in rule["ports"]]


def test_there_are_the_overlays_that_the_readme_names():
    relays = ["airgap", "kind", "kueue", "restricted", "s3", "ssh"]
    assert [folder.name for folder in FOLDERS] == sorted(relays + STAGES)


@EVERY
def test_an_overlay_is_built_the_same_by_an_older_kubectl(name):
    assert built(name, "3") == built(name)


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.34", "1.37"])
@EVERY
def test_an_overlay_is_valid_under_the_strict_schema(name, version):
    for item in build(name):
        validate(item, version)


@RELAYS
def test_an_overlay_has_one_relay_that_keeps_the_restricted_standard(name):
    objects = build(name)
    pod = pod_of(objects)
    keeps_the_restricted_standard(pod)
    assert [container["name"] for container in pod["initContainers"]] == ["rclone", "preflight"]
    labels = [item["metadata"].get("labels", {}) for item in objects]
    assert len({found["app.kubernetes.io/instance"] for found in labels if "app.kubernetes.io/name" in found}) == 1


@RELAYS
def test_an_overlay_changes_variables_and_misspells_none(name):
    base = "relay-s3" if name == "s3" else "relay-ssh"
    before = containers_of(pod_of(list(yaml.safe_load_all((ROOT / "jobs" / f"{base}.yaml").read_text()))))
    for container, found in containers_of(pod_of(build(name))).items():
        names = [item["name"] for item in found["env"]]
        assert len(names) == len(set(names))
        new = set(names) - set(env_of(before[container]))
        assert not {name for name in new if name.startswith("XPERIENCE_")}


def built_on(name, below, tmp_path):
    """The overlay with another of the overlays that its comment names under it."""
    for folder in ("jobs", "kustomize"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    overlay = tmp_path / "kustomize" / "overlays" / name
    text = (overlay / "kustomization.yaml").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("  - ../ssh  # or "))
    assert f"../{below}" in line.partition("# or ")[2].split(", ")
    (overlay / "kustomization.yaml").write_text(text.replace(line, f"  - ../{below}"))
    done = subprocess.run([programs() / "kubectl", "kustomize", overlay], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("name", ["airgap", "kind", "kueue", "restricted"])
def test_an_overlay_stands_on_s3_as_its_comment_says(name, tmp_path):
    objects = built_on(name, "s3", tmp_path)
    assert one(objects, "Job")["metadata"]["labels"]["app.kubernetes.io/instance"] == "relay-s3"
    validate(one(objects, "Job"), "1.34")


@pytest.mark.parametrize("below", STAGES)
@pytest.mark.parametrize("name", ["kueue", "restricted"])
def test_queue_and_namespace_are_there_for_every_stage(name, below, tmp_path):
    (job,) = (item for item in built_on(name, below, tmp_path) if item["kind"] in PODS)
    assert job["metadata"]["labels"]["app.kubernetes.io/name"] == below
    validate(job, "1.34")
    if name == "kueue":
        assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "transfers"
    else:
        assert job["metadata"]["namespace"] == "xperience"


@pytest.mark.parametrize("name", STAGES)
def test_a_stages_overlay_is_its_job_alone(name):
    (job,) = (item for item in build(name) if item["kind"] in PODS)
    path = ROOT / "jobs" / f"{JOBS.get(name, name)}.yaml"
    assert job in list(yaml.safe_load_all(path.read_text()))


@RELAYS
def test_preflight_and_relay_have_the_same_settings(name):
    found = containers_of(pod_of(build(name)))
    assert env_of(found["preflight"]) == env_of(found["relay"])


@EVERY
def test_an_overlay_begins_with_what_it_does_and_how_it_is_used(name):
    text = (ROOT / "kustomize" / "overlays" / name / "kustomization.yaml").read_text()
    for word in ("What:", "Needs:", "Apply:", "Watch:", "Clean:"):
        assert f"\n# {word}" in f"\n{text}", word


def test_ssh_names_one_store_to_relay_rclone_and_network_policy():
    objects = build("ssh")
    found = containers_of(pod_of(objects))
    rclone = {name.removeprefix("RCLONE_CONFIG_STORE_"): value for name, value in env_of(found["rclone"]).items()}
    assert env_of(found["relay"])["XPERIENCE_TRANSFER_HOST"] == f"{rclone['USER']}@{rclone['HOST']}:{rclone['PORT']}"
    assert ports(relay_policy(objects)["egress"][1]) == [443, int(rclone["PORT"])]


def test_s3_names_one_store_to_relay_rclone_and_network_policy():
    objects = build("s3")
    found = containers_of(pod_of(objects))
    relay, rclone = env_of(found["relay"]), env_of(found["rclone"])
    for name in ("ENDPOINT", "PROVIDER", "REGION"):
        assert relay[f"XPERIENCE_S3_{name}"] == rclone[f"RCLONE_CONFIG_STORE_{name}"]
    port = int(relay["XPERIENCE_S3_ENDPOINT"].rpartition(":")[2])
    assert ports(relay_policy(objects)["egress"][1]) == [443, port]


def test_rclone_takes_the_overlays_store_and_not_its_files(tmp_path):
    try:
        rclone = find_rclone(None)
    except ConfigurationError as error:
        pytest.skip(str(error))
    config = tmp_path / "rclone.conf"
    config.write_text(one(build("ssh"), "ConfigMap", "rclone")["data"]["rclone.conf"])
    key = tmp_path / "key"
    ssh_access.keygen(key)
    given = set(env_of(containers_of(pod_of(build("ssh")))["rclone"]))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        store = {"RCLONE_CONFIG_STORE_HOST": "127.0.0.1", "RCLONE_CONFIG_STORE_PORT": str(listener.getsockname()[1])}
        assert set(store) <= given
        files = {"RCLONE_CONFIG_STORE_KEY_FILE": str(key), "RCLONE_CONFIG_STORE_KNOWN_HOSTS_FILE": "none"}
        running = subprocess.Popen(
            [rclone, "lsf", "store:"], env={**os.environ, **store, **files, "RCLONE_CONFIG": str(config)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            connection, _ = listener.accept()
            connection.close()
        finally:
            running.kill()
            running.wait()


def test_restricted_has_a_namespace_that_enforces_and_denies():
    objects = build("restricted")
    namespace = one(objects, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    name = namespace["metadata"]["name"]
    assert {item["metadata"]["namespace"] for item in objects if item["kind"] != "Namespace"} == {name}
    assert one(objects, "NetworkPolicy", "deny-all")["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }


def test_kueue_queues_the_job_and_leaves_the_rest_as_it_was():
    (job,) = (item for item in build("kueue") if item["kind"] == "Job")
    assert job["metadata"]["labels"].pop("kueue.x-k8s.io/queue-name") == "transfers"
    assert job == one(build("ssh"), "Job")
    assert "suspend" not in job["spec"]  # Kueue's webhook sets it


def test_airgap_pulls_and_reaches_nothing_from_outside():
    objects = build("airgap")
    pod = pod_of(objects)
    found = containers_of(pod)
    assert {container["image"].split("/")[0] for container in found.values()} == {"registry.example"}
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    (address,) = {env_of(found[name])["XPERIENCE_HF_ENDPOINT"] for name in ("preflight", "relay")}
    rule = relay_policy(objects)["egress"][1]
    assert rule["to"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    assert ports(rule) == [int(address.rpartition(":")[2]), 22]
    for container in found.values():
        place = env_of(container)["SSL_CERT_FILE"]
        (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "custom-ca")
        assert place == f"{mount['mountPath']}/ca.crt"


def test_kind_pulls_nothing_and_its_scratch_fits():
    objects = build("kind")
    found = containers_of(pod_of(objects))
    assert {container["imagePullPolicy"] for container in found.values()} == {"Never"}
    env = env_of(found["relay"])
    size = one(objects, "PersistentVolumeClaim")["spec"]["resources"]["requests"]["storage"]
    needed = float(env["XPERIENCE_SCRATCH_BUDGET_GIB"]) + float(env["XPERIENCE_HEADROOM_GIB"])
    assert needed <= float(size.removesuffix("Gi"))


def test_the_images_are_those_of_this_version():
    chart = yaml.safe_load((ROOT / "charts" / "relay" / "Chart.yaml").read_text())
    values = yaml.safe_load((ROOT / "charts" / "relay" / "values.yaml").read_text())
    images = {name: container["image"] for name, container in containers_of(pod_of(build("ssh"))).items()}
    assert images["relay"] == images["preflight"] == f"{values['image']['relay']['repository']}:{chart['appVersion']}"
    assert images["rclone"] == f"{values['image']['rclone']['repository']}:{values['image']['rclone']['tag']}"
