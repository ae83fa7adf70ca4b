"""Where faults of a config stand in its file: the number of the line, the line, and the part that is meant."""

from __future__ import annotations

import tomllib

import pytest

from watcher.config import parse, with_lines
from watcher.errors import ConfigError, Fault

INBOX = '[[inbox]]\npath = "/in"\noutput = "/out"\n'


def drawn(text: str) -> list[str]:
    """Read a config, and return what is shown of its lines, fault by fault."""
    with pytest.raises(ConfigError) as caught:
        parse(tomllib.loads(text), source="test.toml", base="/", home="/home/me")
    return [fault.excerpt for fault in with_lines(caught.value, text).faults]


def marked(text: str) -> list[tuple[int, str]]:
    """Return of each fault the number of its line and what is underlined there."""
    found = []
    for excerpt in drawn(text):
        line, mark = excerpt.split("\n")
        found.append((int(line.partition("|")[0]), line[mark.index("^") : mark.rindex("^") + 1]))
    return found


@pytest.mark.parametrize(
    ("text", "line", "meant"),
    [
        ("workers = -1\n" + INBOX, 1, "-1"),
        ('\n# text\nworkers = "5"   # a comment\n' + INBOX, 3, '"5"'),
        ('state = ""\n' + INBOX, 1, '""'),
        ("log = {level = 'loud # not'}   # quiet\n" + INBOX, 1, "{level = 'loud # not'}"),
        ("[batch]\n\tmax_files=0\n" + INBOX, 2, "0"),
        ("batch.max_files = 0\n" + INBOX, 1, "0"),
        ("[log]\nlevle = 1\n" + INBOX, 2, "levle"),
        (INBOX + "[rendition.'a b']\nwidth = 0\n", 5, "0"),
        (INBOX + "[[rendition]]\nwidth = 1\n", 4, "[[rendition]]"),
        ("[inbox]\npath = '/a'\n", 1, "[inbox]"),
        (INBOX + '[rendition."a.b"]   # neither\n', 4, '[rendition."a.b"]'),
        (INBOX + "recursive = 1\n" + INBOX.replace("/", "/2"), 4, "1"),
        (INBOX + INBOX.replace("/", "/2") + "recursive = 1\n", 7, "1"),
        (INBOX + "\n[[inbox]]\npath = '/a'\n", 5, "[[inbox]]"),
        (INBOX + "renditions = ['web', 'wbe']\n", 4, "'wbe'"),
        (INBOX + 'include = [\n  "*.jpg",\n  3,\n]\n', 6, "3"),
        (INBOX + 'include = [ # 1\n  "*.jpg", "*.jpeg",\n\n  # 3\n  3] # 5\n', 8, "3"),
        (INBOX + 'include = [3,\n  "*.jpg"]\n', 4, "3"),
        (INBOX + "renditions = [\n  'web',   # first\n  'wbe', # wbe\n]\n", 6, "'wbe'"),
        ('inbox = [\n  {path = "/a", output = "/b"},\n  {path = "/c", output = 3},\n]', 3, '{path = "/c", output = 3}'),
        ('inbox = [{path = "/a", output = 3}]', 1, '[{path = "/a", output = 3}]'),
        ('state = """\n~you"""\n' + INBOX, 1, '"""'),
    ],
)
def test_a_fault_shows_its_line_and_what_is_meant_there(text: str, line: int, meant: str) -> None:
    assert marked(text) == [(line, meant)]


def test_faults_come_in_the_order_of_the_file_and_look_so() -> None:
    text = '[[inbox]]\npath = "/in"\noutput = "/in/out"\n[rendition.web]\nquality = 101\nwidth = 1\n'
    with pytest.raises(ConfigError) as caught:
        parse(tomllib.loads(text), source="test.toml", base="/", home="/home/me")
    assert str(with_lines(caught.value, text)) == (
        "test.toml:\n"
        '  inbox[0].output: found a folder inside the inbox "/in"; write a folder outside of every inbox\n'
        '    3 | output = "/in/out"\n'
        "      |          ^^^^^^^^^\n"
        "  rendition.web.quality: found 101; write a whole number from 1 to 100\n"
        "    5 | quality = 101\n"
        "      |           ^^^"
    )


def test_a_file_that_is_no_toml_shows_where_it_ends_to_be() -> None:
    fault = Fault("", "line 2, column 3: Invalid value", "write it otherwise")
    (found,) = with_lines(ConfigError("test.toml", [fault]), "a = 1\r\nb = x\r\n").faults
    assert found.excerpt == "    2 | b = x\n      |   ^"


def test_what_stands_nowhere_has_no_line() -> None:
    assert drawn("workers = 1") == [""]
    error = ConfigError("test.toml", [Fault("web.listen", "found it", "write it"), Fault("", "line 9: x", "y")])
    assert [fault.excerpt for fault in with_lines(error, "a = 1").faults] == ["", ""]


def test_a_long_line_is_cut_and_its_control_characters_are_replaced() -> None:
    for excerpt in drawn(f'log.level = "\N{PILE OF POO}{"x" * 500}"\nlog.format = "\t\\u0007\x85"\n{INBOX}'):
        assert all(line.isprintable() and len(line) < 120 for line in excerpt.split("\n"))


@pytest.mark.parametrize("line", ["x", "x" * 30_000])
def test_a_statement_without_an_end_costs_no_minutes(line: str) -> None:
    error = ConfigError("test.toml", [Fault("workers", "found -1", "write 1")])
    text = "workers = -1\nstate = '''\n" + f"{line}\n" * 500
    assert with_lines(error, text).faults[0].excerpt.startswith("    1 | workers = -1\n")
