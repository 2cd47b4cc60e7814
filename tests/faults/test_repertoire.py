from __future__ import annotations

from random import Random

import pytest

from understudy.faults import repertoire as repertoire_module
from understudy.faults.plan import Plan, in_every_format
from understudy.faults.repertoire import Repertoire
from understudy.faults.word import ScriptError


def repertoire(script: str = "fine", **models: str) -> Repertoire:
    return Repertoire(script, models, in_every_format(Plan()), Random(0))


def test_a_models_own_script_comes_before_the_providers() -> None:
    found = repertoire("500", slow="delay 20s")
    assert found.script("slow") == "delay 20s"
    assert found.script("any") == found.script() == "500"
    assert found.models == ("slow",)


def test_a_model_may_bring_its_script_in_its_name_and_keeps_its_place_in_it() -> None:
    found = repertoire()
    model = "fault: 500; fine"
    assert found.script(model) == "500; fine"
    first = found.prompter(model).take(0.0, frozenset())
    assert (first.text, found.prompter(model).take(0.0, frozenset()).text) == ("500", "fine")
    with pytest.raises(ScriptError):
        found.prompter("fault: statsu")


def test_of_scripts_in_names_only_the_newest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repertoire_module, "OWN_SCRIPTS_LIMIT", 2)
    found = repertoire()
    first = found.prompter("fault: 500")
    second = found.prompter("fault: 501")
    found.prompter("fault: 502")
    assert found.prompter("fault: 501") is second
    assert found.prompter("fault: 500") is not first


def test_models_that_share_the_providers_script_share_its_attempts() -> None:
    found = repertoire("500; fine")
    assert found.prompter("a") is found.prompter("b")


def test_setting_a_script_starts_it_from_its_beginning() -> None:
    found = repertoire("500; fine", m="502; fine")
    for model in ("m", "x"):
        found.prompter(model).take(0.0, frozenset())
    found.set("500; fine")
    found.set("502; fine", "m")
    assert found.prompter("x").take(0.0, frozenset()).text == "500"
    assert found.prompter("m").take(0.0, frozenset()).text == "502"


def test_a_script_that_cannot_be_read_changes_nothing() -> None:
    found = repertoire("500")
    with pytest.raises(ScriptError):
        found.set("statsu")
    assert found.script() == "500"


def test_removing_makes_healthy_again() -> None:
    found = repertoire("500", m="502")
    found.remove("m")
    found.remove("nobody")
    assert found.script("m") == "500"
    found.remove()
    assert found.script() == "fine"
