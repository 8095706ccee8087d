import pytest
from conftest import one, refusal, render
from test_relay_chart import S3, SSH, containers_of, env_of, pod_of, with_values


def jobs_of(objects):
    return [item for item in objects if item["kind"] == "Job"]


def test_each_shard_is_a_job_with_a_claim_and_a_share_of_its_own():
    objects = render("relay", with_values(SSH, relay__shards=3))
    pods = [job["spec"]["template"]["spec"] for job in jobs_of(objects)]
    assert [env_of(containers_of(pod)["relay"])["XPERIENCE_SHARD"] for pod in pods] == ["0/3", "1/3", "2/3"]
    assert [env_of(containers_of(pod)["preflight"])["XPERIENCE_SHARD"] for pod in pods] == ["0/3", "1/3", "2/3"]
    claims = [item["metadata"]["name"] for item in objects if item["kind"] == "PersistentVolumeClaim"]
    mounted = [
        volume["persistentVolumeClaim"]["claimName"]
        for pod in pods
        for volume in pod["volumes"]
        if volume["name"] == "scratch"
    ]
    assert claims == mounted
    assert len(set(claims)) == 3
    assert len({job["metadata"]["name"] for job in jobs_of(objects)}) == 3
    assert pods[0]["topologySpreadConstraints"][0]["topologyKey"] == "kubernetes.io/hostname"


def test_one_shard_is_the_whole():
    objects = render("relay", SSH)
    (job,) = jobs_of(objects)
    assert "XPERIENCE_SHARD" not in env_of(containers_of(pod_of(objects))["relay"])
    assert "topologySpreadConstraints" not in job["spec"]["template"]["spec"]
    assert one(objects, "PersistentVolumeClaim")["metadata"]["name"] == "demo-relay-scratch"


def test_shards_on_one_claim_are_refused():
    changes = {"relay__shards": 2, "scratch__existingClaim": "mine"}
    assert "relay.shards on one claim" in refusal("relay", with_values(SSH, **changes))


def test_without_progress_no_container_has_a_token_of_the_cluster():
    objects = render("relay", SSH)
    assert not {"Role", "RoleBinding"} & {item["kind"] for item in objects}
    assert "cluster-token" not in {volume["name"] for volume in pod_of(objects)["volumes"]}


def test_progress_gives_a_token_to_preflight_and_relay_for_their_own_config_maps_alone():
    objects = render("relay", with_values(SSH, progress__enabled=True, relay__shards=2))
    jobs = jobs_of(objects)
    maps = [f"{job['metadata']['name']}-progress" for job in jobs]
    role = one(objects, "Role")
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": maps, "verbs": ["get", "patch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    ]
    assert {name for item in objects if item["kind"] == "ConfigMap" for name in [item["metadata"]["name"]]} >= set(maps)
    assert one(objects, "RoleBinding")["subjects"][0]["namespace"] == "data"
    for job in jobs:
        pod = job["spec"]["template"]["spec"]
        for name, container in containers_of(pod).items():
            mounted = "cluster-token" in {mount["name"] for mount in container["volumeMounts"]}
            assert mounted is (name != "rclone"), name
    (api,) = (
        rule
        for rule in one(objects, "NetworkPolicy")["spec"]["egress"]
        if {"protocol": "TCP", "port": 6443} in rule["ports"]
    )
    assert {"protocol": "TCP", "port": 2222} in api["ports"]


def test_helm_test_needs_neither_token_nor_selection_nor_scratch():
    everything = with_values(
        S3, progress__enabled=True, relay__shards=2, selection__packed="x", customCa__configMap="ca"
    )
    pod = one(render("relay", everything), "Pod")
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert not {"hub-token", "cluster-token", "selection"} & set(volumes)
    assert "emptyDir" in volumes["scratch"]
    for container in containers_of(pod["spec"]).values():
        assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
        assert not [item["name"] for item in container["env"] if "TOKEN" in item["name"] or "SHARD" in item["name"]]
    assert "custom-ca" in volumes


def test_a_selection_by_address_comes_with_its_hash_and_its_port():
    sha256 = "0" * 64
    found = with_values(SSH, selection={"url": "http://files:8080/s.json", "sha256": sha256})
    env = env_of(containers_of(pod_of(render("relay", found)))["preflight"])
    assert (env["XPERIENCE_SELECTION_URL"], env["XPERIENCE_SELECTION_SHA256"]) == ("http://files:8080/s.json", sha256)
    ports = one(render("relay", found), "NetworkPolicy")["spec"]["egress"][1]["ports"]
    assert {"protocol": "TCP", "port": 8080} in ports


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        pytest.param({"url": "http://files/s.json"}, "selection.sha256", id="no-hash"),
        pytest.param({"url": "http://files/s.json", "sha256": "abc"}, "selection.sha256", id="no-sha256"),
        pytest.param({"url": "http://files/s.json", "packed": "x"}, "two selections", id="two"),
    ],
)
def test_a_selection_by_address_without_its_hash_is_refused(selection, message):
    assert message in refusal("relay", with_values(SSH, selection=selection))
