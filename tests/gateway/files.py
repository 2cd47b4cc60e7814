"""A configuration folder whose members are scripted backends, for loading and loading anew.

The balancers run on the system's clock, because they are made by what is tested; the backends' pauses are a
manual clock's, so that a stream stays open until the test moves it on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cli.local_provider import Home
from tests.gateway.house import chat
from tests.gateway.stage import Visit
from understudy.config.store import ProfileStore
from understudy.gateway import loading
from understudy.gateway.app import Gateway
from understudy.gateway.loading import Plan, SharedTransport
from understudy.gateway.profiles import Profiles
from understudy.testing import ManualClock, Reply, ScriptedTransport


class Files(Home):
    """`evening` over members `a` and `b`; and whatever a test adds."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.member("a")
        self.member("b")
        self.pool("evening", "a", "b")

    def member(self, name: str, model: str = "m", **settings: Any) -> None:
        self.backend(name, f"http://{name}.test/v1", model, **settings)

    def remove(self, name: str) -> None:
        (self.path / "profiles" / f"{name}.json").unlink()

    def say(self, text: str) -> None:
        """What ``gateway.json`` holds."""
        (self.path / "gateway.json").write_text(text)

    def name_aliases(self, **aliases: str) -> None:
        self.say(json.dumps({"aliases": aliases}))


class Repertory:
    """A gateway that serves what the files say."""

    def __init__(
        self,
        files: Files,
        scripts: Mapping[str, Sequence[Reply] | Reply] | None = None,
        *names: str,
        environ: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.clock = ManualClock()
        self.transport = ScriptedTransport(
            self.clock,
            {
                f"http://{name}.test/v1/chat/completions": [script] if isinstance(script, Reply) else script
                for name, script in (scripts or {}).items()
            },
        )
        self.plan = Plan(
            ProfileStore(files.path), environ or {}, SharedTransport(self.transport), names=names, **options
        )
        self.gateway = Gateway(loading.load(self.plan))

    @property
    def profiles(self) -> Profiles:
        return self.gateway.profiles

    async def reload(self) -> None:
        self.gateway.profiles = await loading.reload(self.plan, self.gateway.profiles)

    async def ask(self, model: str = "evening", **fields: Any) -> Visit:
        """A request, as far as it comes without time passing."""
        request = {"method": "POST", "path": "/v1/chat/completions"}
        body = json.dumps(chat(model=model, **fields)).encode()
        visit = Visit(self.gateway, request, body, whole=True)
        await self.clock.advance()
        return visit

    async def answered_by(self, model: str = "evening") -> str:
        visit = await self.ask(model)
        return visit.headers["x-understudy-backend"]

    def stats(self, name: str = "evening") -> dict[str, Any]:
        return self.profiles.by_name[name].balancer.stats().to_dict()

    def asked(self) -> list[str]:
        """The models that backends were asked for, in order."""
        return [json.loads(request.body)["model"] for request in self.transport.requests]
