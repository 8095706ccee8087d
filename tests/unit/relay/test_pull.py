import threading

import pytest

from xperience.common.errors import StoppedError
from xperience.common.transfer import MANIFEST_NAME
from xperience.relay.pull import wait_for_manifest


def test_a_wait_for_other_shards_ends_by_their_manifest_by_its_time_or_as_stopped(tmp_path):
    stop = threading.Event()
    assert not wait_for_manifest(tmp_path, seconds=0, stop=stop)
    stop.set()
    with pytest.raises(StoppedError):
        wait_for_manifest(tmp_path, seconds=60, stop=stop)
    (tmp_path / MANIFEST_NAME).touch()
    assert wait_for_manifest(tmp_path, seconds=60, stop=stop)
