"""``understudy top``: a running gateway in a terminal. Only `tui.app` and what it shows imports Textual."""
