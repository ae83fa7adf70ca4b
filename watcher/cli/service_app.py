"""The commands below `watcher service`, their arguments and their help; see `app`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from watcher.cli.parameters import Command, ConfigFile, Group, StateFile, exit_codes

services = typer.Typer(cls=Group, no_args_is_help=True, help="Have systemd or launchd run the daemon.")
System = Annotated[
    Optional[bool],  # noqa: UP045
    typer.Option(
        "--system/--user",
        help="A service for the whole system, or for you alone. Left out: for the system if you are root.",
        show_default=False,
    ),
]
As = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--as",
        metavar="USER",
        help="The user of the system's service. Left out: watcher.",
        show_default=False,
    ),
]


@services.command(cls=Command, epilog=exit_codes())
def install(
    system: System = None,
    user: As = None,
    drop_group: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--drop-group", metavar="GROUP", help="Let a group drop photos.", show_default=False),
    ] = None,
    config: ConfigFile = None,
    state: StateFile = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be written, and change nothing.")
    ] = False,
) -> None:
    """Write a unit or plist for this config and this Python, enable and start it. Safe to run again.

    Example: watcher service install --dry-run
    """
    from watcher.app.settings import Source  # noqa: PLC0415  # the same
    from watcher.cli import service as command  # noqa: PLC0415  # so that `--help` is quick

    wide = command.default_system() if system is None else system
    source = Source(None, config, state)
    raise typer.Exit(command.install(source, system=wide, user=user, drop_group=drop_group, dry_run=dry_run))


@services.command(cls=Command, epilog=exit_codes())
def uninstall(
    system: System = None,
    config: ConfigFile = None,
    state: StateFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and change nothing.")] = False,
) -> None:
    """Stop the service and remove its unit or plist; photos, renditions, config and state file stay.

    Example: watcher service uninstall
    """
    from watcher.cli import service as command  # noqa: PLC0415  # so that `--help` is quick

    del config, state  # every command takes them, and this one has no use for them
    wide = command.default_system() if system is None else system
    raise typer.Exit(command.uninstall(system=wide, dry_run=dry_run))


@services.command(cls=Command, epilog=exit_codes())
def show(system: System = None, user: As = None, config: ConfigFile = None, state: StateFile = None) -> None:
    """Print the unit or plist as `install` would write it.

    Example: watcher service show --system
    """
    from watcher.app.settings import Source  # noqa: PLC0415  # the same
    from watcher.cli import service as command  # noqa: PLC0415  # so that `--help` is quick

    wide = command.default_system() if system is None else system
    raise typer.Exit(command.show(Source(None, config, state), system=wide, user=user))
