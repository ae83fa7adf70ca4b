"""The state file against a plain dict: whatever is written, its counts and listings agree with it."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.core.records import Phase, PhotoRecord
from watcher.core.status import Counts
from watcher.core.types import FileSignature, PhotoId
from watcher.store import Store

INBOXES = (b"/in", b"/other")
FOLDERS = (b"", b"a", b"a/b", b"a0", b"a.", b"\xff")
NAMES = (b"1.jpg", b"1.JPG", b"\xff.jpg")
PHOTOS = st.builds(
    lambda inbox, folder, name: PhotoId(inbox, folder + b"/" + name if folder else name),
    st.sampled_from(INBOXES),
    st.sampled_from(FOLDERS),
    st.sampled_from(NAMES),
)
KNOWN = st.none() | st.builds(
    PhotoRecord,
    st.builds(FileSignature, st.integers(-1, 9), st.integers(-(2**70), 2**70), st.just(0)),
    st.sampled_from(Phase),
    st.dictionaries(st.sampled_from(["web", "thumb"]), st.sampled_from(["f1", "f2"])),
    st.just({}),
    at=st.floats(0, 1e10),
    attempts=st.integers(0, 5),
    reason=st.text(max_size=5),
    leased=st.booleans(),
)
WRITES = st.lists(st.tuples(PHOTOS, KNOWN), min_size=1, max_size=6)
STEPS = st.lists(WRITES | st.tuples(st.sampled_from(INBOXES), st.sampled_from(FOLDERS)), max_size=12)


@settings(deadline=None, max_examples=60)  # a file is made, written and read for each
@given(STEPS)
def test_the_state_file_agrees_with_what_was_written(
    steps: list[list[tuple[PhotoId, PhotoRecord | None]] | tuple[bytes, bytes]],
) -> None:
    recorded: dict[PhotoId, PhotoRecord] = {}
    with tempfile.TemporaryDirectory() as folder, Store.open(os.path.join(folder, "s.db")) as state:
        for step in steps:
            if isinstance(step, tuple):
                inbox, gone = step
                state.forget_folder(inbox, gone)
                for photo in list(recorded):
                    if photo.inbox == inbox and (not gone or (photo.folder + b"/").startswith(gone + b"/")):
                        del recorded[photo]
                continue
            state.write(step)
            for photo, known in step:
                if known is None:
                    recorded.pop(photo, None)
                else:
                    # what cannot be printed is escaped on its way in
                    reason = known.reason.encode("utf-8", "backslashreplace").decode()
                    recorded[photo] = replace(known, reason=reason)
        _compare(state, recorded)


def _compare(state: Store, recorded: dict[PhotoId, PhotoRecord]) -> None:
    for inbox in INBOXES:
        here = {photo: known for photo, known in recorded.items() if photo.inbox == inbox}
        phases = Counter(known.phase for known in here.values())
        assert state.counts(inbox) == Counts(phases[Phase.WAITING], phases[Phase.DONE], phases[Phase.FAILED])
        assert set(state.folders(inbox)) == {photo.folder for photo in here}
        assert dict(item for phase in Phase for item in state.photos(inbox, phase)) == here
        made = Counter(name for known in here.values() for name in known.recipes)
        assert state.superseded(inbox, []) == dict(made)
        for folder in FOLDERS:
            names = {photo.name: known for photo, known in here.items() if photo.folder == folder}
            assert sorted(state.names(inbox, folder)) == sorted(names)
            scan_rows, total = state.scan_rows(inbox, folder, NAMES)
            assert total == len(names) == len(scan_rows)
            for name, row in scan_rows.items():
                known = names[name]
                assert (row.size, row.mtime_ns) == known.stamp[:2]
                assert (row.phase, row.leased) == (known.phase, known.leased)
                assert state.recipes_of(row.recipes) == known.recipes
