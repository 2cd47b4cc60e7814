"""What the fault provider answers when it is well, as the official SDKs' own types have it.

The members of the other tests would prove little if they said what no real provider says. Google's SDK checks
what it reads by itself (``tests/faults/test_gemini.py``); the others do not, so here it is done for them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import anthropic
import openai
import pytest

from tests.e2e.format_answers import joined
from tests.e2e.format_clients import CLIENTS, EVERY_WAY, Client, How, ask, tools
from understudy.faults import TEXT, FaultProvider

SCRIPTS = {
    "fine": TEXT,
    "reasoning 3": TEXT,
    "reasoning 2 + tools 2 split=1 interleaved with-text": TEXT,
    "tools 2 interleaved": "",
    "refusal": TEXT,
    "finish length": TEXT,
    "finish content_filter": TEXT,
    "surrogates + split 1": TEXT,
}


@dataclass(frozen=True, slots=True)
class Direct:
    """Both SDKs, as if the provider were the real one."""

    openai: openai.AsyncOpenAI
    anthropic: anthropic.AsyncAnthropic


@pytest.fixture
async def direct() -> AsyncIterator[Direct]:
    async with (
        FaultProvider() as provider,
        openai.DefaultAsyncHttpxClient(verify=False) as one,
        anthropic.DefaultAsyncHttpxClient(verify=False) as other,
    ):
        yield Direct(
            openai.AsyncOpenAI(base_url=provider.base_url, api_key="k", max_retries=0, http_client=one),
            anthropic.AsyncAnthropic(base_url=provider.origin, api_key="k", max_retries=0, http_client=other),
        )


@pytest.mark.parametrize("client", CLIENTS)
@EVERY_WAY
@pytest.mark.parametrize("script", SCRIPTS)
async def test_is_of_the_types_that_the_sdk_declares(
    direct: Direct, client: Client, how: How, script: str
) -> None:
    asking = ask(direct, client, how, model=f"fault: {script}", tools=tools(client))
    if (client, how) == ("openai", "helper") and script.startswith("finish"):
        with pytest.raises((openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError)):
            await asking
        return
    said = await asking
    assert joined(said.text or said.refusal) == SCRIPTS[script]
