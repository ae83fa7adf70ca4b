"""What several commands have in common: their arguments and options, and help as people read it."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer
from typer.core import TyperCommand, TyperGroup

from watcher.errors import UsageError

CONFIG_HELP = (
    "The config file. Left out: $WATCHER_CONFIG, else ~/.config/watcher/config.toml, else the site's in /etc/xdg"
    " (macOS: below Library/Application Support)."
)
STATE_HELP = (
    "The state file. Left out: the config's `state`, else in ~/.local/state/watcher"
    " (macOS: below Library/Application Support)."
)
_MEANINGS = {
    0: "done",
    2: "wrong command line",
    70: "an internal error",
    75: "another instance holds the state file",
    78: "the config is wrong or can't work here",
}


def exit_codes(*codes: int, **others: str) -> str:
    """Return the last paragraph of a command's help; `others`: what a code (`_1="…"`) means for this command."""
    meanings = {code: _MEANINGS[code] for code in (0, *codes, 2, 70, 78)}
    meanings |= {int(code[1:]): text for code, text in others.items()}
    return f"Exit codes: {', '.join(f'{code} {meanings[code]}' for code in sorted(meanings))}."


class Command(TyperCommand):
    """A command whose help names no types."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401  # typer keeps its own copy of click private
        """Return the parts of the usage line; what must be given stands without braces."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401  # the same
        """Return the parameters."""
        return _without_types(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # the same
        """Take the arguments apart; a config file that is given as an argument is told from other mistakes."""
        configs = [word for word in args if word.endswith(".toml")]
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            message = getattr(error, "message", "")
            if "unexpected extra argument" in message:
                if configs:
                    message += f". Did you mean --config {configs[0]}?"
                elif ctx.info_name == "check":
                    message += ". It checks a config; two folders need none: `watcher once INBOX OUTPUT --dry-run`"
                error.message = message  # type: ignore[attr-defined]
            raise


class Group(TyperGroup):
    """A command with commands below it, whose help names no types."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401  # the same
        """Return the parameters."""
        return _without_types(super().get_params(ctx))


def _without_types(parameters: list[Any]) -> list[Any]:
    """Have no `<bool>` stand beside flags, which take no value, and no `<str>` beside arguments."""
    for parameter in parameters:
        if parameter.param_type_name == "argument" or parameter.is_flag:
            parameter.display_type_rich = lambda *_, **__: ""
    return parameters


def named(value: Any) -> Any:  # noqa: ANN401  # typer hands over a text, several, or None
    """Refuse an empty name, which an unset shell variable leaves: it does not mean `.`."""
    if value == "" or (isinstance(value, (list, tuple)) and "" in value):
        hint = "write the name, or leave it out (is a variable of the shell not set?)"
        raise UsageError(f"found an empty name for a file or folder: {hint}")
    return value


# typer reads these at run time, and knows Optional on every Python that we do
Inbox = Annotated[
    Optional[str],  # noqa: UP045
    typer.Argument(metavar="INBOX", help="The folder to watch.", show_default=False, callback=named),
]
Output = Annotated[
    Optional[str],  # noqa: UP045
    typer.Argument(metavar="OUTPUT", help="The folder for the resized copies.", show_default=False, callback=named),
]
ConfigFile = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--config", "-c", metavar="FILE", help=CONFIG_HELP, show_default=False, callback=named),
]
StateFile = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--state", metavar="FILE", help=STATE_HELP, show_default=False, callback=named),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log more: every photo, and each step.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what is wrong.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
