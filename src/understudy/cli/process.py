"""One run of the program.

1. Whatever happens ends in an exit status and at most a few plain lines on stderr: 0 done, 1 failed,
   2 usage or configuration, 130 interrupted, 141 stdout closed (nothing is said then), 143 terminated.
2. The version alone is told without loading the command line, which takes several times as long.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from understudy._version import __version__
from understudy.cli import standard_streams, stopping


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit status."""
    standard_streams.prepare()
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        standard_streams.abandon_stdout()
        status = stopping.STDOUT_CLOSED
    except OSError as error:
        standard_streams.abandon_stdout()
        status = _failed(error)
    except KeyboardInterrupt:
        status = stopping.INTERRUPTED
    except stopping.Terminated:
        status = stopping.TERMINATED
    return status


def _run(arguments: Sequence[str]) -> int:
    if list(arguments) in (["--version"], ["-V"]):
        standard_streams.write(f"understudy {__version__}\n")
        return 0
    from understudy.cli.main import invoke

    return invoke(arguments)


def _failed(error: OSError) -> int:
    from understudy.cli import failures

    failures.show(error, sys.stderr)
    return failures.status_of(error)
