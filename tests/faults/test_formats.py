"""Which format is asked, and that every format can say everything."""

from __future__ import annotations

import pytest

from understudy.faults import anthropic_messages, gemini, openai_chat, openai_responses
from understudy.faults.act import DONE
from understudy.faults.events import KINDS, MALFORMED
from understudy.faults.formats import FORMATS, Format, asked_at
from understudy.faults.plan import Plan, in_every_format
from understudy.faults.wordings import WORDINGS

every = pytest.mark.parametrize("spoken", FORMATS, ids=lambda spoken: spoken.NAME)


@pytest.mark.parametrize(
    ("path", "spoken"),
    [
        ("/v1/chat/completions", openai_chat),
        ("/chat/completions", openai_chat),
        ("/v1/messages", anthropic_messages),
        ("/v1/moved/messages", anthropic_messages),
        ("/v1/messages/count_tokens", anthropic_messages),
        ("/v1/responses", openai_responses),
        ("/openai/v1/responses", openai_responses),
        ("/v1/responses/input_tokens", openai_responses),
        ("/v1/responses/resp_1", None),
        ("/v1beta/models/m:generateContent", gemini),
        ("/v1beta/models/fault: 500:streamGenerateContent", gemini),
        ("/models/m:countTokens", gemini),
        ("/v1beta/models/m:embedContent", None),
        ("/v1beta/generateContent", None),
        ("/m:generateContent", None),
        ("/v1/models", None),
        ("/v1/messages/batches", None),
    ],
)
def test_the_path_chooses_the_format(path: str, spoken: Format | None) -> None:
    assert asked_at(path) is spoken


def test_a_plan_can_be_had_in_every_format_and_is_otherwise_the_same() -> None:
    plans = in_every_format(Plan(pace=3.0))
    assert [(plan.format, plan.pace) for plan in plans.values()] == [(spoken, 3.0) for spoken in FORMATS]
    assert list(plans) == list(FORMATS)


@every
def test_ids_are_as_wide_as_the_one_that_stands_for_them(spoken: Format) -> None:
    assert spoken.identity(0) == spoken.IDENTITY
    assert len(spoken.identity(10**9)) == len(spoken.IDENTITY)


@every
def test_every_kind_of_malformed_event_is_there(spoken: Format) -> None:
    assert sorted({**MALFORMED, **spoken.MALFORMED}) == sorted(KINDS)


@every
def test_a_fault_of_its_own_has_a_wording_and_the_last_event_its_place(spoken: Format) -> None:
    assert spoken.FAULT in WORDINGS
    assert spoken.LAST.mark == DONE
