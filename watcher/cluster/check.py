"""Survey the cluster, for `check`: which workers are there, and what each returns for one question."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from distributed import Client, Future

from watcher import __version__
from watcher.cluster.client import be_quiet, connected, end, words
from watcher.cluster.remote import introduce, later, missing
from watcher.cluster.settings import Target

ANSWER_SECONDS = 30.0  # that all workers together may take
_URGENT = 1000  # before all waiting photos


@dataclass(frozen=True, slots=True)
class Survey:
    """The result of a survey."""

    reason: str = ""  # why no worker could be asked
    dask: tuple[str, str] = ("", "")  # versions: here, and at the scheduler
    threads: Mapping[str, int] = field(default_factory=dict)  # by worker
    answers: Mapping[str, object] = field(default_factory=dict)  # by worker that could answer
    refusals: Mapping[str, str] = field(default_factory=dict)  # by worker that could not: the reason


def survey(target: Target, question: Callable[..., object], *arguments: object) -> Survey:
    """Call `question` on each worker of a cluster, which finds it by name. Never raise; take bounded time."""
    be_quiet()
    return asyncio.run(_survey(target, question, arguments))


async def _survey(target: Target, question: Callable[..., object], arguments: tuple[object, ...]) -> Survey:
    try:
        client = await connected(target)
    except Exception as error:  # noqa: BLE001 - Dask raises many types, and each means that it can't be asked
        return Survey(reason=words(error))
    try:
        return await asyncio.wait_for(_ask(client, later(question, *arguments)), 2 * ANSWER_SECONDS)
    except Exception as error:  # noqa: BLE001 - as above
        return Survey(reason=words(error))
    finally:
        await end(client)


async def _ask(client: Client, question: bytes) -> Survey:
    versions: Any = client.get_versions()
    found = {name: side["packages"]["distributed"] for name, side in (await versions).items() if name != "workers"}
    dask = (str(found["client"]), str(found["scheduler"]))
    threads = dict(await client.scheduler.ncores()) if client.scheduler else {}
    answers: dict[str, object] = {}
    refusals: dict[str, str] = {}
    if threads:
        said = await client.run(pickle.loads, later(introduce, __version__), on_error="return")
        for worker in threads:
            answer = said.get(worker, "it has just left")
            if isinstance(answer, Exception):
                refusals[worker] = missing(answer)
            elif answer:
                refusals[worker] = str(answer)
        able = [worker for worker in threads if worker not in refusals]
        told = await asyncio.gather(*(_ask_one(client, question, worker) for worker in able))
        for worker, (answer, refusal) in zip(able, told, strict=True):
            if refusal:
                refusals[worker] = refusal
            else:
                answers[worker] = answer
    return Survey("", dask, threads, answers, refusals)


async def _ask_one(client: Client, question: bytes, worker: str) -> tuple[object, str]:
    future: Future[object] = client.submit(
        pickle.loads, question, workers=[worker], allow_other_workers=False, pure=False, priority=_URGENT
    )
    try:
        return await asyncio.wait_for(future, ANSWER_SECONDS), ""
    except TimeoutError:
        return None, f"it did not answer within {ANSWER_SECONDS:g} s: it hangs, or every thread of it is busy"
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - any error is the answer
        return None, f"{type(error).__name__}: {error}"
