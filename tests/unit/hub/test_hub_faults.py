import threading
import time
from dataclasses import replace

import pytest
from hub_parts import RANGE_BYTES, TOKEN, content, hub_of, tasks_of

from xperience.common.errors import BadDataError, RefusedError, UnavailableError
from xperience.hub.download import Downloader
from xperience.hub.in_flight import InFlight

BIG = "big0.bin"


def arrived(standin, tmp_path):
    return (tmp_path / "scratch" / BIG).read_bytes() == content(standin, BIG)


def test_a_dropped_body_goes_on_at_its_next_byte(download, standin, tmp_path):
    standin.faults.add("drop", path=BIG, at_byte=300_001)
    report = download(BIG, streams=1)
    assert arrived(standin, tmp_path)
    assert report.retries == ["connection"]
    served = standin.log.served()
    assert (BIG, 300_001, 2 * RANGE_BYTES) in served.ranges
    assert served.bytes_by_path[BIG] == report.done[BIG].task.identity.size_bytes


def test_drops_without_progress_end_the_run_after_the_budget(download, standin):
    standin.faults.add("drop", path=BIG, at_byte=RANGE_BYTES, times=None)
    with pytest.raises(UnavailableError, match=f"{BIG}.*a rerun continues"):
        download(BIG, streams=2, retries=3)
    tries = [start for _path, start, _stop in standin.log.served().ranges if start == RANGE_BYTES]
    assert len(tries) == 1 + 3


def test_drops_with_progress_do_not_use_up_the_budget(download, standin, tmp_path):
    for at_byte in range(10_000, 50_000, 10_000):
        standin.faults.add("drop", path=BIG, at_byte=at_byte)
    assert len(download(BIG, streams=1, retries=2).retries) == 4
    assert arrived(standin, tmp_path)


def test_a_flipped_byte_costs_one_refetch_of_the_file(download, standin, tmp_path):
    standin.faults.add("flip", path=BIG, at_byte=1_000_000)
    report = download(BIG)
    assert report.mismatches == [BIG]
    assert standin.log.served().bytes_by_path[BIG] == 2 * report.done[BIG].task.identity.size_bytes
    assert arrived(standin, tmp_path)


def test_a_file_fetched_again_before_its_opener_goes_on_is_hashed_once(download, standin, tmp_path, monkeypatch):
    opened = InFlight.open

    def open_and_fall_behind(self):
        opened(self)
        deadline = time.monotonic() + 5
        while self.mismatches and self.prefix_bytes < self.task.identity.size_bytes and time.monotonic() < deadline:
            time.sleep(0.01)

    monkeypatch.setattr(InFlight, "open", open_and_fall_behind)
    standin.faults.add("flip", path=BIG, at_byte=1_000_000)
    standin.faults.add("slow", path="big1.bin", bytes_per_second=1e6)  # so that the run has not ended by then
    assert download(BIG, "big1.bin").order == [BIG, "big1.bin"]
    assert arrived(standin, tmp_path)


def test_a_byte_that_is_flipped_always_is_bad_data_with_both_hashes(download, standin, tmp_path, hub):
    standin.faults.add("flip", path=BIG, at_byte=5, times=None)
    expected = hub.identities([BIG], "main")[BIG].sha256
    with pytest.raises(BadDataError, match=f"{BIG}: expected {expected}, found [0-9a-f]{{64}}"):
        download(BIG)
    assert not (tmp_path / "scratch" / BIG).exists()


def test_a_flipped_byte_in_a_file_without_lfs_entry_is_found_by_its_git_blob_id(download, standin):
    standin.faults.add("flip", path="readme.txt", at_byte=5, times=None)
    with pytest.raises(BadDataError, match=r"readme\.txt"):
        download("readme.txt")


@pytest.mark.parametrize(("header", "route"), [("RateLimit", "resolve"), ("Retry-After", "cdn")])
def test_a_rate_limit_is_obeyed_by_all_streams(download, standin, tmp_path, header, route):
    # RateLimit's rounding adds a second of its own.
    seconds = 0 if header == "RateLimit" else 1
    standin.faults.add("too_many_requests", route=route, header=header, seconds=seconds)
    begun = time.monotonic()
    report = download(BIG, streams=1)
    assert 1.0 <= time.monotonic() - begun < 3.0
    assert report.retries == ["rate limit"]
    assert arrived(standin, tmp_path)


def test_while_a_host_asks_for_a_pause_no_stream_asks_it_anything(download, standin):
    standin.faults.add("too_many_requests", route="resolve", header="Retry-After", seconds=1)
    download(BIG, "big1.bin", "big2.bin", streams=8)
    # One refused call, then one for each file.
    assert sum(standin.log.served().resolve_calls.values()) == 4


def test_a_rate_limit_without_end_is_unavailable(download, standin):
    standin.faults.add("too_many_requests", header="Retry-After", seconds=0, times=None)
    with pytest.raises(UnavailableError, match="rate limit"):
        download(BIG, retries=2)


@pytest.mark.parametrize("route", ["resolve", "cdn"])
def test_an_overloaded_server_is_asked_again(download, standin, tmp_path, route):
    standin.faults.add("unavailable", route=route, times=2)
    assert download(BIG, streams=1).retries == ["HTTP 503"] * 2
    assert arrived(standin, tmp_path)


def test_an_overloaded_server_is_unavailable_after_the_budget(download, standin):
    standin.faults.add("unavailable", route="cdn", times=None)
    with pytest.raises(UnavailableError, match="HTTP 503"):
        download(BIG, retries=2)


def test_an_expired_address_is_renewed(download, standin, tmp_path):
    standin.faults.add("expire", path=BIG)
    assert download(BIG, streams=1).retries == ["expired address"]
    assert standin.log.served().resolve_calls[BIG] == 2
    assert arrived(standin, tmp_path)


def test_addresses_that_expire_all_the_time_are_renewed_all_the_time(download, standin, tmp_path):
    standin.address_seconds, standin.rate.bytes_per_second = 0.3, 2e6
    download(BIG, streams=2, range_bytes=64 << 10)
    assert 2 <= standin.log.served().resolve_calls[BIG] <= 8
    assert arrived(standin, tmp_path)


def test_an_address_that_is_never_good_is_unavailable_and_not_quoted(download, standin):
    standin.faults.add("expire", path=BIG, times=None)
    with pytest.raises(UnavailableError, match=BIG) as raised:
        download(BIG, retries=2)
    assert "signature" not in str(raised.value)


def test_a_server_that_ignores_range_once_is_asked_again(download, standin, tmp_path):
    standin.faults.add("ignore_range", path=BIG)
    assert download(BIG, streams=1).retries == ["range ignored"]
    assert arrived(standin, tmp_path)


def test_a_server_that_always_ignores_range_is_unavailable_for_a_file_of_several_ranges(download, standin):
    standin.faults.add("ignore_range", path=BIG, times=None)
    with pytest.raises(UnavailableError, match="ignores Range"):
        download(BIG, retries=2)


def test_a_server_that_ignores_range_serves_a_file_of_one_range_even_after_a_drop(download, standin, tmp_path):
    standin.faults.add("ignore_range", path=BIG, times=None)
    standin.faults.add("drop", path=BIG, at_byte=500_000)
    download(BIG, range_bytes=16 << 20)
    assert arrived(standin, tmp_path)


def test_a_token_revoked_in_the_middle_ends_the_run_at_once(download, standin):
    standin.rate.bytes_per_second, standin.address_seconds = 2e6, 0.3

    def revoke(_count: int) -> None:
        standin.token = None

    with pytest.raises(RefusedError, match="does not accept the token") as raised:
        download(BIG, "big1.bin", on_bytes=revoke)
    assert TOKEN not in str(raised.value)


def test_a_gate_that_closes_in_the_middle_says_where_to_ask(download, standin):
    def close(_count: int) -> None:
        standin.gate = "not_approved"
        standin.faults.add("expire", path=BIG)

    with pytest.raises(RefusedError, match=r"gate is not approved.*datasets/org/data"):
        download(BIG, on_bytes=close, streams=1)


def test_a_file_that_left_the_hub_is_bad_data(standin, hub, tmp_path):
    tasks = tasks_of(hub, [BIG], standin.commit, tmp_path, None)
    del standin.contents.virtual[BIG]
    downloader = Downloader(hub, "main", streams=2, range_bytes=RANGE_BYTES, retries=3, stop=threading.Event())
    with pytest.raises(BadDataError, match=f"not on the hub.*{BIG}"):
        downloader.run(lambda: tasks.pop(0) if tasks else None, lambda: not tasks, lambda _: None)


def test_a_file_of_another_size_than_the_selected_one_is_bad_data(standin, hub, tmp_path):
    [task] = tasks_of(hub, [BIG], standin.commit, tmp_path, None)
    tasks = [replace(task, identity=replace(task.identity, size_bytes=1_000_000))]
    downloader = Downloader(hub, "main", streams=2, range_bytes=RANGE_BYTES, retries=3, stop=threading.Event())
    with pytest.raises(BadDataError, match="selected 1000000 bytes, found"):
        downloader.run(lambda: tasks.pop(0) if tasks else None, lambda: not tasks, lambda _: None)


def test_a_silent_connection_is_given_up_after_the_timeout_and_taken_up_again(standin, download, tmp_path):
    standin.faults.add("slow", path=BIG, bytes_per_second=20_000)  # one block of 16 KiB per 0.8 s
    report = download(BIG, streams=1, timeout_seconds=0.3)
    assert report.retries == ["timeout"]
    assert arrived(standin, tmp_path)


def test_a_hub_that_is_gone_is_unavailable(standin, hub, tmp_path):
    tasks = tasks_of(hub, [BIG], standin.commit, tmp_path, None)
    gone = hub_of(standin)
    gone.endpoint = "http://127.0.0.1:9"
    downloader = Downloader(gone, "main", streams=2, range_bytes=RANGE_BYTES, retries=2, stop=threading.Event())
    with pytest.raises(UnavailableError, match="cannot be reached"):
        downloader.run(lambda: tasks.pop(0) if tasks else None, lambda: not tasks, lambda _: None)
