"""The root command.

1. With ``--prompt`` it answers once, without it opens the session; a command's name runs that command.
2. Commands are imported when they are needed.
3. ``--debug`` alone means everything of ours; only ``--debug=PATTERNS`` takes patterns, so that the name of
   a command behind it is never taken for one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from understudy._version import __version__
from understudy.cli import failures, saved_profiles

_COMMANDS = ("check", "demo", "faults", "profile", "serve", "simulate", "stats", "top", "why")
_COMPLETION_VARIABLE = "_UNDERSTUDY_COMPLETE"
_DEBUG_VARIABLE = "UNDERSTUDY_DEBUG"
_EVERYTHING = "understudy:*"
_EXAMPLES = """
\b
understudy demo
understudy --profile-load testlb489 --prompt 'Write a haiku about failover'
git diff | understudy --profile-load testlb489 --prompt - --json
"""


class RootCommand(click.Group):
    """Finds the commands (rule 2), and reads ``--debug`` (rule 3)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"understudy.cli.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None:
            raise click.UsageError(f"no such command: {args[0]}\nhint: {_meant(args[0])}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        taking = {
            name
            for option in self.params
            if isinstance(option, click.Option) and not option.is_flag and option.name != "debug"
            for name in option.opts
        }
        return super().parse_args(ctx, _with_patterns(args, taking))


def _meant(word: str) -> str:
    from difflib import get_close_matches

    likely = get_close_matches(word, _COMMANDS, n=1)
    return f"did you mean {likely[0]}?" if likely else "a prompt goes behind --prompt"


def _with_patterns(args: Sequence[str], taking_values: set[str]) -> list[str]:
    """The arguments with ``--debug`` spelled out, as far as they are options of the root command."""
    spelled: list[str] = []
    rest = iter(args)
    for argument in rest:
        spelled.append(f"--debug={_EVERYTHING}" if argument == "--debug" else argument)
        if argument in taking_values:
            spelled.extend(next(([value] for value in rest), []))
        elif not argument.startswith("-"):
            break
    return [*spelled, *rest]


@click.group(
    cls=RootCommand,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EXAMPLES,
)
@click.option(
    "--profile-load",
    metavar="NAME",
    shell_complete=saved_profiles.complete,
    help="Answer through this profile, given by name or as a path; else through the default one.",
)
@click.option(
    "--prompt",
    metavar="TEXT",
    help="Ask this and print the answer; '-' reads it from stdin. Without it a session opens.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one object: answer, usage, trail and stats.")
@click.option("--stats", is_flag=True, help="Print the statistics to stderr afterwards.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting; repeats.")
@click.option(
    "--transport",
    type=click.Choice(["aiohttp", "pyreqwest"]),
    default="aiohttp",
    show_default=True,
    help="The HTTP client to use.",
)
@click.option("--plain", is_flag=True, help="No colours and no boxes, also on a terminal.")
@click.option(
    "--debug",
    metavar="[=PATTERNS]",
    envvar=_DEBUG_VARIABLE,
    show_envvar=True,
    default="",
    help="Log lines on stderr: all, or of the loggers that match, as in --debug=understudy:lb:*",
)
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
@click.pass_context
def root(
    context: click.Context,
    profile_load: str | None,
    prompt: str | None,
    as_json: bool,
    stats: bool,
    settings: tuple[str, ...],
    transport: Any,
    plain: bool,
    debug: str,
) -> int | None:
    """An LLM load balancer with failover: when a model can't go on, another steps in.

    stdout gets the answer and nothing else. Exit status: 0 answered, 1 failed, 2 usage or configuration,
    130 interrupted, 141 stdout closed.
    """
    from understudy.cli import debug_log

    context.obj = plain
    context.with_resource(debug_log.shown(debug, _style(context.invoked_subcommand)))
    if context.invoked_subcommand is not None:
        _refuse(context, "profile_load", "prompt", "as_json", "stats", "settings", "transport")
        return None
    if prompt is None:
        return _session(context, profile_load, settings, transport, plain)
    from understudy.cli import one_shot

    return one_shot.answer(
        one_shot.Question(
            prompt=prompt,
            profile=profile_load,
            settings=saved_profiles.settings_of(settings),
            transport=transport,
            as_json=as_json,
            with_stats=stats,
            plain=plain,
        )
    )


def _style(command: str | None) -> Any:
    from understudy.cli.debug_log import Style

    if command is None:
        return Style.WARNINGS
    return Style.SERVICE if command == "serve" else Style.QUIET


def _session(
    context: click.Context, profile: str | None, settings: tuple[str, ...], transport: Any, plain: bool
) -> int:
    _refuse(context, "as_json", "stats", without="--prompt")
    from understudy.cli import repl

    return repl.run(profile, settings=saved_profiles.settings_of(settings), transport=transport, plain=plain)


def _refuse(context: click.Context, *names: str, without: str = "") -> None:
    """These options mean nothing here, so whoever gave one expects something else."""
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
        if option.name in names and given:
            where = f"without {without}" if without else f"with the command {context.invoked_subcommand}"
            raise click.UsageError(f"{option.opts[-1]} can't be used {where}")


def invoke(arguments: Sequence[str]) -> int:
    """Run a command; its status. Raises KeyboardInterrupt, and OSError for the standard streams.

    There are five ends: a status, ``--help`` and the like, an interrupt, a stream that failed, an error.
    """
    if _COMPLETION_VARIABLE in os.environ:
        root.main(list(arguments), "understudy", complete_var=_COMPLETION_VARIABLE)
    try:
        with root.make_context("understudy", list(arguments)) as context:
            return _run_command(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except OSError:
        raise
    except Exception as error:
        failures.show(error, sys.stderr)
        return failures.status_of(error)


def _run_command(context: click.Context) -> int:
    try:
        return int(root.invoke(context) or 0)
    except Exception as error:
        if failures.is_bug(error):
            from understudy.cli import debug_log

            debug_log.show_traceback(error)
        raise
