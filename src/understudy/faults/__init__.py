"""A provider that misbehaves on command: the tests' upstream, the demo's backend, a tool for users.

It speaks real HTTP on real sockets and imports nothing of the package but its errors, so that no
bug can sit on both sides of a test. A fault is a *script*: what is played at each attempt.

::

    provider, listener       the server: FaultProvider
    service                  one connection: request, cue, performance
    connection, http         bytes in and out, knowing when the client left
    repertoire, cue, script  whose script is it; which step is this attempt's; the text of scripts
    vocabulary, word         every fault word in one table; what a word is
    replies timing endings events lines bodies heads answers         the words, by kind
    plan, act, performance, player                     an attempt as values, then as bytes
    answer, event_stream, json_bytes, wordings         the canonical answer; how it is written down
    formats                                            what each format must be able to say
    openai_chat openai_responses anthropic_messages gemini, responses_object     the formats, literally
    log, waiting, control    what was seen; waiting for it; what is said from outside
    ports                    ports where no provider is
    reference                the fault words as a table, for people
"""

from understudy.faults.answer import TEXT, TOKENS, Answer, ToolCall
from understudy.faults.log import Request
from understudy.faults.ports import SilentPort, closed_port, full_port
from understudy.faults.provider import FaultProvider
from understudy.faults.script import Script
from understudy.faults.word import ScriptError

__all__ = [
    "TEXT",
    "TOKENS",
    "Answer",
    "FaultProvider",
    "Request",
    "Script",
    "ScriptError",
    "SilentPort",
    "ToolCall",
    "closed_port",
    "full_port",
]
