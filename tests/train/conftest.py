import os

for name, value in {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}.items():
    os.environ.setdefault(name, value)

import pytest

torch = pytest.importorskip("torch", reason="requirements/train.txt is not installed: make test-train")
torch.set_num_threads(1)

from xperience.qwen3_omni import tiny
from xperience.qwen3_omni.collate import RowMaker


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
