"""What an event costs that is translated, beside one that is passed on.

The mock speaks OpenAI chat. An OpenAI client gets its events as they came, an Anthropic client in Anthropic's
words. Streams are those of `events`, one by one and as fast as it goes; what translation alone costs is in
``scripts/bench translate``.
"""

from __future__ import annotations

from benches.gateway import columns, loops
from benches.gateway.measurement import Figures, Measurement
from benches.gateway.measurements import events
from benches.gateway.plan import Plan
from benches.gateway.requests import ANTHROPIC, OPENAI
from benches.gateway.stage import Running

CLIENTS = {"passed_on": OPENAI, "translated": ANTHROPIC}


async def _take(running: Running, plan: Plan) -> Figures:
    figures: Figures = {}
    for name, client in CLIENTS.items():
        paced = await events.one_by_one(running, plan.paced, client)
        flood = await events.as_fast_as_it_goes(running, plan.flood, client)
        figures |= {f"{name}_paced_us": paced["cpu_us"], f"{name}_flood_us": flood["cpu_us"]}
    return figures


def take(running: Running, plan: Plan) -> Figures:
    return loops.run(_take(running, plan))


TRANSLATE = Measurement(
    name="translate",
    title="An event of a stream, translated",
    note="CPU µs an event, OpenAI chat from the mock. One by one: 100 events/s a stream.",
    proxies=["understudy", "understudy-pyreqwest"],
    columns=[
        columns.figure("one by one, passed on", "passed_on_paced_us"),
        columns.figure("to an Anthropic client", "translated_paced_us"),
        columns.figure("as fast as it goes, passed on", "passed_on_flood_us"),
        columns.figure("to an Anthropic client", "translated_flood_us"),
    ],
    take=take,
)
