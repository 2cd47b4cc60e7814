"""Text that somebody else wrote (a model, an upstream, a file), as a terminal may have it.

Control characters in it could move the cursor, change the title or fill the clipboard. A pipe gets a
model's text as it came.
"""

from __future__ import annotations

from understudy.observe.foreign_text import one_line

__all__ = ["one_line", "safe"]

_KEPT = "\n\t"
_CONTROLS = {code: "\ufffd" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in _KEPT}
_CONTROLS[ord("\r")] = ""


def safe(text: str) -> str:
    """Over as many lines as it has, without what a terminal would obey."""
    return text.translate(_CONTROLS)
