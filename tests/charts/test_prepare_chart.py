import pytest
import yaml
from conftest import CHARTS, one, refusal, render
from test_relay_chart import env_of, with_values

CLAIM = yaml.safe_load((CHARTS / "prepare" / "ci" / "claim-values.yaml").read_text())
S3 = yaml.safe_load((CHARTS / "prepare" / "ci" / "s3-values.yaml").read_text())


def pod_of(objects):
    pod = one(objects, "Job")["spec"]["template"]["spec"]
    return pod | {"initContainers": pod.get("initContainers", [])}


def ports_of(values):
    rules = one(render("prepare", values), "NetworkPolicy")["spec"]["egress"]
    return [port["port"] for rule in rules for port in rule["ports"] if port.get("protocol") == "TCP"]


def test_the_job_is_indexed_by_shards_and_fails_at_once_where_the_gates_say_no():
    spec = one(render("prepare", with_values(S3, check__shards=3)), "Job")["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert spec["maxFailedIndexes"] == 0
    policies = [rule["onExitCodes"] for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert {policy["containerName"]: policy["values"] for policy in policies} == {
        "pull": [64, 65, 73, 77, 78], "prepare": [64, 65, 73, 77, 78],
    }  # fmt: skip
    env = env_of(spec["template"]["spec"]["containers"][0])
    assert env["XPERIENCE_SHARDS"] == "3"


def test_only_the_pull_sees_the_stores_credential_and_only_where_there_is_a_store():
    pod = pod_of(render("prepare", S3))
    (pull,), (prepare,) = pod["initContainers"], pod["containers"]
    assert pull["args"] == ["relay", "pull"]
    assert pull["envFrom"] == [{"secretRef": {"name": "s3-reader"}}]
    assert "envFrom" not in prepare
    assert pod_of(render("prepare", CLAIM))["initContainers"] == []


def test_enabled_features_have_their_network_rules():
    assert ports_of(CLAIM) == [53, 5353]
    assert ports_of(S3) == [53, 5353, 9000, 443, 6443]
    assert ports_of(with_values(CLAIM, proxyEnv={"HTTPS_PROXY": "http://proxy:3128"})) == [53, 5353, 3128]


def test_without_progress_no_container_has_a_token_of_the_cluster():
    objects = render("prepare", CLAIM)
    assert not {"Role", "RoleBinding", "ConfigMap"} & {item["kind"] for item in objects}
    assert "cluster-token" not in {volume["name"] for volume in pod_of(objects)["volumes"]}


def test_a_change_of_what_a_job_cannot_change_makes_another_job():
    names = {
        one(render("prepare", values), "Job")["metadata"]["name"]
        for values in (
            CLAIM,
            with_values(CLAIM, selection__packed="x"),
            with_values(CLAIM, settings__step="train"),
            with_values(CLAIM, image__prepare__tag="v2"),
            with_values(CLAIM, check__shards=2),
            with_values(CLAIM, job__backoffLimitPerShard=2),
        )
    }
    assert len(names) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"data__claim": ""}, "data.claim", id="no-claim"),
        pytest.param({"data__path": "/abs"}, "folders in the claim", id="absolute"),
        pytest.param({"data__evidencePath": "../up"}, "folders in the claim", id="outside"),
        pytest.param({"source": {"s3": {"url": "s3://a/b"}}}, "readerSecret", id="no-credential"),
        pytest.param({"check__shards": 0}, "check.shards", id="no-shard"),
        pytest.param({"proxyEnv": {"AWS_SECRET_ACCESS_KEY": "x"}}, "is a secret", id="secret"),
        pytest.param({"settings__purpose": "windows"}, "purpose", id="misspelt-setting"),
    ],
)
def test_values_that_cannot_work_stop_before_anything_is_installed(changes, message):
    assert message in refusal("prepare", with_values(CLAIM, **changes))
