"""The commands below `watcher web`, their arguments and their help; see `app`."""

from __future__ import annotations

from typing import Annotated

import typer

from watcher.cli.parameters import Command, ConfigFile, Group, StateFile, exit_codes

web = typer.Typer(cls=Group, no_args_is_help=True, help="The page in the browser.")


@web.callback()
def _web() -> None:
    """Have `token` stay a command, though it is the only one."""


@web.command(cls=Command, epilog=exit_codes())
def token(
    config: ConfigFile = None,
    state: StateFile = None,
    new: Annotated[
        bool, typer.Option("--new", help="Make a new token: who has the old one is asked for it again.")
    ] = False,
) -> None:
    """Print the page's address with the token that it asks for, to be opened or bookmarked.

    Example: watcher web token
    """
    from watcher.app.serve import address_with_token  # noqa: PLC0415  # so that `--help` is quick
    from watcher.app.settings import Source  # noqa: PLC0415  # the same

    typer.echo(address_with_token(Source(None, config, state), new=new))
