"""README and docs are true: their commands run, their config works, their tables name what there is."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.harness import Place, fill, tree
from watcher import errors
from watcher.config import Config, parse
from watcher.config.tables import DEFAULTS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def _page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def _commands() -> list[list[str]]:
    """Split every command of the README into words, the last one of a line that has several."""
    lines = [line for block in _blocks("sh") for line in block.splitlines()]
    return [shlex.split(line.rpartition("&& ")[2], comments=True) for line in lines if line.strip()]


def test_the_config_has_ten_lines_and_is_right() -> None:
    (text,) = _blocks("toml")
    assert len(text.splitlines()) == 10
    config = parse(tomllib.loads(text), source="README.md", base="/nowhere", home="/home/somebody")
    assert set(config.recipes) == {"web", "thumb"}


def test_every_command_runs_with_that_config(place: Place) -> None:
    (text,) = _blocks("toml")
    (place.root / "photos.toml").write_text(text)
    fill(place.root / "home" / "Pictures" / "Inbox", 1)
    ran = []
    for words in _commands():
        if Path(words[0]).name != "watcher" or {"run", "service"} & set(words) or "examples/photos" in words:
            continue
        done = place.watcher(*words[1:])
        assert done.code == 0, done
        ran.append(words[1])
    assert {"check", "once", "status"} <= set(ran)


def test_the_first_command_makes_copies_of_the_photos_that_come_with_it(place: Place) -> None:
    first = _commands()[0]
    assert first[:3] == [".venv/bin/watcher", "once", "examples/photos"]
    shutil.copytree(ROOT / "examples" / "photos", place.root / "examples" / "photos")
    done = place.watcher(*first[1:])
    assert done.code == 0, done
    made = tree(place.root / first[3] / "web")
    assert made.keys() == {path.name for path in (ROOT / "examples" / "photos").glob("*.jpg")}
    for name, path in made.items():
        with Image.open(ROOT / "examples" / "photos" / name) as photo, Image.open(path) as copy:
            assert max(copy.size) == 2048
            turned = photo.getexif().get(0x0112) == 6
            assert (copy.height > copy.width) == (turned != (photo.height > photo.width))
            assert not copy.getexif().get_ifd(0x8825)
            assert b"0000-EXAMPLE" not in path.read_bytes()


RECIPES = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", _page("recipes"), re.MULTILINE | re.DOTALL)


def _recipe(text: str, folder: Path, home: Path) -> tuple[str, Config, list[list[str]]]:
    """Save a recipe's config; return its file name, the config and the recipe's commands."""
    (config,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (block,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    commands = [shlex.split(line.partition("&&")[0], comments=True) for line in block.splitlines()]
    (name,) = {word for words in commands for word in words if word.endswith(".toml")}
    (folder / name).write_text(config)
    return name, parse(tomllib.loads(config), source=name, base=str(folder), home=str(home)), commands


@pytest.mark.parametrize("text", [text for _, text in RECIPES], ids=[title for title, _ in RECIPES])
def test_the_config_of_a_recipe_is_right_and_its_commands_name_it(text: str, tmp_path: Path) -> None:
    name, config, commands = _recipe(text, tmp_path, tmp_path)
    assert len(config.inboxes) == 1
    assert all(name in words for words in commands if words[0] == "watcher")


@pytest.mark.slow  # 17 runs of the command
@pytest.mark.parametrize("text", [text for _, text in RECIPES], ids=[title for title, _ in RECIPES])
def test_a_recipe_makes_every_copy_and_its_commands_work(place: Place, text: str) -> None:
    home = place.root / "home"
    name, config, commands = _recipe(text, place.root, home)
    (inbox,) = config.inboxes
    fill(Path(inbox.path), 1)[0].rename(Path(inbox.path) / "chair.jpg")
    done = place.watcher("once", "--config", name)
    assert done.code == 0, done
    assert {path.partition("/")[0] for path in tree(Path(inbox.output))} == set(config.recipes)
    for words in commands:
        if words[0] == "watcher" and not {"run", "service"} & set(words):
            done = place.watcher(*(word.replace("~", str(home)) for word in words[1:]))
            assert done.code == 0, (words, done)


def test_the_page_of_the_config_shows_every_key_as_it_is() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "config.py"))["page"]()
    assert page == _page("config"), "docs/config.md is out of date: run `python docs/config.py`"
    assert all(f"`{key.rpartition('.')[2]}`" in page for key in DEFAULTS)


def test_the_test_command_is_what_ci_runs() -> None:
    assert [".ci/test"] in _commands()
    assert re.search(r"^ .*\.ci/test ", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert all(os.access(ROOT / ".ci" / name, os.X_OK) for name in ("run", "test"))


def test_every_exit_code_is_explained() -> None:
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    section = _page("troubleshooting").partition("## Exit codes")[2].partition("\n## ")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)} == codes


def test_every_module_and_no_other_is_listed() -> None:
    modules = {
        path.stem for path in (ROOT / "watcher").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert set(re.findall(r"^\| `(\w+)/?` \|", _page("architecture"), re.MULTILINE)) == modules - {"__init__"}


def test_every_dependency_and_no_other_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    wanted = {re.split(r"[^\w-]", text)[0].lower() for text in [*project["dependencies"], *extras]}
    table = _page("architecture").partition("| dependency | for |\n| --- | --- |\n")[2].partition("\n\n")[0]
    cells = [row.split("|")[1].replace("\u2265 13", "") for row in table.splitlines()]
    assert {name.strip().lower() for cell in cells for name in cell.split(",")} == wanted


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150
    assert (
        max(len(line) for line in README.splitlines() if not line.startswith(("`", "python3", "watcher", "!["))) <= 110
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_linked_and_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#[^)]+)?\)", text):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        if anchor:
            assert anchor in {_anchor(line) for line in linked.read_text(encoding="utf-8").splitlines()}, anchor
    for folder in re.findall(r"\btests/\w+", text):
        assert (ROOT / folder).is_dir(), folder
    example = (ROOT / "config.example.toml").read_text()
    if page.name in {"CHANGELOG.md", "events.md"}:  # `batch.done` is an event there
        return
    for section, key in re.findall(r"`(retry|batch|log)\.(\w+)`", text):
        assert f"[{section}]" in example
        assert f"{key} = " in example


def _anchor(line: str) -> str:
    """Return the anchor that a forge gives to a heading."""
    title = re.match(r"#+ (.+)", line)
    return "#" + re.sub(r"[^\w -]", "", title[1].lower()).replace(" ", "-") if title else ""
