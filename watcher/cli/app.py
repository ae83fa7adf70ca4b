"""The commands, their arguments and their help. What each needs is imported when it runs, so that `--help` is quick."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from watcher import __version__
from watcher.cli.parameters import (
    AsJson,
    Command,
    ConfigFile,
    Group,
    Inbox,
    Output,
    Quiet,
    StateFile,
    Verbose,
    exit_codes,
    named,
)
from watcher.cli.service_app import services
from watcher.cli.web_app import web
from watcher.errors import UsageError

if TYPE_CHECKING:
    from watcher.app.settings import Source

app = typer.Typer(
    name="watcher",
    cls=Group,
    help="Photos dropped into a folder become resized copies: whole, once each, on every core.",
    epilog="Every option and config key: `man watcher` (`watcher service install` puts the page in place).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"watcher {__version__}")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Photos dropped into a folder become resized copies: whole, once each, on every core."""
    del version  # the callback has dealt with it


def _pair(inbox: str | None, output: str | None) -> tuple[str, str] | None:
    if inbox is None:
        return None
    if output is None:
        raise UsageError("INBOX and OUTPUT go together: name both folders, or none to use the config file")
    return inbox, output


def _source(
    inbox: str | None, output: str | None, config: str | None, state: str | None, *, verbose: bool, quiet: bool
) -> Source:
    from watcher.app.settings import Source  # noqa: PLC0415  # see the module's first line

    if verbose and quiet:
        raise UsageError("--verbose and --quiet exclude each other: give one of them")
    level: Any = "debug" if verbose else "warning" if quiet else None
    return Source(_pair(inbox, output), config, state, level=level)


@app.command(cls=Command, epilog=exit_codes(75, _0="asked to stop, and stopped cleanly"))
def run(
    inbox: Inbox = None,
    output: Output = None,
    config: ConfigFile = None,
    state: StateFile = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Watch the inboxes and make renditions until asked to stop: the daemon, in the foreground.

    Example: watcher run ~/Pictures/Inbox ~/Pictures/Resized
    """
    from watcher.app.early_signals import leave_on_signals  # noqa: PLC0415  # see the module's first line

    leave_on_signals()
    from watcher.app import preload  # noqa: PLC0415  # the same

    beginning = preload.begin(_source(inbox, output, config, state, verbose=verbose, quiet=quiet))
    from watcher.app import run  # noqa: PLC0415  # 100 ms, in which workers start

    raise typer.Exit(run.run(beginning))


@app.command(cls=Command, epilog=exit_codes(75, _1="some photos failed or are incomplete"))
def once(
    inbox: Inbox = None,
    output: Output = None,
    config: ConfigFile = None,
    state: StateFile = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would be made, and change nothing; -v names each copy.")
    ] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Catch up with what lies in the inboxes, then exit: 0 if all is made, 1 if some photos failed or are incomplete.

    Example: watcher once ~/Pictures/Inbox ~/Pictures/Resized --dry-run
    """
    source = _source(inbox, output, config, state, verbose=verbose, quiet=quiet)
    if dry_run:
        from watcher.app import estimate  # noqa: PLC0415  # see the module's first line

        raise typer.Exit(estimate.dry_run(source))
    from watcher.app import preload  # noqa: PLC0415  # see the module's first line

    beginning = preload.begin(source, must_exist=True)
    from watcher.app import run  # noqa: PLC0415  # 100 ms, in which workers start

    raise typer.Exit(run.once(beginning))


@app.command(cls=Command, epilog=exit_codes(_2="wrong command line, or the file exists"))
def init(
    file: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(
            metavar="FILE",
            help="Where to write it. Left out: ~/.config/watcher/config.toml, with --system the site's in /etc/xdg"
            " (macOS: below Library/Application Support).",
            show_default=False,
            callback=named,
        ),
    ] = None,
    config: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--config", "-c", metavar="FILE", help="The same as FILE.", show_default=False, callback=named),
    ] = None,
    state: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--state", metavar="FILE", help="A state file to name in the config.", show_default=False, callback=named
        ),
    ] = None,
    system: Annotated[
        bool,
        typer.Option("--system", help="For a service of the whole system: the site's config, folders in /srv/photos."),
    ] = False,
) -> None:
    """Write a commented starter config, and make the inbox folder that it names.

    A config that exists is never overwritten.

    Example: watcher init
    """
    from watcher.cli import init as command  # noqa: PLC0415  # see the module's first line

    if file is not None and config is not None:
        raise UsageError("FILE and --config are the same here: give one of them")
    raise typer.Exit(command.init(file or config, state, system=system))


@app.command(cls=Command, epilog=exit_codes())
def check(
    config: ConfigFile = None,
    state: StateFile = None,
    user: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--as", metavar="USER", help="Look at rights as this user; takes root.", show_default=False),
    ] = None,
    for_reload: Annotated[
        bool, typer.Option("--for-reload", help="Look only for what a reload would refuse, and print nothing else.")
    ] = False,
) -> None:
    """Find out whether a config is right and can work on this machine; exits with 78 if not.

    Example: watcher check --config watcher.toml
    """
    from watcher.cli import check as command  # noqa: PLC0415  # see the module's first line

    raise typer.Exit(command.check(config, state, user=user, for_reload=for_reload))


@app.command(cls=Command, epilog=exit_codes())
def status(
    inbox: Inbox = None,
    output: Output = None,
    config: ConfigFile = None,
    state: StateFile = None,
    as_json: AsJson = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing it, until Ctrl-C.")] = False,
) -> None:
    """Show what is watched, waiting, done and failed; works while the daemon runs or not.

    Example: watcher status --follow
    """
    from watcher.cli import status as command  # noqa: PLC0415  # see the module's first line

    raise typer.Exit(command.status(_pair(inbox, output), config, state, as_json=as_json, follow=follow))


@app.command(cls=Command, epilog=exit_codes())
def why(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A photo, or any other path; it need not exist.", callback=named)
    ],
    config: ConfigFile = None,
    state: StateFile = None,
    as_json: AsJson = False,
) -> None:
    """Explain what happened to a photo, and what it waits for.

    Example: watcher why ~/Pictures/Inbox/IMG_0001.JPG
    """
    from watcher.app import explain as command  # noqa: PLC0415  # see the module's first line

    raise typer.Exit(command.why(path, config, state, as_json=as_json))


@app.command(cls=Command, epilog=exit_codes(_1="a path is no photo of an inbox"))
def retry(
    paths: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(
            metavar="PATH",
            help="Photos, or folders of photos; left out: all.",
            show_default=False,
            callback=named,
        ),
    ] = None,
    config: ConfigFile = None,
    state: StateFile = None,
) -> None:
    """Retry failed photos: those named, or all. The running daemon picks this up; otherwise the next run does.

    Example: watcher retry ~/Pictures/Inbox/IMG_0001.JPG
    """
    from watcher.cli import retry as command  # noqa: PLC0415  # see the module's first line

    raise typer.Exit(command.retry(paths or [], config, state))


@app.command(cls=Command, epilog=exit_codes(75, _1="an output is missing or differs"))
def verify(
    inbox: Inbox = None,
    output: Output = None,
    config: ConfigFile = None,
    state: StateFile = None,
    repair: Annotated[bool, typer.Option("--repair", help="Make again what is missing or different.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Render each photo again in a temporary folder, and compare the pixels.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="List outputs whose photos are gone, and of renditions no longer in the config."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: remove them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check outputs against the state file; exits with 1 if an output is missing or different.

    Unknown files are listed, but not touched.

    --prune removes only files that are on record and unchanged, and counts a photo as gone only if that is certain.

    Example: watcher verify --repair
    """
    if prune and (repair or deep):
        raise UsageError("--prune can't be combined with --repair or --deep; run them one after the other")
    if yes and not prune:
        raise UsageError("--yes goes with --prune: it removes what --prune lists")
    if prune:
        from watcher.cli import prune as pruning  # noqa: PLC0415  # see the module's first line

        raise typer.Exit(pruning.prune(_pair(inbox, output), config, state, yes=yes, as_json=as_json))
    from watcher.cli import verify as command  # noqa: PLC0415  # see the module's first line

    code = command.verify(_pair(inbox, output), config, state, repair=repair, deep=deep, as_json=as_json)
    raise typer.Exit(code)


@app.command("list", cls=Command, epilog=exit_codes())
def list_photos(
    inbox: Inbox = None,
    output: Output = None,
    config: ConfigFile = None,
    state: StateFile = None,
    as_json: AsJson = False,
) -> None:
    """List what was made of each photo, for site generators; with --json one JSON object a line.

    Works while the daemon runs or not. Renditions that the config no longer has are left out.

    Example: watcher list --json
    """
    from watcher.cli import list_photos as command  # noqa: PLC0415  # see the module's first line

    raise typer.Exit(command.list_photos(_pair(inbox, output), config, state, as_json=as_json))


@app.command("help", cls=Command, epilog="Exit codes: 0 done, 2 wrong command line, 70 an internal error.")
def show_help(
    command: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="COMMAND", help="The command; left out: all of them.", show_default=False),
    ] = None,
) -> None:
    """Show the help of a command, as `watcher COMMAND --help` does.

    Example: watcher help once
    """
    app([*(command or []), "--help"], prog_name="watcher")


app.add_typer(services, name="service")
app.add_typer(web, name="web")
