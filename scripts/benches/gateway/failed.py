"""What keeps a figure from being taken."""

from __future__ import annotations


class Failed(Exception):
    """This proxy cannot be measured in this way; the message is the reason."""
