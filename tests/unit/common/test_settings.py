import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from xperience.cli.flags import command, variables_of
from xperience.common.errors import RefusedError, UsageError
from xperience.common.settings.hub import HubSettings
from xperience.common.settings.relay import RelayRunSettings

runner = CliRunner()


@pytest.fixture
def seen(monkeypatch):
    for name in ("HF_ENDPOINT", "RELAY_ROOT", "TRAINING_HOST"):
        monkeypatch.delenv(name, raising=False)
    app = typer.Typer()
    found = []
    command(app, "run", RelayRunSettings)(found.append)
    app.command("other")(lambda: None)

    def call(*arguments, **variables):
        result = runner.invoke(app, ["run", *arguments], env=variables)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return found[-1]

    return call


def test_every_setting_of_the_plans_commands_is_a_flag_of_the_same_name(seen):
    settings = seen(
        "--selection-json", "s.json", "--relay-root", "r", "--batch-max-gib", "40", "--batch-max-episodes", "16",
        "--transfer-host", "u@h", "--transfer-root", "/d", "--ssh-key", "k", "--transfer-mode", "chunked",
        "--chunk-parallel", "8", "--chunk-size-mib", "8", "--chunk-threshold-mib", "8", "--delete-after-transfer",
        "--dry-run",
    )  # fmt: skip
    assert (settings.transfer_host, settings.chunk_size_mib, settings.delete_after_transfer) == ("u@h", 8, True)


def test_a_flag_wins_over_a_variable_and_ours_over_the_plans(seen):
    assert str(seen(RELAY_ROOT="a").relay_root) == "a"
    assert str(seen(RELAY_ROOT="a", XPERIENCE_RELAY_ROOT="b").relay_root) == "b"
    assert str(seen("--relay-root", "c", RELAY_ROOT="a", XPERIENCE_RELAY_ROOT="b").relay_root) == "c"


def test_a_value_out_of_range_names_its_flag(seen):
    with pytest.raises(UsageError, match="--chunk-parallel"):
        seen("--chunk-parallel", "0")


def test_no_command_leaves_a_core_file():
    asks = "import resource, xperience.cli.main as m\ntry: m.main()\nfinally: print(resource.getrlimit(4))"
    done = subprocess.run([sys.executable, "-c", asks, "version"], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "(0, 0)"


def test_no_setting_is_a_secret():
    for name in RelayRunSettings.model_fields:
        assert "secret" not in name
        assert "password" not in name
        assert not name.endswith("token")


def test_every_setting_says_what_it_means():
    for name, field in RelayRunSettings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert variables_of(name, field)[0] == f"XPERIENCE_{name.upper()}"


def test_the_token_comes_from_the_file_before_the_variable_and_prints_as_stars(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_from_variable")
    (tmp_path / "token").write_text("hf_from_file\n")
    assert HubSettings().hf_token().get_secret_value() == "hf_from_variable"
    token = HubSettings(hf_token_path=tmp_path / "token").hf_token()
    assert token.get_secret_value() == "hf_from_file"
    assert "hf_" not in repr(token)


def test_an_empty_token_file_is_no_token(tmp_path):
    (tmp_path / "token").write_text("\n")
    assert HubSettings(hf_token_path=tmp_path / "token").hf_token() is None


def test_a_token_file_that_is_missing_is_refused_by_name(tmp_path):
    with pytest.raises(RefusedError, match="nowhere"):
        HubSettings(hf_token_path=tmp_path / "nowhere").hf_token()
