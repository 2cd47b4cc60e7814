"""``understudy simulate``: how a profile would fare, in virtual time.

1. stdout gets the report, as a table or with ``--json`` as one object, and nothing else.
2. ``--against`` and ``--against-set`` make a second run of the same scenario and seed, beside the first one.
3. The exit status is 1 if an answer was wrong: that is a bug of ours, whatever the scenario.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from understudy.cli import failures, saved_profiles
from understudy.errors import ConfigurationError

_DEFAULT = "primary-down"
_KINDS = (".png", ".svg")


def _scenarios(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    from understudy.simulate.scenario_file import names

    return [name for name in names() if name.startswith(incomplete)]


@click.command()
@click.argument("profile", required=False, shell_complete=saved_profiles.complete)
@click.option(
    "--scenario", default=_DEFAULT, show_default=True, metavar="NAME|FILE", shell_complete=_scenarios,
    help="What befalls the backends and who asks: one that ships, or a TOML or JSON file.",
)  # fmt: skip
@click.option("--list", "lists", is_flag=True, help="List the scenarios that ship.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed, the same report.")
@click.option(
    "--requests", type=click.IntRange(1), metavar="COUNT",
    help="About so many requests over the scenario's time, instead of its own rate.",
)  # fmt: skip
@click.option("--duration", metavar="TIME", help="As in 90s, 2h: instead of the scenario's own.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting; repeats.")
@click.option(
    "--against", metavar="PROFILE", shell_complete=saved_profiles.complete,
    help="Run this profile too, and show both.",
)  # fmt: skip
@click.option(
    "--against-set", "against_settings", multiple=True, metavar="KEY=VALUE",
    help="Settings of the second run: of --against, or of the same profile again; repeats.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one object per run, in a list.")
@click.option(
    "--chart", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Draw it too, as .svg or .png (extra `simulate`).",
)  # fmt: skip
@click.pass_obj
def simulate(
    plain: bool,
    profile: str | None,
    scenario: str,
    lists: bool,
    seed: int,
    requests: int | None,
    duration: str | None,
    settings: tuple[str, ...],
    against: str | None,
    against_settings: tuple[str, ...],
    as_json: bool,
    chart: Path | None,
) -> int:
    """Try a profile against modelled outages. No key, no network, no waiting.

    \b
    understudy simulate testlb489 --scenario brown-out
    understudy simulate testlb489 --against-set timeout_ms=5000 --chart chart.svg
    """
    if lists:
        return _list()
    draw = None if chart is None else _drawing(chart)
    from understudy.simulate.cast import load_cast
    from understudy.simulate.figures import figures
    from understudy.simulate.run import simulate as play

    chosen = _scenario(scenario, duration)
    first = saved_profiles.chosen(profile)
    runs = [(first, saved_profiles.settings_of(settings))]
    if against is not None or against_settings:
        runs.append((against or first, saved_profiles.settings_of(against_settings)))
    store = saved_profiles.store()
    casts = [load_cast(name, store) for name, _ in runs]
    titled = [
        (_title(name, own, runs), figures(play(cast, chosen, seed=seed, requests=requests, settings=own)))
        for cast, (name, own) in zip(casts, runs, strict=True)
    ]
    _report(titled, as_json=as_json, plain=plain)
    if draw is not None:
        draw(titled, chart)
    return failures.FAILED if any(found["wrong"] for _, found in titled) else failures.ANSWERED


def _scenario(name: str, duration: str | None) -> Any:
    from understudy.simulate.scenario_file import duration as seconds
    from understudy.simulate.scenario_file import load_scenario

    scenario = load_scenario(name)
    if duration is None:
        return scenario
    try:
        length = seconds(float(duration) if duration.replace(".", "", 1).isdigit() else duration)
    except ValueError as error:
        raise ConfigurationError(f"--duration {duration}: {error}") from None
    if not length:
        raise ConfigurationError(f"--duration {duration}: it must be more than 0")
    return replace(scenario, duration=length)


def _title(name: str, settings: Mapping[str, str], runs: list[tuple[str, Any]]) -> str:
    """The profile, and in a comparison the settings that were changed."""
    changed = [f"{key}={value}" for key, value in settings.items()] if len(runs) > 1 else []
    return " ".join([name, *changed])


def _report(titled: list[tuple[str, dict[str, Any]]], *, as_json: bool, plain: bool) -> None:
    if as_json:
        click.echo(json.dumps([found for _, found in titled], ensure_ascii=False))
        return
    from understudy.cli.simulation_report import print_report

    print_report(titled, sys.stdout, plain=plain)


def _drawing(path: Path) -> Any:
    """Draws a chart; raises `ConfigurationError` before anything is simulated if that can't be."""
    if path.suffix not in _KINDS:
        raise ConfigurationError(f"--chart {path}: it must end in {' or '.join(_KINDS)}")
    try:
        from understudy.simulate.chart import draw
    except ImportError as error:
        raise ConfigurationError(
            f"a chart needs {error.name}, which is not installed", hint="pip install 'understudy[simulate]'"
        ) from None
    return draw


def _list() -> int:
    from understudy.simulate.scenario_file import load_scenario, names

    for name in names():
        click.echo(f"{name:<16} {load_scenario(name).description}")
    return failures.ANSWERED
