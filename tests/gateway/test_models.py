"""Names as either protocol lists them."""

from __future__ import annotations

from typing import Any

import pytest

from understudy.gateway import models


def test_an_openai_client_gets_openais_rows() -> None:
    row = {"id": "evening", "object": "model", "created": 0, "owned_by": "understudy"}

    assert models.model("evening", anthropic=False) == row
    assert models.listing(["evening"], anthropic=False) == {"object": "list", "data": [row]}


def test_an_anthropic_client_gets_anthropics_rows() -> None:
    rows = [
        {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
        for name in ("evening", "matinee")
    ]

    assert models.model("evening", anthropic=True) == rows[0]
    assert models.listing(["evening", "matinee"], anthropic=True) == {
        "data": rows,
        "has_more": False,
        "first_id": "evening",
        "last_id": "matinee",
    }


@pytest.mark.parametrize(
    ("anthropic", "listing"),
    [
        (False, {"object": "list", "data": []}),
        (True, {"data": [], "has_more": False, "first_id": None, "last_id": None}),
    ],
)
def test_a_listing_may_be_empty(anthropic: bool, listing: dict[str, Any]) -> None:
    assert models.listing([], anthropic=anthropic) == listing
