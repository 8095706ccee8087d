from pathlib import Path

import pytest

from xperience.common.errors import UsageError
from xperience.common.settings.relay import RelayRunSettings
from xperience.relay.opening import SETTINGS_NAME, save_settings, saved_settings


def test_a_run_is_resumed_in_the_scratch_that_is_named_from_whatever_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    save_settings(RelayRunSettings(relay_root=Path("relay"), batch_max_episodes=3))
    monkeypatch.chdir(tmp_path)
    found = saved_settings(Path("here/relay"))
    assert (found.relay_root, found.batch_max_episodes) == (Path("here/relay"), 3)


@pytest.mark.parametrize("content", ['{"a_setting_that_went": 1}', "{", ""], ids=["other version", "cut", "empty"])
def test_settings_that_cannot_be_read_are_a_usage_error(tmp_path, content):
    (tmp_path / SETTINGS_NAME).write_text(content)
    with pytest.raises(UsageError, match="nothing to resume"):
        saved_settings(tmp_path)
