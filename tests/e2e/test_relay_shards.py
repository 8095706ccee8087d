import hashlib
import http.server
import threading
from functools import partial

from conftest import BOTH_STORES, Job, summary_of

from xperience.common.transfer import MANIFEST_NAME, TransferManifest


def shard_job(job: Job, index: int, count: int) -> Job:
    folder = job.folder / f"shard-{index}-of-{count}"
    folder.mkdir(exist_ok=True)
    made = Job(folder, job.hub, job.destination, [*job.flags, "--shard", f"{index}/{count}"])
    made.selection.write_bytes(job.selection.read_bytes())
    return made


def manifest_bytes(job: Job) -> bytes:
    root = job.destination.root
    if root is not None:
        return (root / MANIFEST_NAME).read_bytes()
    found = job.destination.server.client().get_object(
        Bucket=job.destination.server.bucket, Key=f"{job.destination.prefix}/{MANIFEST_NAME}"
    )
    return found["Body"].read()


def served_from_lfs(job: Job) -> int:
    """Bytes of the files whose sha256 the hub knows; it has only a git id of the others, so they move again."""
    served = job.hub.log.served().bytes_by_path
    return sum(count for path, count in served.items() if not path.endswith(".txt"))


def without_parts(content: dict[str, str]) -> dict[str, str]:
    return {path: sha256 for path, sha256 in content.items() if not path.startswith("xperience-transfer-manifest")}


@BOTH_STORES
def test_two_shards_side_by_side_bring_what_one_relay_brings(job):
    shards = [shard_job(job, index, 2) for index in range(2)]
    running = [shard.start() for shard in shards]
    for process in running:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors[-3000:]
    assert without_parts(job.destination.content()) == job.source()
    assert [shard.left_on_scratch() for shard in shards] == [[], []]
    halves = [summary_of(shard.scratch)["size_bytes"] for shard in shards]
    assert abs(halves[0] - halves[1]) < 0.1 * sum(halves)
    of_two = TransferManifest.parse(manifest_bytes(job), where="store")
    job.run(verb=("relay", "verify"))

    # The same files by one relay, onto another scratch: hardly anything moves, and the manifest has the same content.
    served = served_from_lfs(job)
    job.run()
    assert served_from_lfs(job) == served
    assert summary_of(job.scratch)["arrived_files"] == 12
    of_one = TransferManifest.parse(manifest_bytes(job), where="store")
    assert of_one.content_sha256 == of_two.content_sha256


def test_the_manifest_comes_with_the_last_shard_and_its_bytes_follow_from_the_parts(job):
    first, second = (shard_job(job, index, 2) for index in range(2))
    done = first.run("--log-format", "json")
    assert MANIFEST_NAME not in job.destination.all_content()
    assert '"event": "waits_for_shards"' in done.stderr
    second.run()
    merged = manifest_bytes(job)
    # Every shard that sees all parts writes the same bytes again.
    second.run()
    first_again = manifest_bytes(job)
    assert (
        TransferManifest.parse(first_again, where="").content_sha256
        == TransferManifest.parse(merged, where="").content_sha256
    )


def test_a_part_of_another_selection_does_not_count(job):
    first, second = (shard_job(job, index, 2) for index in range(2))
    first.run()
    second.select(include=("*",))
    second.run()
    assert MANIFEST_NAME not in job.destination.all_content()


def test_another_cut_into_shards_moves_nothing_of_what_is_there(job):
    for index in range(2):
        shard_job(job, index, 2).run()
    served = served_from_lfs(job)
    for index in range(3):
        shard_job(job, index, 3).run()
    assert served_from_lfs(job) == served
    assert without_parts(job.destination.content()) == job.source()


def test_a_selection_comes_by_address_and_only_with_its_hash(job):
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=job.folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/selection.json"
        sha256 = hashlib.sha256(job.selection.read_bytes()).hexdigest()
        refused = job.run("--selection-url", url, "--selection-sha256", "0" * 64, expect=65)
        assert "not the one that is meant" in refused.stderr
        refused = job.run("--selection-url", url, expect=64)
        assert "needs its hash" in refused.stderr
        job.run("--selection-url", url, "--selection-sha256", sha256)
        server.shutdown()
    job.check_whole()
    # The next run needs the address no more.
    job.run("--selection-url", url, "--selection-sha256", sha256)
    gone = job.run("--selection-url", url, "--selection-sha256", "1" * 64, expect=69)
    assert "cannot be had" in gone.stderr
