"""Where each rendition's pixels come from: for any photo, box, orientation and position."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from watcher.core.recipe import Fit, Position, Recipe
from watcher.render.geometry import TURNED, Region, frame, offset, seen_size, target

SIDES = st.integers(1, 9000)
ORIENTATIONS = st.integers(1, 8)
POSITIONS: st.SearchStrategy[Position] = st.sampled_from(get_args(Position))
FITS: st.SearchStrategy[Fit] = st.sampled_from(get_args(Fit))


def recipe(box: tuple[int, int], fit: Fit, position: Position = "centre") -> Recipe:
    return Recipe(*box, fit, "jpeg", 85, "none", "f", position)


@given(SIDES, SIDES, st.tuples(SIDES, SIDES), FITS, POSITIONS, ORIENTATIONS)
def test_the_part_that_is_shown_lies_in_the_photo_and_is_never_enlarged(
    width: int, height: int, box: tuple[int, int], fit: Fit, position: Position, orientation: int
) -> None:
    goal = target(recipe(box, fit, position), width, height, orientation)
    assert Region(0, 0, width, height).holds(goal.region)
    assert goal.factor >= 1 or (goal.width, goal.height).count(1)  # nothing is narrower than a pixel
    seen = (goal.height, goal.width) if orientation in TURNED else (goal.width, goal.height)
    assert seen[0] <= box[0]
    assert seen[1] <= box[1]
    assert seen_size(recipe(box, fit, position), width, height, orientation) == (box if fit == "contain" else seen)


@given(SIDES, SIDES, st.tuples(SIDES, SIDES), FITS, POSITIONS, ORIENTATIONS)
def test_a_position_moves_the_part_and_changes_no_size(
    width: int, height: int, box: tuple[int, int], fit: Fit, position: Position, orientation: int
) -> None:
    moved = target(recipe(box, fit, position), width, height, orientation)
    centred = target(recipe(box, fit), width, height, orientation)
    assert (moved.width, moved.height) == (centred.width, centred.height)
    assert (moved.region.width, moved.region.height) == (centred.region.width, centred.region.height)
    if fit != "cover":
        assert moved == centred


@given(SIDES, SIDES, st.tuples(SIDES, SIDES), st.sampled_from(["north", "east", "south", "west"]), ORIENTATIONS)
def test_cover_touches_the_edge_that_position_names(
    width: int, height: int, box: tuple[int, int], position: Position, orientation: int
) -> None:
    region = target(recipe(box, "cover", position), width, height, orientation).region
    gaps = {  # in the stored picture
        "west": region.left,
        "east": width - region.left - region.width,
        "north": region.top,
        "south": height - region.top - region.height,
    }
    opposite = {"north": "south", "south": "north", "east": "west", "west": "east"}
    # where people's upper and left edges lie in the file, by orientation 1 to 8
    upper = ("north", "north", "south", "south", "west", "west", "east", "east")[orientation - 1]
    left = ("west", "east", "east", "west", "north", "south", "south", "north")[orientation - 1]
    edge = {"north": upper, "south": opposite[upper], "west": left, "east": opposite[left]}[position]
    assert abs(gaps[edge]) < 1e-6


@given(st.tuples(SIDES, SIDES), POSITIONS)
def test_only_contain_has_a_frame_and_what_is_left_goes_where_position_says(
    box: tuple[int, int], position: Position
) -> None:
    assert frame(recipe(box, "contain", position)) == box
    assert frame(recipe(box, "cover", position)) is None
    assert frame(recipe(box, "inside", position)) is None
    left, top = offset(position)
    assert (left == 0, left == 1) == ("west" in position, "east" in position)
    assert (top == 0, top == 1) == ("north" in position, "south" in position)
