import copy
import subprocess
import sys

import pytest
import yaml
from conftest import CHARTS, ROOT, one, refusal, render, scenarios

from xperience.store.s3 import s3_config
from xperience.store.s3_bucket import S3Target
from xperience.store.ssh import SshTarget, sftp_config

KUBERNETES = ["1.29", "1.33", "1.34", "1.37"]
SSH = yaml.safe_load((CHARTS / "relay" / "ci" / "ssh-values.yaml").read_text())
S3 = yaml.safe_load((CHARTS / "relay" / "ci" / "s3-values.yaml").read_text())
SCENARIOS = pytest.mark.parametrize("values", scenarios("relay"))


def pod_of(objects):
    return one(objects, "Job")["spec"]["template"]["spec"]


def containers_of(pod):
    return {container["name"]: container for container in [*pod["initContainers"], *pod["containers"]]}


def env_of(container):
    return {item["name"]: item.get("value", "") for item in container["env"]}


def with_values(base, **changes):
    values = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return values


def keeps_the_restricted_standard(pod):
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 10000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for name, container in containers_of(pod).items():
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["readOnlyRootFilesystem"] is True, name
        assert context["capabilities"] == {"drop": ["ALL"]}, name
        assert "ephemeral-storage" in container["resources"]["requests"], name
        assert "memory" in container["resources"]["limits"], name
    assert not {"hostPath", "nfs"} & {key for volume in pod["volumes"] for key in volume}


@SCENARIOS
def test_every_object_says_which_release_it_is_of(values):
    for item in render("relay", values):
        assert item["metadata"]["labels"]["app.kubernetes.io/instance"] == "demo"


def test_secrets_reach_only_the_containers_that_need_them():
    found = containers_of(pod_of(render("relay", SSH)))
    mounts = {name: {mount["name"] for mount in container["volumeMounts"]} for name, container in found.items()}
    assert "store-key" in mounts["rclone"]
    assert "store-key" not in mounts["relay"] | mounts["preflight"]
    assert "hub-token" in mounts["relay"] & mounts["preflight"]
    assert "hub-token" not in mounts["rclone"]
    found = containers_of(pod_of(render("relay", S3)))
    secrets = {name: container["envFrom"][0]["secretRef"]["name"] for name, container in found.items()}
    assert secrets == {"rclone": "s3-writer", "preflight": "s3-reader", "relay": "s3-reader"}


def test_the_sidecar_starts_first_and_is_probed_over_its_socket():
    first, second = pod_of(render("relay", SSH))["initContainers"]
    assert (first["name"], first["restartPolicy"], second["name"]) == ("rclone", "Always", "preflight")
    assert first["startupProbe"]["exec"]["command"][:3] == ["rclone", "rc", "--unix-socket"]
    relay = containers_of(pod_of(render("relay", SSH)))["relay"]
    assert env_of(relay)["XPERIENCE_RCLONE_SOCKET"] == first["startupProbe"]["exec"]["command"][3]


def test_exit_codes_that_another_try_cannot_mend_fail_the_job_by_container_name():
    rules = one(render("relay", SSH), "Job")["spec"]["podFailurePolicy"]["rules"]
    assert rules[0] == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert [rule["onExitCodes"]["containerName"] for rule in rules[1:]] == ["relay", "preflight"]
    assert all(rule["onExitCodes"]["values"] == [64, 65, 73, 77, 78] for rule in rules[1:])


def test_a_change_of_the_pod_makes_a_job_of_another_name_and_no_change_the_same():
    name = one(render("relay", SSH), "Job")["metadata"]["name"]
    assert one(render("relay", copy.deepcopy(SSH)), "Job")["metadata"]["name"] == name
    assert one(render("relay", with_values(SSH, settings__chunk_size_mib=32)), "Job")["metadata"]["name"] != name


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"selection__packed": "H4sIBBBB"}, id="selection"),
        pytest.param({"store__ssh__host": "me@other.example"}, id="store"),
        pytest.param({"rcloneEnv": {"RCLONE_BWLIMIT": "10M"}}, id="rclone"),
    ],
)
def test_a_change_of_what_is_moved_or_where_to_makes_another_job(changes):
    before = with_values(SSH, selection__packed="H4sIAAAA")
    names = {
        one(render("relay", values), "Job")["metadata"]["name"] for values in (before, with_values(before, **changes))
    }
    assert len(names) == 2


def test_large_numbers_stay_whole_numbers():
    values = with_values(SSH, job__ttlSecondsAfterFinished=2592000, settings__lock_wait_seconds=1000000)
    objects = render("relay", values)
    assert repr(one(objects, "Job")["spec"]["ttlSecondsAfterFinished"]) == "2592000"  # not 2592000.0, of 2.592e+06
    assert env_of(containers_of(pod_of(objects))["relay"])["XPERIENCE_LOCK_WAIT_SECONDS"] == "1000000"


def test_a_variable_of_the_values_wins_over_the_charts_own():
    values = with_values(SSH, rcloneEnv={"RCLONE_USE_JSON_LOG": "false"}, job__terminationGracePeriodSeconds=300)
    found = containers_of(pod_of(render("relay", values)))
    assert env_of(found["rclone"])["RCLONE_USE_JSON_LOG"] == "false"
    assert env_of(found["relay"])["XPERIENCE_LOCK_WAIT_SECONDS"] == "330"


def test_a_required_probe_reaches_preflight_and_relay_alone():
    pod = pod_of(render("relay", with_values(S3, requiredProbe={"configMap": "mine", "key": "found"})))
    for name, container in containers_of(pod).items():
        mounts = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "required-probe"]
        place = env_of(container).get("XPERIENCE_REQUIRE_PROBE")
        assert (mounts, place) == (
            ([], None) if name == "rclone" else (["/etc/xperience/probe"], "/etc/xperience/probe/probe.json")
        )
    (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "required-probe")
    assert volume["configMap"] == {"name": "mine", "items": [{"key": "found", "path": "probe.json"}]}


def test_a_custom_ca_reaches_every_client():
    found = containers_of(pod_of(render("relay", with_values(S3, customCa__configMap="ca"))))
    place = "/etc/xperience/ca/ca.crt"
    assert env_of(found["rclone"])["SSL_CERT_FILE"] == place
    assert {env_of(found["relay"])[name] for name in ("SSL_CERT_FILE", "AWS_CA_BUNDLE")} == {place}


def test_helm_test_asks_the_store_through_a_sidecar_of_its_own():
    pod = one(render("relay", SSH), "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert [container["name"] for container in pod["spec"]["initContainers"]] == ["rclone"]
    assert pod["spec"]["containers"][0]["args"] == ["relay", "verify"]


def test_an_ephemeral_scratch_makes_no_claim_of_the_release():
    objects = render("relay", with_values(SSH, scratch__ephemeral=True))
    assert "PersistentVolumeClaim" not in {item["kind"] for item in objects}
    scratch = next(volume for volume in pod_of(objects)["volumes"] if volume["name"] == "scratch")
    assert scratch["ephemeral"]["volumeClaimTemplate"]["spec"]["resources"]["requests"] == {"storage": "48Gi"}


def test_the_sidecars_configuration_is_the_one_that_the_relay_would_write_itself():
    def options(text):
        return dict(line.strip().split(" = ", 1) for line in text.splitlines() if " = " in line)

    rendered = options(one(render("relay", SSH), "ConfigMap", "rclone")["data"]["rclone.conf"])
    target = SshTarget("me", "store.example", 2222, "/data")
    paths = {"key": "/etc/xperience/store/id_ed25519", "known_hosts": "/etc/xperience/store/known_hosts"}
    assert rendered == options(sftp_config(target, **paths))
    rendered = options(one(render("relay", S3), "ConfigMap", "rclone")["data"]["rclone.conf"])
    target = S3Target("training", "xperience", "https://s3.example", "us-east-1")
    own = options(s3_config(target, provider="Minio", threshold_bytes=64 << 20, part_bytes=16 << 20))
    sizes = {"chunk_size": "16Mi", "upload_cutoff": "64Mi"}
    assert rendered == own | sizes
    assert own["chunk_size"] == f"{16 << 20}B"


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        pytest.param("me@store", ("store", "22"), id="name"),
        pytest.param("me@[fe80::1]", ("fe80::1", "22"), id="ipv6"),
        pytest.param("me@[fe80::1]:2222", ("fe80::1", "2222"), id="ipv6-with-port"),
    ],
)
def test_host_and_port_of_the_store_are_read_as_the_relay_reads_them(host, parts):
    text = one(render("relay", with_values(SSH, store__ssh__host=host)), "ConfigMap", "rclone")["data"]["rclone.conf"]
    assert f"host = {parts[0]}\n" in text
    assert f"port = {parts[1]}\n" in text


def test_settings_become_variables_of_preflight_and_relay():
    found = containers_of(pod_of(render("relay", with_values(SSH, settings__download_streams=32))))
    for name in ("preflight", "relay"):
        env = env_of(found[name])
        assert env["XPERIENCE_DOWNLOAD_STREAMS"] == "32"
        assert env["XPERIENCE_DELETE_AFTER_TRANSFER"] == "true"
        assert env["XPERIENCE_TRANSFER_HOST"] == "me@store.example:2222"
        assert "XPERIENCE_SSH_KEY" not in env


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"store": {}}, "no store", id="no-store"),
        pytest.param({"store__s3__url": "s3://a/b"}, "two stores", id="two-stores"),
        pytest.param({"store__ssh__host": "me@fe80::1"}, "IPv6 address stands in brackets", id="ipv6-without-brackets"),
        pytest.param({"store__ssh__root": "data"}, "not an absolute path", id="relative-root"),
        pytest.param({"store__ssh__secret": ""}, "store.ssh.secret", id="no-key"),
        pytest.param({"hub__tokenSecret__name": ""}, "hub.tokenSecret.name", id="no-token"),
        pytest.param({"hub__token": "hf_inline"}, "additional properties 'token'", id="token-inline"),
        pytest.param({"settings__chunk_sise_mib": 1}, "chunk_sise_mib", id="misspelt-setting"),
        pytest.param({"scratch__sizeGib": 20}, "smaller than budget and headroom", id="small-scratch"),
        pytest.param({"settings__scratch_budget_gib": 1}, "smaller than the largest file", id="budget-below-a-file"),
        pytest.param(
            {"scratch": {"ephemeral": True, "existingClaim": "mine"}}, "two scratch volumes", id="two-scratch-volumes"
        ),
        pytest.param({"rcloneEnv": {"RCLONE_S3_SECRET_ACCESS_KEY": "x"}}, "is a secret", id="secret-in-a-variable"),
        pytest.param({"settings__chunk_parallel": 64}, "rcloneMemoryMib", id="memory"),
        pytest.param(
            {"selection": {"packed": "x", "existingConfigMap": "mine"}}, "two selections", id="two-selections"
        ),
    ],
)
def test_values_that_cannot_work_stop_before_anything_is_installed(changes, message):
    assert message in refusal("relay", with_values(SSH, **changes))


def test_the_schema_of_the_values_is_what_the_code_says():
    found = subprocess.run([sys.executable, ROOT / "scripts" / "chart_schema.py", "--check"], check=False)
    assert found.returncode == 0
