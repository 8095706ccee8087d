import contextlib
import hashlib
import threading
import time
from pathlib import Path

import pytest
from hub_parts import RANGE_BYTES, TOKEN, Report, content, hub_of, tasks_of

from xperience.common.errors import BadDataError
from xperience.common.identity import FileIdentity
from xperience.hub.download import Downloader, DownloadTask
from xperience.hub.in_flight import InFlight
from xperience.hub.ranges import bitmap_path, header_of, part_path
from xperience.standin.hub_contents import VirtualFile

BIG = "big0.bin"


def test_every_file_arrives_whole_with_a_constant_time_and_nothing_beside_it(download, standin, tmp_path):
    report = download(*standin.contents.paths(), part_bytes=1 << 20)
    assert sorted(report.done) == standin.contents.paths()
    for path, downloaded in report.done.items():
        there = tmp_path / "scratch" / path
        assert there.read_bytes() == content(standin, path)
        assert downloaded.digests.sha256 == hashlib.sha256(there.read_bytes()).hexdigest()
        whole = downloaded.task.identity.size_bytes <= 1 << 20
        assert downloaded.digests.md5 == (hashlib.md5(there.read_bytes()).hexdigest() if whole else None)
        assert there.stat().st_mtime == 946_684_800
    left = [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()]
    assert len(left) == len(standin.contents.paths())
    assert report.bytes == sum(downloaded.task.identity.size_bytes for downloaded in report.done.values())


def test_the_token_never_reaches_the_cdn(download, standin):
    download(BIG, "big1.bin")
    assert standin.log.served().bytes_by_path[BIG] > 0
    assert standin.log.served().cdn_authorizations == set()


def test_a_file_costs_one_resolve_call_however_many_ranges_it_has(download, standin):
    download(BIG, "big1.bin", streams=8, range_bytes=64 << 10)
    served = standin.log.served()
    assert served.resolve_calls == {BIG: 1, "big1.bin": 1}
    assert len(served.ranges) > 60


def test_a_connection_is_used_for_many_ranges(download, standin):
    before = standin.log.served().connections
    download(BIG, streams=2, range_bytes=64 << 10)
    assert standin.log.served().connections - before <= 2 + 2 + 2  # streams at the CDN, HEAD, the API's


def test_the_oldest_file_takes_every_stream_before_the_next_one_begins(download, standin):
    download(BIG, "big1.bin", "big2.bin", streams=4)
    order = [path for path, _start, _stop in standin.log.served().ranges]
    first_of_next = order.index("big1.bin")
    # At that moment each of the other streams may still have its range of the oldest file before it.
    assert order[: first_of_next - 4].count(BIG) == max(first_of_next - 4, 0)
    assert order[first_of_next + 4 :].count(BIG) == 0


def test_a_task_that_may_not_start_yet_is_asked_for_again_at_once_on_wake(standin, tmp_path):
    hub = hub_of(standin)
    tasks = tasks_of(hub, [BIG, "big1.bin"], standin.commit, tmp_path, None)
    room, done, moments = threading.Event(), [], {}
    downloader = Downloader(hub, standin.commit, streams=3, range_bytes=RANGE_BYTES, retries=3, stop=threading.Event())

    def next_task() -> DownloadTask | None:
        if not tasks or (len(tasks) == 1 and not room.is_set()):
            return None
        moments[tasks[0].identity.path] = time.monotonic()
        return tasks.pop(0)

    runner = threading.Thread(target=downloader.run, args=(next_task, lambda: not tasks, done.append))
    runner.start()
    while not done:
        time.sleep(0.005)
    time.sleep(0.3)
    assert len(tasks) == 1
    room.set()
    woken = time.monotonic()
    downloader.wake()
    runner.join(10)
    assert [downloaded.task.identity.path for downloaded in done] == [BIG, "big1.bin"]
    assert moments["big1.bin"] - woken < 0.15  # without wake up to 0.2 s


def test_recordings_are_refused_before_any_request(tmp_path):
    with pytest.raises(BadDataError, match=r"visualization\.RRD"):
        DownloadTask(FileIdentity("s/visualization.RRD", 1, sha256="0" * 64), tmp_path / "x")


def test_a_file_without_any_hash_is_refused(tmp_path):
    with pytest.raises(BadDataError, match="no hash"):
        DownloadTask(FileIdentity("x", 1), tmp_path / "x")


def test_a_stop_ends_soon_keeps_what_is_there_and_the_rerun_fetches_the_rest_alone(download, standin, tmp_path):
    standin.faults.add("slow", path=BIG, times=None, bytes_per_second=400_000)
    stop, report = threading.Event(), Report()
    standin.rate.bytes_per_second = 4e6

    def stop_in_the_middle(_count: int) -> None:
        if report.bytes > 1_000_000:
            stop.set()

    begun = time.monotonic()
    download(BIG, streams=4, range_bytes=64 << 10, stop=stop, on_bytes=stop_in_the_middle, report=report)
    assert time.monotonic() - begun < 3
    assert report.done == {}
    assert part_path(tmp_path / "scratch" / BIG).exists()
    standin.faults.clear()
    standin.rate.bytes_per_second = 0
    again = download(BIG, range_bytes=64 << 10)
    size = again.done[BIG].task.identity.size_bytes
    # At most one range per stream is fetched twice.
    assert size <= report.bytes + again.bytes <= size + 4 * (64 << 10)
    assert (tmp_path / "scratch" / BIG).read_bytes() == content(standin, BIG)


def test_a_stop_does_not_wait_for_a_body_that_fell_silent(download, standin):
    standin.faults.add("slow", path=BIG, times=None, bytes_per_second=0.001)
    stop = threading.Event()
    threading.Timer(0.4, stop.set).start()
    begun = time.monotonic()
    download(BIG, stop=stop, timeout_seconds=30)
    assert time.monotonic() - begun < 2


def test_a_file_that_is_there_is_hashed_and_not_fetched(download, standin, tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / BIG).write_bytes(content(standin, BIG))
    report = download(BIG)
    assert list(report.done) == [BIG]
    assert standin.log.served().total_bytes == 0


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: b"\0" + raw[1:]], ids=["size", "content"])
def test_a_file_that_is_there_with_other_content_is_fetched_anew(download, standin, tmp_path, damage):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / BIG).write_bytes(damage(content(standin, BIG)))
    download(BIG)
    assert (tmp_path / "scratch" / BIG).read_bytes() == content(standin, BIG)


def test_a_file_killed_between_hash_and_name_is_only_hashed_again(download, standin, tmp_path):
    download(BIG)
    there = tmp_path / "scratch" / BIG
    size = there.stat().st_size
    # The state just before the rename: a whole part and a bitmap of ones.
    there.rename(part_path(there))
    found = hub_of(standin).identities([BIG], "main")[BIG]
    bitmap_path(there).write_bytes(header_of(found, RANGE_BYTES) + b"\1" * -(-size // RANGE_BYTES))
    standin.log.reset()
    assert list(download(BIG).done) == [BIG]
    assert standin.log.served().total_bytes == 0
    assert not bitmap_path(there).exists()


def test_an_error_of_the_receiver_ends_the_run_with_that_error(standin, tmp_path):
    hub = hub_of(standin)
    tasks = tasks_of(hub, [BIG, "big1.bin"], standin.commit, tmp_path, None)

    def refuse(_downloaded: object) -> None:
        raise BadDataError("the ledger says no")

    downloader = Downloader(hub, standin.commit, streams=2, range_bytes=RANGE_BYTES, retries=3, stop=threading.Event())
    with pytest.raises(BadDataError, match="the ledger says no"):
        downloader.run(lambda: tasks.pop(0) if tasks else None, lambda: not tasks, refuse)


def test_threads_and_open_files_do_not_grow_with_the_number_of_files(download, standin, tmp_path):
    standin.contents.virtual |= {f"many/{number}.bin": VirtualFile(70_000, number % 4) for number in range(150)}
    most = {"threads": 0, "files": 0}

    def look(_count: int) -> None:
        names = [thread.name for thread in threading.enumerate()]
        most["threads"] = max(most["threads"], sum(name.startswith(("stream-", "hash")) for name in names))
        most["files"] = max(most["files"], open_files_below(str(tmp_path / "scratch")))

    paths = [f"many/{number}.bin" for number in range(150)]
    assert len(download(*paths, streams=4, on_bytes=look).done) == 150
    assert 4 <= most["threads"] <= 2 * 4 + 2
    assert most["files"] <= 2 * (4 + 1) + 4 + 2


def test_what_is_there_from_the_first_byte_on_grows_when_the_gap_before_it_is_filled(tmp_path):
    identity = FileIdentity("file", 10, "0" * 64, None)
    file = InFlight(DownloadTask(identity, tmp_path / "file"), 4)
    file.open()
    grown = [file.prefix_bytes]
    for index in (1, 0, 2):
        file.arrived(index)
        grown.append(file.prefix_bytes)
    assert grown == [0, 0, 8, 10]


def test_a_file_is_hashed_while_it_arrives(download, standin, monkeypatch):
    standin.faults.add("slow", path=BIG, bytes_per_second=5e6)
    read_bytes = []

    def noted(self, file, stop):
        awaited(self, file, stop)
        read_bytes.append((stop, file.prefix_bytes))

    awaited = Downloader._await_bytes
    monkeypatch.setattr(Downloader, "_await_bytes", noted)
    size_bytes = download(BIG, streams=1).done[BIG].task.identity.size_bytes
    assert [stop for stop, _ in read_bytes][-1] == size_bytes
    assert all(stop <= there for stop, there in read_bytes)
    assert read_bytes[0][1] < size_bytes


def open_files_below(folder: str) -> int:
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(descriptor.readlink()).startswith(folder)
    return count


def test_no_secret_and_no_signature_is_logged_at_the_lowest_level(download, standin, caplog):
    caplog.set_level("DEBUG")
    standin.faults.add("expire", path=BIG)
    download(BIG, "readme.txt")
    assert TOKEN not in caplog.text
    assert "signature=" not in caplog.text
