"""What a backend says of its limits beside a good answer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from understudy.wire.rate_limits import exhausted_for

WALL = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"content-type": "text/event-stream"}, None, id="nothing of limits"),
        pytest.param(
            {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360, id="OpenAI"
        ),
        pytest.param(
            {"x-ratelimit-remaining-tokens": "12", "x-ratelimit-reset-tokens": "6m0s"}, None, id="some left"
        ),
        pytest.param(
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "120ms",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "2s",
            },
            2,
            id="the last of several",
        ),
        pytest.param(
            {
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-11-23T12:00:30Z",
            },
            30,
            id="Anthropic",
        ),
        pytest.param({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "7"}, 7, id="without a dimension"),
        pytest.param({"x-ratelimit-remaining-requests": "0"}, None, id="no reset"),
        pytest.param({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"}, None, id="nonsense"),
        pytest.param({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0"}, None, id="reset already"),
        pytest.param({"retry-after": "9"}, None, id="a Retry-After beside an answer"),
    ],
)
def test_only_what_is_used_up_and_has_a_reset_counts(headers: dict[str, str], seconds: float | None) -> None:
    assert exhausted_for(headers, wall=WALL) == seconds
