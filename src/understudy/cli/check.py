"""``understudy check``: is a profile right, and do its members answer?

1. Everything that is wrong is said at once, on stderr as ``error: …`` and ``hint: …``. The report itself
   is on stdout; it names where each key comes from, never a key.
2. The exit status is 2 if the configuration is wrong, 1 if a member did not answer, else 0.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from understudy.cli import failures, standard_streams
from understudy.cli.saved_profiles import complete, store

if TYPE_CHECKING:
    from understudy.cli.inspection import EffectiveSetting, Inspection, MemberReport
    from understudy.cli.live_check import LiveResult

Results = Mapping[str, "LiveResult"]


@click.command()
@click.argument("name", shell_complete=complete)
@click.option("--live", is_flag=True, help="Send one small request to each member and say what came back.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def check(name: str, live: bool, as_json: bool) -> int:
    """Say what is wrong with a profile and its members, and what it comes to.

    Exit status: 0 all is well, 1 a member did not answer, 2 the configuration is wrong.
    """
    from understudy.cli.inspection import inspect

    inspection = inspect(name, store(), os.environ)
    results = _ask(inspection) if live else {}
    if as_json:
        standard_streams.write_json(_document(inspection, results))
    else:
        standard_streams.write("".join(f"{line}\n" for line in _report(inspection, results)))
    _show_mistakes(inspection, results)
    if inspection.all_problems:
        return failures.MISUSED
    return failures.FAILED if any(result.failure for result in results.values()) else 0


def _ask(inspection: Inspection) -> Results:
    from understudy.cli import stopping
    from understudy.cli.live_check import ask_all

    return stopping.run(ask_all(inspection))


def _document(inspection: Inspection, results: Results) -> dict[str, Any]:
    return {
        "profile": inspection.name,
        "ok": not inspection.all_problems and not any(result.failure for result in results.values()),
        "policy": getattr(inspection.profile, "policy", None),
        "members": [_member_object(member, results) for member in inspection.members],
        "settings": [setting.to_dict() for setting in inspection.settings],
        "warnings": list(inspection.warnings),
        "problems": [problem.to_dict() for problem in inspection.problems],
    }


def _member_object(member: MemberReport, results: Results) -> dict[str, Any]:
    result = results.get(member.name)
    return member.to_dict() | {"live": None if result is None else result.to_dict()}


def _report(inspection: Inspection, results: Results) -> Iterator[str]:
    yield _heading(inspection)
    for position, member in enumerate(inspection.members, 1):
        yield from _member_lines(position, member, results.get(member.name))
    if inspection.settings:
        yield "Settings that differ from the default:"
        width = max(len(setting.key) for setting in inspection.settings)
        for setting in inspection.settings:
            value = json.dumps(setting.value, ensure_ascii=False)
            yield f"  {setting.key:<{width}}  {value:<8} {setting.source}"


def _heading(inspection: Inspection) -> str:
    if inspection.profile is None:
        return f"{inspection.name}: the profile can't be used"
    origin = inspection.profile.path or "an example that ships with Understudy"
    policy = getattr(inspection.profile, "policy", None)
    kind = f"a load balancer, policy {policy}" if policy else "a backend"
    return f"{inspection.name}: {kind} ({origin})"


def _member_lines(position: int, member: MemberReport, result: LiveResult | None) -> Iterator[str]:
    state = "" if member.slot else "  (can't be used)"
    if member.profile is None:
        yield f"  {position}. {member.name}{state}"
        return
    yield f"  {position}. {member.name}: {member.profile.provider}, {member.profile.model}{state}"
    yield f"     at    {member.profile.base_url}"
    yield f"     key   {member.key}"
    yield from _fact_lines(member.facts)
    if result is not None:
        yield f"     live  {_came_back(result)}"


def _fact_lines(facts: Sequence[EffectiveSetting]) -> Iterator[str]:
    """One line for each source."""
    title = "facts"
    for source in dict.fromkeys(fact.source for fact in facts):
        told = [f"{fact.key} {_fact_words(fact.value)}" for fact in facts if fact.source == source]
        yield f"     {title:<5} {'; '.join(told)} ({source})"
        title = ""


def _fact_words(value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{name} {amount:g}" for name, amount in value.items())
        case tuple():
            return ", ".join(value) or "nothing"
    return str(value)


def _came_back(result: LiveResult) -> str:
    """There are three cases: a failure, an answer without content, an answer."""
    if result.failure is not None:
        return result.failure
    if result.first_content is None:
        return f"{result.model} answered without content"
    first = result.first_content * 1000
    tokens = f"{result.input_tokens} tokens in, {result.output_tokens} out"
    return f"{result.model} answered, first content after {first:.0f} ms, {tokens}"


def _show_mistakes(inspection: Inspection, results: Results) -> None:
    for warning in inspection.warnings:
        failures.warn(warning, sys.stderr)
    for problem in inspection.all_problems:
        failures.complain(problem.message, problem.hint, sys.stderr)
    for result in results.values():
        if result.failure is not None:
            failures.complain(f"{result.name}: {result.failure}", result.hint, sys.stderr)
