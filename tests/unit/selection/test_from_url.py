import pytest

from xperience.common.errors import UsageError
from xperience.selection.from_url import fetch_selection


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://store.example/s.json?X-Amz-Signature=secret-1", id="signature"),
        pytest.param("https://user:secret-1@store.example/s.json", id="password"),
    ],
)
def test_an_address_that_may_hold_a_secret_is_refused_without_repeating_it(url, tmp_path):
    with pytest.raises(UsageError) as refused:
        fetch_selection(url, "0" * 64, tmp_path / "selection.json")
    assert "store.example/s.json" in str(refused.value)
    assert "secret-1" not in str(refused.value)
