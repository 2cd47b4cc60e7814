"""The scripts that are on: one for the provider, and those of single models.

A model's own script comes first; a model named ``fault: SCRIPT`` brings its own, of which the
newest thousand are remembered; every other model gets the provider's script. Setting a script, also
the same one again, starts it from its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from understudy.faults.cue import Prompter
from understudy.faults.plan import Plans
from understudy.faults.script import Script

OWN_SCRIPT = "fault:"
OWN_SCRIPTS_LIMIT = 1000


class Repertoire:
    """Finds the prompter of a model."""

    def __init__(self, script: str, models: Mapping[str, str], plans: Plans, rng: Random) -> None:
        self._plans, self._rng = plans, rng
        self._default = self._prompter(script)
        self._models = {name: self._prompter(text) for name, text in models.items()}
        self._own: dict[str, Prompter] = {}

    def _prompter(self, text: str) -> Prompter:
        return Prompter(Script.parse(text), self._plans, self._rng)

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self._models)

    def script(self, model: str | None = None) -> str:
        """The script of the provider, or the one that `model` would get."""
        return str((self._default if model is None else self.prompter(model)).script)

    def set(self, script: str, model: str | None = None) -> None:
        """Raises `ScriptError`, and then nothing has changed."""
        prompter = self._prompter(script)
        if model is None:
            self._default = prompter
        else:
            self._models[model] = prompter

    def remove(self, model: str | None = None) -> None:
        """The model has no script of its own any more; None: the provider's is ``fine`` again."""
        if model is None:
            self.set("fine")
        else:
            self._models.pop(model, None)

    def prompter(self, model: str) -> Prompter:
        """Raises `ScriptError` if the model's name brings a script that cannot be read."""
        if model in self._models:
            return self._models[model]
        if model.startswith(OWN_SCRIPT):
            return self._own_prompter(model)
        return self._default

    def _own_prompter(self, model: str) -> Prompter:
        if model not in self._own:
            if len(self._own) >= OWN_SCRIPTS_LIMIT:
                del self._own[next(iter(self._own))]
            self._own[model] = self._prompter(model.removeprefix(OWN_SCRIPT))
        return self._own[model]
