"""Write the tables of docs/config.md: `python docs/config.py`.

Keys, defaults and values come from the config's own tables, the meanings from the comments of config.example.toml.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from watcher.config.tables import DEFAULTS, TABLES, Mark

_ROOT = Path(__file__).parents[1]
_PAGE = _ROOT / "docs" / "config.md"
_AT_START = "; a change takes effect at the next start"
_BEGIN, _END = "<!-- the keys: python docs/config.py -->", "<!-- end of the keys -->"


def page() -> str:
    """Return the text of docs/config.md with its tables as they should be."""
    before, _, rest = _PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    return f"{before}{_BEGIN}\n\n{_sections()}\n\n{_END}{rest.partition(_END)[2]}"


def _sections() -> str:
    comments = _comments()
    sections = []
    for title, table in TABLES.items():
        rows = [
            f"| `{name}` | {_default(key)} | {_allowed(field.description or '')} |"
            f" {comments.get(key, 'required')}{_AT_START * (Mark.RESTART in field.metadata)} |"
            for name, field in table.model_fields.items()
            if (key := f"{title}.{name}".lstrip(".")) in DEFAULTS
        ]
        whole = title and Mark.RESTART in TABLES[""].model_fields[title].metadata
        lines = [
            f"## {_heading(title)}",
            "",
            *(["Changes take effect at the next start.", ""] if whole else []),
            "| key | default | value | meaning |",
            "| --- | --- | --- | --- |",
            *rows,
        ]
        sections.append("\n".join(lines))
    return "\n\n".join(sections)


def _heading(title: str) -> str:
    """Return a table's header as it is written in the file."""
    if not title:
        return "Before the first table"
    (header,) = re.findall(r"`(\[.+?\])`", TABLES[""].model_fields[title].description or "")
    return f"`{header}`".replace(".web", ".NAME")


def _default(key: str) -> str:
    value = DEFAULTS[key]
    return "" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"


def _allowed(description: str) -> str:
    """Return the text that completes "write …", without what the example shows anyway."""
    text = re.sub(r",? in quotes$", "", description).replace("|", "\\|")
    return re.sub(r'("[^"]*"|\{.+\}|\[.+\])', r"`\1`", text)


def _comments() -> dict[str, str]:
    """Return the comment of each key in config.example.toml, without the list of its choices."""
    found: dict[str, str] = {}
    title = ""
    for line in (_ROOT / "config.example.toml").read_text(encoding="utf-8").splitlines():
        if header := re.match(r"(?:# )?\[+(\w+)", line):
            title = header[1]
        elif pair := re.match(r"(?:# )?(\w+) = .*?\S +# (.+)", line):
            text = re.sub(r"^(?:[\w-]+(?: \| [\w-]+)+|\{.+?\})[;:]? ?", "", pair[2])
            found[f"{title}.{pair[1]}".lstrip(".")] = text.replace("|", "\\|")
    return found


if __name__ == "__main__":
    _PAGE.write_text(page(), encoding="utf-8")
