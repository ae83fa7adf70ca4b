"""Arguments and options that several commands take."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from watcher.cli.helping import CONFIG_HELP, STATE_HELP
from watcher.errors import UsageError


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
