"""The training chart under both APIs: jobs against the CRDs' own schemas, their pods against Kubernetes'."""

import pytest
import yaml
from conftest import CHARTS, PODS, one, pods, refusal, render, scenarios
from test_relay_chart import env_of, with_values

CHART = "qwen3-omni"
SCENARIOS = pytest.mark.parametrize("values", scenarios(CHART))
TRAIN, TRAINJOB, EVALUATE, EVERYTHING = (
    yaml.safe_load((CHARTS / CHART / "ci" / f"{name}-values.yaml").read_text())
    for name in ("train", "trainjob", "evaluate", "everything")
)


def template(objects):
    (found,) = pods(objects)
    return found


def worker(objects):
    (container,) = template(objects)["spec"]["containers"]
    return container


def job_name(values):
    (name,) = {item["metadata"]["name"] for item in render(CHART, values) if item["kind"] in PODS}
    return name


@SCENARIOS
def test_a_jobs_name_leaves_room_for_what_its_controller_appends(values):
    # The operator appends -worker-<n>, JobSet -node-<n>-<n>-<random>.
    assert all(len(item["metadata"]["name"]) <= 49 for item in render(CHART, values) if item["kind"] in PODS)


def test_workers_alone_have_a_rendezvous_of_their_own_and_restart_on_signals_alone():
    job = one(render(CHART, TRAIN), "PyTorchJob")
    assert set(job["spec"]["pytorchReplicaSpecs"]) == {"Worker"}
    elastic = job["spec"]["elasticPolicy"]
    assert elastic == {
        "minReplicas": 2, "maxReplicas": 2, "rdzvBackend": "c10d", "rdzvId": job["metadata"]["name"], "maxRestarts": 10,
    }  # fmt: skip
    assert job["spec"]["pytorchReplicaSpecs"]["Worker"]["restartPolicy"] == "ExitCode"
    assert worker([job])["name"] == "pytorch"


def test_both_apis_run_the_same_pod():
    first = template(render(CHART, with_values(TRAIN, trainer__api="trainjob")))
    second = template(render(CHART, TRAIN))
    first["spec"]["containers"][0]["name"] = "pytorch"
    assert first["spec"].pop("restartPolicy") == "Never"
    assert first == second


def test_a_trainjob_starts_all_hosts_again_but_not_where_it_was_refused():
    objects = render(CHART, TRAINJOB)
    runtime = one(objects, "TrainingRuntime")
    assert one(objects, "TrainJob")["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]
    kinds = [item["kind"] for item in objects]
    assert kinds.index("TrainingRuntime") < kinds.index("TrainJob")  # in the order in which Helm makes them
    assert one(objects, "TrainJob")["spec"]["trainer"] == {"numNodes": 2}  # else its pods get no rendezvous
    jobset = runtime["spec"]["template"]["spec"]
    assert jobset["failurePolicy"]["maxRestarts"] == 3
    assert jobset["failurePolicy"]["rules"][0]["action"] == "FailJobSet"
    assert "ttlSecondsAfterFinished" not in jobset  # the controller would make the JobSet again for ever
    (policy,) = (
        rule["onExitCodes"]
        for rule in jobset["replicatedJobs"][0]["template"]["spec"]["podFailurePolicy"]["rules"]
        if "onExitCodes" in rule
    )
    assert (policy["containerName"], 77 in policy["values"]) == ("node", True)


def test_the_gate_runs_before_the_workers_and_decides_with_its_code():
    (gate,) = template(render(CHART, TRAIN))["spec"]["initContainers"]
    assert gate["command"][-1] == "train"
    assert "xperience gates --for" in gate["command"][2]
    assert "/gate/code" in gate["command"][2]
    assert 'exit "$code"' in worker(render(CHART, TRAIN))["command"][2]


def test_a_checkpoint_has_the_grace_period_less_what_comes_after_it():
    objects = render(CHART, EVERYTHING)
    assert template(objects)["spec"]["terminationGracePeriodSeconds"] == 120
    assert env_of(worker(objects))["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] == "105"


def test_gpus_nccl_and_gang_reach_the_workers():
    objects = render(CHART, EVERYTHING)
    job = one(objects, "PyTorchJob")["spec"]
    assert job["nprocPerNode"] == "4"
    assert worker(objects)["resources"]["limits"]["nvidia.com/gpu"] == 4
    env = env_of(worker(objects))
    assert (env["NCCL_IB_HCA"], env["XPERIENCE_STRATEGY"], env["XPERIENCE_PACK_TOKENS"]) == ("mlx5", "fsdp", "16384")
    assert job["runPolicy"]["schedulingPolicy"] == {"minAvailable": 4, "queue": "training"}
    assert template(objects)["spec"]["schedulerName"] == "volcano"
    without = worker(render(CHART, with_values(TRAIN, gpu__count=0, trainer__processesPerWorker=2)))
    assert "nvidia.com/gpu" not in without["resources"]["limits"]


def test_shared_memory_is_memory_with_a_size():
    volumes = {volume["name"]: volume for volume in template(render(CHART, TRAIN))["spec"]["volumes"]}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Gi"}


def test_data_and_model_in_one_claim_are_one_volume():
    pod = template(render(CHART, with_values(TRAIN, model__claim="training-data")))["spec"]
    claims = [
        volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume
    ]
    assert claims == ["training-data"]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["/models"] == mounts["/data"] == "data"


def test_ranks_reach_each_other_and_nobody_else_unless_online():
    spec = one(render(CHART, TRAIN), "NetworkPolicy")["spec"]
    assert len(spec["ingress"]) == 1
    assert "ports" not in spec["ingress"][0]
    ports = {port["port"] for rule in spec["egress"] for port in rule.get("ports", [])}
    assert ports == {53, 5353}
    online = one(render(CHART, EVERYTHING), "NetworkPolicy")["spec"]
    assert 443 in {port["port"] for rule in online["egress"] for port in rule.get("ports", [])}
    assert online["ingress"][1]["ports"] == [{"protocol": "TCP", "port": 9090}]


def test_evaluation_is_sharded_and_lets_the_base_model_answer_first():
    spec = one(render(CHART, EVALUATE), "Job")["spec"]
    assert (spec["completionMode"], spec["completions"], spec["maxFailedIndexes"]) == ("Indexed", 4, 0)
    (zero_shot,) = spec["template"]["spec"]["initContainers"]
    assert zero_shot["args"] == ["qwen3-omni", "evaluate", "--zero-shot"]
    (container,) = spec["template"]["spec"]["containers"]
    assert container["args"] == ["qwen3-omni", "evaluate"]
    assert env_of(container)["XPERIENCE_SHARDS"] == "4"
    named = [
        rule["onExitCodes"]["containerName"] for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule
    ]
    assert named == ["zero-shot", "evaluate"]


def test_a_change_of_what_pods_do_makes_another_job():
    values = (
        TRAIN, EVALUATE, TRAINJOB, with_values(TRAIN, trainer__workers=3), with_values(TRAIN, settings__seed=8),
        with_values(TRAIN, image__train__tag="v2"), with_values(EVALUATE, evaluate__backoffLimitPerShard=2),
    )  # fmt: skip
    assert len({job_name(one_of) for one_of in values}) == len(values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"data__claim": ""}, "data.claim", id="no-claim"),
        pytest.param({"model__claim": ""}, "model.claim", id="no-model"),
        pytest.param({"data__outputPath": "/abs"}, "data.outputPath is a folder", id="absolute"),
        pytest.param({"model__path": "a/../.."}, "model.path is a folder", id="outside"),
        pytest.param({"stage": "serve"}, "stage is train or evaluate", id="stage"),
        pytest.param({"trainer__api": "mpijob"}, "trainer.api", id="api"),
        pytest.param({"trainer__workers": 0}, "trainer.workers", id="no-worker"),
        pytest.param({"trainer__terminationGracePeriodSeconds": 10}, "less than 30", id="no-time-to-save"),
        pytest.param(
            {"gang__schedulerName": "volcano", "kueueQueueName": "q"}, "one of them admits", id="two-admissions"
        ),
        pytest.param({"hub__tokenSecret": "token"}, "a token that nothing uses", id="token-offline"),
        pytest.param({"extraEnv__HF_TOKEN": "hf_x"}, "is a secret", id="secret"),
        pytest.param({"settings__learningrate": 1}, "learningrate", id="misspelt-setting"),
    ],
)
def test_values_that_cannot_work_stop_before_anything_is_installed(changes, message):
    assert message in refusal(CHART, with_values(TRAIN, **changes))
