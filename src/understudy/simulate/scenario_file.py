"""Scenario files, TOML or JSON, read and checked.

1. Everything that is wrong is told at once: file, place, what is wrong with which value, the nearest known
   key.
2. Durations are seconds, or texts like ``"90s"``, ``"1h30m"``, ``"250ms"``. What is drawn by chance is a
   number, a duration or one of the tables in `distribution`. A ramp is a value, or two: at a phase's begin
   and at its end.
3. What a backend does not say it has from ``backends.default``, and that from the built-in one.
4. A file that names no scenario is named by its file name.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from understudy.config.files import read_text
from understudy.config.problem import Problems, place
from understudy.config.secret import shown
from understudy.core.settings import nearest
from understudy.errors import ConfigurationError, ProfileError
from understudy.simulate.distribution import Draw, constant, exponential, lognormal, measured, uniform
from understudy.simulate.scenario import FAILURES, Effects, Model, Phase, Ramp, Scenario, Share, Traffic

SUFFIXES = (".toml", ".json")

T = TypeVar("T")
Read = Callable[[object], T]
"""A value's meaning; raises ValueError that says what it must be."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def names() -> tuple[str, ...]:
    """The scenarios that ship, sorted."""
    return tuple(
        sorted(entry.name.removesuffix(".toml") for entry in _shipped() if entry.name.endswith(".toml"))
    )


def load_scenario(name_or_path: str) -> Scenario:
    """The shipped scenario of this name, or the one in this file; raises `ConfigurationError`."""
    if name_or_path in names():
        text = (files("understudy.simulate") / "scenarios" / f"{name_or_path}.toml").read_text("utf-8")
        return read_scenario(text, name_or_path, name=name_or_path)
    path = Path(name_or_path).expanduser()
    if not name_or_path.endswith(SUFFIXES):
        likely = nearest(name_or_path, names())
        raise ConfigurationError(
            f"no scenario named {shown(name_or_path)} ships",
            hint=f"did you mean {likely}?" if likely else f"there are {', '.join(names())}, or give a file",
        )
    return read_scenario(read_text(path), str(path), name=path.stem)


def read_scenario(text: str, source: str, *, name: str) -> Scenario:
    """The scenario that `text` holds; raises `ProfileError`, its messages beginning with `source`."""
    problems = Problems(source)
    table = _Table(_parsed(text, source), problems, ())
    scenario = _scenario(table, name)
    table.done()
    problems.raise_if_any()
    return scenario


def _shipped() -> Iterable[Any]:
    return (files("understudy.simulate") / "scenarios").iterdir()


def _parsed(text: str, source: str) -> dict[str, Any]:
    try:
        document = json.loads(text) if source.endswith(".json") else tomllib.loads(text)
    except ValueError as error:
        kind = "JSON" if source.endswith(".json") else "TOML"
        raise ProfileError(f"{source}: not {kind}: {error}") from None
    if not isinstance(document, dict):
        raise ProfileError(f"{source}: a scenario must be an object", hint='it begins with "{"')
    return document


# Tables


class _Table:
    """One table of a file: hands out each key's meaning once, and knows which were not asked for."""

    def __init__(self, values: Mapping[str, Any], problems: Problems, steps: tuple[str | int, ...]) -> None:
        self._values = values
        self._problems = problems
        self._steps = steps
        self._known: list[str] = []

    def get(self, key: str, read: Read[T], default: T) -> T:
        self._known.append(key)
        value = self._values.get(key)
        if value is None:
            return default
        try:
            return read(value)
        except ValueError as error:
            self.complain(f"{error}, not {shown(value)}", key)
            return default

    def need(self, key: str, read: Read[T], default: T) -> T:
        if key not in self._values:
            self.complain("it is missing", key)
        return self.get(key, read, default)

    def table(self, key: str) -> _Table:
        """The table under `key`, an empty one if there is none."""
        return self._within(self.get(key, _mapping, {}), key)

    def tables(self, key: str) -> list[_Table]:
        """The list of tables under `key`."""
        found: list[Mapping[str, Any]] = self.get(key, _mappings, [])
        return [self._within(item, key, index) for index, item in enumerate(found)]

    def named_tables(self, key: str) -> dict[str, _Table]:
        found: Mapping[str, Mapping[str, Any]] = self.get(key, _mapping_of_mappings, {})
        return {name: self._within(item, key, name) for name, item in found.items()}

    def complain(self, message: str, *steps: str | int) -> None:
        self._problems.add(place(*self._steps, *steps), message)

    def done(self) -> None:
        """Nothing more will be asked for: what is left is unknown."""
        for key in self._values.keys() - set(self._known):
            likely = nearest(key, self._known)
            hint = f"did you mean {likely}?" if likely else f"known: {', '.join(self._known)}"
            self._problems.add(place(*self._steps, key), "unknown key", hint)

    def _within(self, values: Mapping[str, Any], *steps: str | int) -> _Table:
        return _Table(values, self._problems, (*self._steps, *steps))


def _scenario(table: _Table, name: str) -> Scenario:
    backends = table.named_tables("backends")
    first = backends.pop("default", None)
    default = Model() if first is None else _model(first, Model())
    plain = Scenario(name)
    return Scenario(
        name=table.get("name", _text, name),
        description=table.get("description", _text, ""),
        duration=table.get("duration", _positive(duration), plain.duration),
        traffic=_traffic(table.table("traffic")),
        default=default,
        models={_position(key): _model(own, default) for key, own in backends.items()},
        phases=tuple(_phase(each) for each in table.tables("phases")),
    )


def _position(key: str) -> str | int:
    """A backend is named by its name, or by its position in the profile."""
    return int(key) if key.isdigit() else key


def _model(table: _Table, base: Model) -> Model:
    model = Model(
        first_content=table.get("first_content", drawn, base.first_content),
        tokens_per_second=table.get("tokens_per_second", drawn, base.tokens_per_second),
        error_after=table.get("error_after", drawn, base.error_after),
        chunks=table.get("chunks", _whole(2), base.chunks),
        prefill=table.get("prefill", _flag, base.prefill),
        wording=table.get("wording", _whole(0), base.wording),
        retry_after=table.get("retry_after", _one_of("seconds", "date"), base.retry_after),
        restart=table.get("restart", drawn, base.restart),
        effects=_effects(table, base.effects),
    )
    table.done()
    return model


def _effects(table: _Table, base: Effects) -> Effects:
    return Effects(
        failures=table.get("failures", _failures, base.failures),
        rpm=table.get("rpm", _positive(number), base.rpm),
        tpm=table.get("tpm", _positive(number), base.tpm),
        concurrent=table.get("concurrent", _ramp, base.concurrent),
        topples=table.get("topples", _ramp, base.topples),
        latency=table.get("latency", _ramp, base.latency),
        speed=table.get("speed", _ramp, base.speed),
    )


def _phase(table: _Table) -> Phase:
    phase = Phase(
        name=table.need("name", _text, ""),
        effects=_effects(table, Effects()),
        length=table.need("for", _positive(duration), 1.0),
        begin=table.get("from", duration, 0.0),
        every=table.get("every", _positive(duration), None),
        random=table.get("random", _whole(0), 0),
        backends=table.get("backends", _backends, None),
        cuts=table.get("cuts", _flag, False),
    )
    if phase.every is not None and phase.random:
        table.complain("every and random exclude each other", "random")
    table.done()
    return phase


_TRAFFIC: dict[str, Read[Any]] = {}


def _traffic(table: _Table) -> Traffic:
    plain = Traffic()
    traffic = Traffic(
        **{
            field.name: table.get(field.name, _TRAFFIC[field.name], getattr(plain, field.name))
            for field in fields(Traffic)
        }
    )
    table.done()
    return traffic


# Values


def number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise ValueError("it must be a number from 0 on")
    return float(value)


def duration(value: object) -> float:
    """Seconds."""
    if not isinstance(value, str):
        try:
            return number(value)
        except ValueError:
            raise ValueError(_DURATION) from None
    if not re.fullmatch(f"(?:{_PART.pattern})+", value):
        raise ValueError(_DURATION)
    return sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(value))


_DURATION = 'it must be seconds, or a duration like "90s" or "1h30m"'
_DRAW = (
    "it must be a number, a duration, or a table of one of these: median and p95, mean, low and high, "
    "percentiles such as p0, p50 and p99"
)


def drawn(value: object) -> Draw:
    """A distribution."""
    if not isinstance(value, dict):
        try:
            return constant(duration(value))
        except ValueError:
            raise ValueError(_DRAW) from None
    try:
        numbers = {str(key): duration(each) for key, each in value.items()}
    except ValueError:
        raise ValueError(_DRAW) from None
    return _of_table(numbers)


def _of_table(numbers: Mapping[str, float]) -> Draw:
    """There are four cases, by the keys."""
    match sorted(numbers):
        case ["median", "p95"]:
            if not 0 < numbers["median"] <= numbers["p95"]:
                raise ValueError("median must be above 0, and p95 no less than it")
            return lognormal(numbers["median"], numbers["p95"])
        case ["mean"]:
            if numbers["mean"] == 0:
                raise ValueError("mean must be above 0")
            return exponential(numbers["mean"])
        case ["high", "low"]:
            if numbers["high"] < numbers["low"]:
                raise ValueError("high must be no less than low")
            return uniform(numbers["low"], numbers["high"])
        case keys if len(keys) > 1 and all(re.fullmatch(r"p\d+(\.\d+)?", key) for key in keys):
            return _percentiles(numbers)
    raise ValueError(_DRAW)


def _percentiles(numbers: Mapping[str, float]) -> Draw:
    pairs = sorted((float(key[1:]), value) for key, value in numbers.items())
    values = [value for _, value in pairs]
    if pairs[-1][0] > 100 or values != sorted(values):
        raise ValueError("percentiles must be from p0 to p100, and their values must not fall")
    return measured(pairs)


def _positive(read: Read[float]) -> Read[float]:
    def check(value: object) -> float:
        if (result := read(value)) == 0:
            raise ValueError("it must be more than 0")
        return result

    return check


def _whole(least: int) -> Read[int]:
    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"it must be a whole number from {least} on")
        return value

    return check


def _share(value: object) -> float:
    try:
        share = number(value)
    except ValueError:
        share = 2.0
    if share > 1:
        raise ValueError("it must be a share from 0 to 1")
    return share


def _ramp(value: object) -> Ramp:
    ends = value if isinstance(value, list) else [value, value]
    if len(ends) != 2:
        raise ValueError("it must be a number, or two: at the begin and at the end")
    return number(ends[0]), number(ends[1])


def _failures(value: object) -> tuple[Share, ...]:
    if not isinstance(value, dict):
        raise ValueError("it must be a table of failures and their shares")
    return tuple((_failure(name), _share(share)) for name, share in value.items())


def _failure(name: str) -> str:
    if name in FAILURES or (name.isdigit() and 400 <= int(name) < 600):
        return name
    likely = nearest(name, FAILURES)
    meant = f"did you mean {likely}?" if likely else f"there are {', '.join(FAILURES)}, and statuses"
    raise ValueError(f"{name} is no failure ({meant})")


def _backends(value: object) -> tuple[str | int, ...] | None:
    if value == "all":
        return None
    if isinstance(value, list) and value and all(_is_backend(each) for each in value):
        return tuple(value)
    raise ValueError('it must be "all", or a list of names or of positions, the first being 1')


def _is_backend(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and value > 0)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("it must be a text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it must be true or false")
    return value


def _one_of(*words: str) -> Read[Any]:
    def check(value: object) -> object:
        if value not in words:
            raise ValueError(f"it must be {' or '.join(words)}")
        return value

    return check


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it must be a table")
    return value


def _mappings(value: object) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError("it must be a list of tables")
    return value


def _mapping_of_mappings(value: object) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
        raise ValueError("it must be a table of tables, by name or position")
    return value


_TRAFFIC.update(
    process=_one_of("poisson", "closed"),
    rate=_positive(number),
    daily=_share,
    burst_every=_positive(duration),
    burst_length=_positive(duration),
    burst_factor=_positive(number),
    clients=_whole(1),
    think=drawn,
    session=drawn,
    prompt_tokens=drawn,
    answer_tokens=drawn,
    stream=_share,
    leaves=_share,
    patience=drawn,
)
