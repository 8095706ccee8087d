"""A run whose legs are played: how it ends."""

import threading
from types import SimpleNamespace

import pytest

from xperience.common.settings.relay import RelayRunSettings
from xperience.relay.ledger import Ledger
from xperience.relay.run import Relay
from xperience.relay.scratch import Budget
from xperience.selection.model import SelectedFile, Selection


def test_no_leg_works_on_behind_a_look_at_it_that_fails(tmp_path):
    def show(_snapshot):
        raise BrokenPipeError

    selection = Selection("o/n", "dataset", "0" * 40, (SelectedFile("f", 1, "0" * 64),), (), "")
    relay = Relay(RelayRunSettings(relay_root=tmp_path), selection, None, None, show)
    relay.ledger = Ledger(relay.scratch.ledger)
    relay.budget = Budget(relay.scratch, relay.ledger, 1, 0)
    ended = []

    def leg():
        relay.stop.wait(10)
        ended.append(relay.stop.is_set())

    relay.download = relay.transfer = SimpleNamespace(run=leg)
    with pytest.raises(BrokenPipeError):
        relay._run_legs(threading.Event())
    assert ended == [True, True]
    relay.ledger.close()
