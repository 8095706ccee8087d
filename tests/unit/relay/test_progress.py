import math
import threading
import time

import pytest

from xperience.common.metrics import REGISTRY
from xperience.relay.progress import Progress


def value(name, **labels):
    return REGISTRY.get_sample_value(f"xperience_relay_{name}", labels)


@pytest.mark.parametrize("leg", ["download", "transfer", "verify"])
def test_every_leg_has_its_series_before_its_first_byte(leg):
    before = time.time()
    Progress()
    assert value("bytes_total", leg=leg) is not None
    assert value("leg_busy_seconds_total", leg=leg) is not None
    assert value("files_in_work", leg=leg) == 0
    assert value("last_progress_timestamp_seconds", leg=leg) >= before


def test_busy_time_is_seen_while_a_leg_works_and_counted_once():
    progress = Progress()
    before = value("leg_busy_seconds_total", leg="download")
    with progress.download.working():
        time.sleep(0.05)
        progress.download.note_busy()
        seen = value("leg_busy_seconds_total", leg="download") - before
        assert seen >= 0.05
    total = value("leg_busy_seconds_total", leg="download") - before
    assert total == pytest.approx(progress.download.busy_seconds)
    assert seen <= total < seen + 0.05
    time.sleep(0.05)
    progress.download.note_busy()
    assert value("leg_busy_seconds_total", leg="download") - before == pytest.approx(total)


def test_two_files_at_once_count_their_time_once():
    progress = Progress()
    with progress.transfer.working(), progress.transfer.working():
        time.sleep(0.05)
    assert 0.05 <= progress.transfer.busy_seconds < 0.09


def test_a_file_that_the_store_hashes_is_not_one_that_should_send():
    progress = Progress()
    with progress.transfer.working(), progress.transfer.working(), progress.verify.working():
        assert value("files_in_work", leg="transfer") == 1
        assert value("files_in_work", leg="verify") == 1
    assert value("files_in_work", leg="transfer") == 0


def test_work_after_a_pause_is_no_old_progress():
    progress = Progress()
    then = value("last_progress_timestamp_seconds", leg="verify")
    time.sleep(0.02)
    with progress.verify.working():
        assert value("last_progress_timestamp_seconds", leg="verify") > then


def test_the_deadline_counts_from_now_and_there_may_be_none():
    progress = Progress()
    progress.note_deadline(3600)
    assert value("deadline_timestamp_seconds") == pytest.approx(time.time() + 3600, abs=5)
    progress.note_deadline(0)
    assert math.isnan(value("deadline_timestamp_seconds"))


def test_busy_time_survives_many_threads():
    progress = Progress()
    threads = [threading.Thread(target=lambda: [enter_and_leave(progress) for _ in range(200)]) for _ in range(8)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert progress.verify.active == 0
    assert 0 < progress.verify.busy_seconds <= time.monotonic() - started


def enter_and_leave(progress):
    with progress.verify.working():
        progress.verify.note_busy()
