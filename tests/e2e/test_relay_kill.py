from conftest import BOTH_STORES, s3_destination, ssh_destination
from kills import FLAGS, RANGE_MIB, STREAMS, check_final_names, check_released_is_there, under_fire, whole_size

STATES = ("downloading", "downloaded", "sending", "sent", "verified", "released")


@BOTH_STORES
def test_a_kill_at_every_ledger_transition_is_harmless(job):
    job.hub.rate.bytes_per_second = 25e6
    kills = 0
    for state in STATES:
        for moment in ("before", "after"):
            job.run(*FLAGS, at=f"{state} {moment} 1", expect=-9)
            kills += 1
            check_final_names(job)
            check_released_is_there(job)
    job.run(*FLAGS)
    job.check_whole()
    repeated = job.hub.log.served().total_bytes - whole_size(job)
    assert repeated <= kills * STREAMS * RANGE_MIB * 2**20


@BOTH_STORES
def test_kills_at_random_moments_are_harmless(job, request, tmp_path):
    job.hub.rate.bytes_per_second = 10e6
    name = f"{tmp_path.parent.name}-{tmp_path.name}"

    def fresh(number):
        if job.destination.kind == "ssh":
            return ssh_destination(request.getfixturevalue("sshd"), f"{name}-{number}")
        return s3_destination(request.getfixturevalue("s3"), f"{name}-{number}")

    toll = under_fire(job, fresh, kills=10, seed=7, longest_seconds=5.0)
    assert toll.kills == 10
