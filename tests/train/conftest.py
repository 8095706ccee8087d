import importlib.util
import os

import pytest

for name, value in {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}.items():
    os.environ.setdefault(name, value)

INSTALLED = importlib.util.find_spec("torch") is not None
if INSTALLED:
    import torch

    from xperience.qwen3_omni import tiny
    from xperience.qwen3_omni.collate import RowMaker

    torch.set_num_threads(1)
else:
    collect_ignore_glob = ["test_*.py"]


def pytest_report_header():
    return None if INSTALLED else "SKIPPED tests/train: requirements/train.txt is not installed (make test-train)"


@pytest.fixture(scope="session")
def tokenizer():
    return tiny.tiny_tokenizer()


@pytest.fixture(scope="session")
def maker(tokenizer):
    return RowMaker(tokenizer)


@pytest.fixture(scope="session")
def config(tokenizer):
    return tiny.tiny_config(tokenizer)


@pytest.fixture
def thinker(config):
    return tiny.tiny_thinker(config).eval()


@pytest.fixture(scope="session")
def mixed():
    return tiny.ShownLabels("train", sessions=2, media=("v", "a", "va", ""), side=64, frames=4)


@pytest.fixture(scope="session")
def base(tmp_path_factory, tokenizer, config):
    folder = tmp_path_factory.mktemp("base")
    tiny.tiny_thinker(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
