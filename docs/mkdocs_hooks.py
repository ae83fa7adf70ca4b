"""Hooks of mkdocs: the README is the home page, and what docs/ links to elsewhere in the repository goes along."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[1]
_PAGES = ("README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "examples/photos/CREDITS.md")
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the README as the home page, the other pages of the repository, and the files that any of them links to."""
    pages = [*_PAGES, *(f"docs/{path.name}" for path in (_ROOT / "docs").glob("*.md"))]
    wanted = {target for page in pages for target in _targets(page) if not target.startswith("docs/")}
    for path in sorted(wanted.union(_PAGES)):
        files.append(File.generated(config, _on_site(path), abs_src_path=str(_ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:  # noqa: ANN401 - what else mkdocs hands over
    """Return the page with its links as they are on the site."""
    source = _in_repository(page.file.src_uri)
    folder = posixpath.dirname(page.file.src_uri)

    def rewritten(link: re.Match[str]) -> str:
        return posixpath.relpath(_on_site(_target(source, link[1])), folder or ".")

    return _LINK.sub(rewritten, markdown)


def _targets(page: str) -> set[str]:
    found = {_target(page, link) for link in _LINK.findall((_ROOT / page).read_text(encoding="utf-8"))}
    return {target for target in found if (_ROOT / target).is_file()}


def _target(page: str, link: str) -> str:
    """Return the path in the repository that a link of a page means."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _on_site(path: str) -> str:
    if path == "README.md":
        return "index.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"repository/{path}"


def _in_repository(path: str) -> str:
    if path == "index.md":
        return "README.md"
    return path.removeprefix("repository/") if path.startswith("repository/") else f"docs/{path}"
