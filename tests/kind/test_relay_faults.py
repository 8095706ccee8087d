"""What a cluster does to a relay: the API server restarts, its volume is full. A node that goes: test_training.py."""

from ground import CONTROL_PLANE, WORKER, Cluster, run, wait_for
from relays import check_by_an_independent_job, install, ssh, tmpfs_volume


def restart_api_server(cluster: Cluster) -> None:
    """kill -9; the kubelet starts another."""

    def process() -> str:
        return run("docker", "exec", CONTROL_PLANE, "pidof", "kube-apiserver", expect=None).strip()

    before = process()
    run("docker", "exec", CONTROL_PLANE, "kill", "-9", before)
    wait_for(lambda: process() not in ("", before), "another API server", 120)
    wait_for(lambda: cluster.kubectl("get", "--raw", "/readyz", expect=None) == "ok", "its readiness", 120)


def test_the_relay_does_not_care_that_its_api_server_was_away(cluster):
    store = ssh("server-away")
    install(cluster, "server-away", store)
    job = cluster.job("server-away")
    pod = cluster.running_pod(job)
    restart_api_server(cluster)
    assert cluster.running_pod(job) == pod
    cluster.complete(job)
    assert cluster.status()[job]["failed_pods"] == 0
    check_by_an_independent_job(cluster, "server-away", store)


def test_a_volume_that_fills_up_on_the_way_ends_the_job_with_its_reason_and_an_upgrade_goes_on(cluster):
    tmpfs_volume(cluster, "filled", 64)
    store, values = ssh("filled"), {"scratch": {"storageClassName": "filled"}}
    install(cluster, "filled", store, values)
    job = cluster.job("filled")
    cluster.wait_for_event(cluster.running_pod(job), "verified")
    run("docker", "exec", WORKER, "sh", "-c", "cat /dev/zero >/mnt/filled/filler", expect=None)
    cluster.ended(job, "Failed", 120)
    found = cluster.status()[job]
    assert (found["state"], found["failed_pods"]) == ("failed", 1)
    assert "No space left" in found["last_error"] or "scratch" in found["last_error"], found["last_error"]
    assert "exit 73" in found["last_error"], found["last_error"]
    run("docker", "exec", WORKER, "rm", "/mnt/filled/filler")
    install(cluster, "filled", store, values, {"settings": {"chunk_size_mib": 2}}, verb="upgrade")
    cluster.complete(cluster.job("filled"))
    check_by_an_independent_job(cluster, "filled", store)
