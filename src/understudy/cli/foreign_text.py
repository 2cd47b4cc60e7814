"""Text that somebody else wrote (a model, an upstream, a file), as a terminal may have it.

Control characters in it could move the cursor, change the title or fill the clipboard. A pipe gets a
model's text as it came.
"""

from __future__ import annotations

_KEPT = "\n\t"
_CONTROLS = {code: "\ufffd" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in _KEPT}
_CONTROLS[ord("\r")] = ""


def safe(text: str) -> str:
    """Over as many lines as it has, without what a terminal would obey."""
    return text.translate(_CONTROLS)


def one_line(text: str) -> str:
    """With line ends as spaces, and without what a terminal would obey."""
    return "".join(character if character.isprintable() else "\ufffd" for character in " ".join(text.split()))
