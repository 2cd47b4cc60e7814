"""``/why``, ``/clear``, ``/quit``: the conversation itself."""

from __future__ import annotations

from understudy.cli.commands.command import Command, Context, Usage
from understudy.observe.words import decision_words, trail_words


async def _why(context: Context, rest: str) -> None:
    trail = context.session.trail
    if trail is None:
        context.screen.say("nothing has been asked yet")
        return
    if len(trail) > 1:
        context.screen.say(decision_words(trail))
    context.screen.say(trail_words(trail) or "no backend was reached")


async def _clear(context: Context, rest: str) -> None:
    context.session.messages = []
    context.screen.say("the conversation begins anew")


async def _quit(context: Context, rest: str) -> None:
    context.session.finished = True


WHY = Command("/why", (Usage("", "what was decided about the last request, and its trail, in words"),), _why)
CLEAR = Command("/clear", (Usage("", "forget the conversation; the profile stays"),), _clear)
QUIT = Command("/quit", (Usage("", "leave; also /exit and Ctrl-D"),), _quit, aliases=("/exit",))
