"""What wrk says is believed only when every answer was as it should be."""

from __future__ import annotations

import json

import pytest

from benches.gateway import wrk
from benches.gateway.failed import Failed
from benches.gateway.requests import Target, body

SAID = """\
Running 3s test @ http://127.0.0.1:18102/v1/chat/completions
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.53ms    1.21ms  18.90ms   88.24%
    Req/Sec     7.04k   512.33     7.61k    90.00%
  21043 requests in 3.01s, 27.31MB read
Requests/sec:   6991.03
Transfer/sec:      9.07MB
"""


def test_counts_and_rate_are_read() -> None:
    assert wrk.parse(SAID) == wrk.Load(21043, 6991.03)


@pytest.mark.parametrize(
    "trouble",
    ["Socket errors: connect 0, read 7, write 0, timeout 0", "Non-2xx or 3xx responses: 12"],
)
def test_one_bad_answer_fails_the_figure(trouble: str) -> None:
    said = SAID.replace("Requests/sec", f"  {trouble}\nRequests/sec")
    with pytest.raises(Failed, match=trouble):
        wrk.parse(said)


def test_no_answer_at_all_is_a_failure() -> None:
    with pytest.raises(Failed, match="not one answer"):
        wrk.parse("  0 requests in 3.00s, 0.00B read\nRequests/sec:      0.00\n")


@pytest.mark.parametrize(
    ("said", "reason"), [("", "it said nothing"), ("unable to connect\n", "unable to connect")]
)
def test_other_words_of_it_are_the_reason(said: str, reason: str) -> None:
    with pytest.raises(Failed, match=f"wrk: {reason}"):
        wrk.parse(said)


def test_the_script_holds_every_header_and_body() -> None:
    bodies = [body("mock"), body("mock001")]
    script = wrk.script(Target(1, {"x-config": '{"a": "b"}'}), bodies)
    assert '["x-config"]="{\\"a\\": \\"b\\"}"' in script
    assert '["Authorization"]="Bearer sk-bench' in script
    for sent in bodies:
        assert json.dumps(sent) in script
    assert script.isascii()
