"""The page's address with its token, for the person who wants to open it."""

from __future__ import annotations

from watcher.app.serve import require_extras
from watcher.app.settings import Source
from watcher.errors import ConfigError, Fault, StateError


def address_with_token(source: Source, *, new: bool) -> str:
    """Return the page's address with its token, which is made where there is none, or anew.

    Raises ConfigError where no page is served, StateError where the token can't be written.
    """
    config, name = source.read()
    if config.web.listen is None:
        hint = 'write HOST:PORT, such as "0.0.0.0:8424": the page is served there, and asks for a token'
        raise ConfigError(name, [Fault("web.listen", "found nothing", hint)])
    require_extras(config, name)
    from watcher.http import Address  # noqa: PLC0415  # an extra
    from watcher.http.access_token import read_token, token_file, write_token  # noqa: PLC0415  # the same
    from watcher.http.auth import is_loopback  # noqa: PLC0415  # the same

    host, _, port = config.web.listen.rpartition(":")
    url = Address((), host, int(port), loopback=False).url
    if is_loopback(host.strip("[]")):
        return url  # asks for none
    file = token_file(source.state_path(config))
    try:
        return write_token(file, url, "" if new else read_token(file))
    except OSError as error:
        hint = "let this user write there, or ask as the user of the daemon or as root"
        raise StateError(f"The token file {file} can't be written ({error.strerror}): {hint}.") from error
