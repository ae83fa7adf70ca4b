"""Renditions that were made of the same content under another name: copied, not made again.

Proof, in two steps. The records say which content an output was made from, by its digest, and the photo in hand has the
same. And the file in the output's place is the one that the records mean: a regular file with that photo's modification
time, of the size on record, and all that `adopt` asks for. The daemon sees to it that no other photo is given that
place meanwhile.

A photo that was only given another date is its own duplicate: its renditions are where they belong, and get the new
date.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple, Self

from watcher.core.types import DuplicateCandidate, FileSignature, Job, Made, Rendering
from watcher.fs.dates import same_date
from watcher.fs.output_mark import grain_at
from watcher.fs.publish import Publication
from watcher.render.adopt import open_current
from watcher.render.content import digest_of_output


class _Copy(NamedTuple):
    """One rendition that need not be made."""

    rendering: Rendering
    file: int  # file descriptor
    width: int  # pixels
    height: int
    size: int  # bytes
    in_place: bool  # it lies where it is wanted
    dated: bool  # and has the date that is wanted


class Borrowed:
    """What need not be made of one photo; its files are open until the `with` block ends."""

    def __init__(self, job: Job, source: FileSignature) -> None:
        self.duplicate: DuplicateCandidate | None = None
        self._job = job
        self._source = source
        self._stack = ExitStack()
        self._copies: list[_Copy] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def look(self, duplicate: DuplicateCandidate, rendering: Rendering, size: tuple[int, int], components: int) -> None:
        """Take a rendition of `size` pixels, as people see it, from `duplicate` if it has one."""
        for reusable in duplicate.reusable:
            known = any(copy.rendering == rendering for copy in self._copies)
            if known or reusable.fingerprint != rendering.recipe.fingerprint:
                continue
            there = replace(rendering, output=reusable.output)
            same = (duplicate.output_root, reusable.output) == (self._job.output_root, rendering.output)
            file = open_current(duplicate.output_root, there, duplicate.mtime_ns, size, components, duplicate.digest)
            date = self._source.mtime_ns
            if file is None and same:  # it was given the new date, and then we were cut off
                file = open_current(duplicate.output_root, there, date, size, components, duplicate.digest)
            if file is None:
                continue
            self._stack.callback(os.close, file)
            found = os.fstat(file)
            if found.st_size == reusable.size:
                dated = same and same_date(found.st_mtime_ns, self._source.mtime_ns, grain_at(duplicate.output_root))
                in_place = same and (dated or found.st_uid == os.geteuid())
                self._copies.append(_Copy(rendering, file, *size, reusable.size, in_place, dated))
                self.duplicate = self.duplicate or duplicate

    def publish(self, publication: Publication) -> list[Made]:
        """Add the copies to what is published together."""
        made = []
        for copy in self._copies:
            rendering, mtime_ns = copy.rendering, self._source.mtime_ns
            if not copy.in_place:
                publication.copy(rendering.output, copy.file, copy.size, mtime_ns, rendering.recipe.fingerprint)
            elif not copy.dated:
                publication.date(rendering.output, copy.file, mtime_ns)
            digest = digest_of_output(copy.file)
            seen = Made(rendering.name, rendering.output, copy.width, copy.height, copy.size, digest)
            made.append(replace(seen, adopted=copy.in_place, copied=not copy.in_place))
        return made
