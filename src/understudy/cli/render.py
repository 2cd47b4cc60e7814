"""The statistics, as people read them.

They are the plain table wherever plain text is asked for or the stream is no terminal; on a terminal the
same numbers come as a coloured table. A request's trail is put into words in `observe.words`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from understudy.core.stats import Stats


def stats_text(stats: Stats, stream: TextIO, *, plain: bool) -> None:
    """Print the statistics."""
    if plain or not stream.isatty():
        print(stats, file=stream)
        return
    # Imported late: it brings rich along, and pipes need none.
    from understudy.cli.stats_table import print_table

    print_table(stats, stream)
