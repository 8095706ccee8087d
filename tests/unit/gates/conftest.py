"""A chain of artefacts, copied for each test."""

import pytest
from chain_parts import Chain
from evidence_parts import call


@pytest.fixture(scope="session")
def built_chain(tmp_path_factory):
    return Chain(tmp_path_factory.mktemp("chain"), call)


@pytest.fixture
def chain(built_chain, tmp_path):
    return Chain.copy(built_chain, tmp_path)
