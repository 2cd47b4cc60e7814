"""A provider that misbehaves on command: the tests' upstream, the demo's backend, a tool for users.

It speaks real HTTP on real sockets and imports nothing of the package but its errors, so that no
bug can sit on both sides of a test. A fault is a *script*: what is played at each attempt.

::

    provider            the server: FaultProvider
    service             one connection: request, cue, performance
    connection, http    bytes in and out, knowing when the client left
    script, cue         the text of a script; which of its steps is this attempt's
    vocabulary, word    every fault word in one table; what a word is
    replies, timing, endings …                  the words, by kind
    plan, act, performance, player              what an attempt will be, as values; then as bytes
    answer, openai_chat, event_stream           the canonical answer and its format
    log, control        what was seen; what is said from outside
"""

from understudy.faults.answer import TEXT, TOKENS, Answer, ToolCall
from understudy.faults.log import Request
from understudy.faults.provider import FaultProvider
from understudy.faults.script import Script
from understudy.faults.word import ScriptError

__all__ = ["TEXT", "TOKENS", "Answer", "FaultProvider", "Request", "Script", "ScriptError", "ToolCall"]
