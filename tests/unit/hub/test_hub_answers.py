import httpx2
import pytest

from xperience.common.errors import BadDataError, RefusedError, UnavailableError
from xperience.hub.answers import Asked, asked_pause_seconds, backoff_seconds, error_of_status

ASKED = Asked("https://hub.example", "https://hub.example/datasets/o/d", "dataset o/d", with_token=True)
NO_TOKEN = Asked(ASKED.endpoint, ASKED.page, ASKED.where, with_token=False)


@pytest.mark.parametrize(
    ("status", "code", "asked", "error", "says"),
    [
        pytest.param(403, "GatedRepo", ASKED, RefusedError, "gate is not approved", id="gate"),
        pytest.param(401, "GatedRepo", NO_TOKEN, RefusedError, "asks for a token", id="gate without token"),
        pytest.param(401, "RepoNotFound", NO_TOKEN, RefusedError, "asks for a token", id="hidden without token"),
        pytest.param(401, "", ASKED, RefusedError, "does not accept the token", id="bad token"),
        pytest.param(403, "", ASKED, RefusedError, "may not read", id="token without permission"),
        pytest.param(404, "RevisionNotFound", ASKED, BadDataError, "revision is not on the hub", id="revision"),
        pytest.param(404, "EntryNotFound", ASKED, BadDataError, "not on the hub", id="file"),
        pytest.param(404, "RepoNotFound", ASKED, BadDataError, "repository is not on the hub", id="repository"),
        pytest.param(429, "", ASKED, UnavailableError, "rate limit", id="rate limit"),
        pytest.param(502, "", ASKED, UnavailableError, "HTTP 502", id="bad gateway"),
    ],
)
def test_each_answer_has_its_own_error_and_message(status, code, asked, error, says):
    raised = error_of_status(status, httpx2.Headers({"X-Error-Code": code}), asked)
    assert type(raised) is error
    assert says in str(raised)
    assert "dataset o/d" in str(raised)


def test_a_gate_that_is_not_approved_says_where_to_ask():
    raised = error_of_status(403, httpx2.Headers({"X-Error-Code": "GatedRepo"}), ASKED)
    assert "https://hub.example/datasets/o/d" in str(raised)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"RateLimit": '"resolvers";r=0;t=55'}, 56.0, id="ratelimit with its rounding"),
        pytest.param({"RateLimit": '"resolvers";r=7;t=55'}, None, id="ratelimit with something left"),
        pytest.param({"Retry-After": "12"}, 12.0, id="seconds"),
        pytest.param({"Retry-After": "999999"}, 600.0, id="capped"),
        pytest.param(
            {"Retry-After": "Mon, 23 Nov 2026 10:00:30 GMT", "Date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 30.0, id="date"
        ),
        pytest.param({"Retry-After": "soon"}, None, id="nonsense"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_the_pause_is_the_one_that_the_answer_asks_for(headers, seconds):
    assert asked_pause_seconds(httpx2.Headers(headers)) == seconds


def test_backoff_doubles_up_to_thirty_seconds_with_jitter():
    for failures, longest in ((1, 0.2), (2, 0.4), (5, 3.2), (40, 30.0)):
        drawn = [backoff_seconds(failures) for _ in range(50)]
        assert longest / 2 <= min(drawn) < max(drawn) <= longest
