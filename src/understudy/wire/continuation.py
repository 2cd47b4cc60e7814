"""A request that asks a model to go on with an answer that another one began.

1. The answer so far becomes the last message, the assistant's. In the client's own format if the backend
   speaks that and the format calls its conversation `messages`; else in neutral words.
2. Limits of the answer, the request's or else the backend's usual ones, are lowered by what there is of it
   already, to 1 at least.
3. Some backends want to be told in fields of their own that they shall go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from understudy.wire.chat import ChatRequest
from understudy.wire.dialect import ClientRequest
from understudy.wire.needs import LIMITS

_MESSAGES = msgspec.json.Decoder(list[msgspec.Raw])


def continued(
    request: ChatRequest | ClientRequest,
    prefill: str,
    spent: int,
    *,
    native: bool,
    defaults: Mapping[str, Any],
    more: Mapping[str, Any],
) -> ChatRequest | ClientRequest:
    """The request for the rest of the answer, `spent` tokens of which are there. Raises `BadRequest`.

    `native`: the backend speaks the client's format. `defaults` fill what the request leaves out.
    """
    usual = {} if any(name in request.fields for name in LIMITS) else defaults
    limits = {name: usual[name] for name in LIMITS if name in usual}
    message = {"role": "assistant", "content": prefill}
    if isinstance(request, ClientRequest):
        if native and request.prompt == "messages":
            return _natively(request, message, spent, {**limits, **more})
        request = request.chat
    fields = {**limits, **request.fields, **more}
    for name in LIMITS:
        if isinstance(fields.get(name), int):
            fields[name] = max(1, fields[name] - spent)
    return ChatRequest((*request.messages, message), fields)


def _natively(
    request: ClientRequest, message: Mapping[str, Any], spent: int, more: Mapping[str, Any]
) -> ClientRequest:
    fields = dict(request.fields)
    fields["messages"] = _raw([*_MESSAGES.decode(fields["messages"]), message])
    fields.update({name: _raw(value) for name, value in more.items()})
    for name in LIMITS:
        if name in fields:
            fields[name] = _lowered(fields[name], spent)
    return request.with_fields(fields)


def _lowered(raw: msgspec.Raw, spent: int) -> msgspec.Raw:
    try:
        limit = msgspec.json.decode(raw, type=int)
    except msgspec.MsgspecError:
        return raw  # whoever is asked will say what is wrong with it
    return _raw(max(1, limit - spent))


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
