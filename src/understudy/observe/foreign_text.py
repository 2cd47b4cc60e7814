"""Text that somebody else wrote (a model, an upstream, a file), as it may stand in a line of ours."""

from __future__ import annotations


def one_line(text: str) -> str:
    """With line ends as spaces, and without what a terminal would obey."""
    return "".join(character if character.isprintable() else "\ufffd" for character in " ".join(text.split()))
