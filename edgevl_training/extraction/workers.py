# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sources shared out over processes, with one progress; the result does not depend on how many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
import multiprocessing
from multiprocessing.connection import wait as wait_for_end
import os
import queue
import signal
import threading
import time
from typing import Any

import cv2
from edgevl_training.errors import OutputError
from edgevl_training.extraction.journal import Journal
from edgevl_training.extraction.one_source import extract_source
from edgevl_training.extraction.plan import open_source, PlannedSource
from edgevl_training.extraction.recipe import ExtractRecipe
from edgevl_training.progress import Progress

_MEGABYTE = 1e6
_LOOK_EVERY_S = 0.2
# More threads than this wait for the one that reads.
_MOST_THREADS = 4

_to_parent: Any = None


def extract_all(
    recipe: ExtractRecipe, planned: list[PlannedSource], progress: Progress
) -> list[Journal]:
    """
    Extract every source that is not refused, and list those that are; give a journal for each.

    :raises OutputError: when a worker process died.
    """
    journals = [
        Journal.refuse(recipe.out, index, source.name, source.refused) if source.refused
        else Journal() for index, source in enumerate(planned)
    ]
    todo = [index for index, source in enumerate(planned) if not source.refused]
    workers = min(recipe.workers, len(todo))
    threads = max(1, min(_MOST_THREADS, len(os.sched_getaffinity(0)) // workers))
    if workers == 1:
        cv2.setNumThreads(1)  # pictures are small; threads take whole ones
        for index in todo:
            def advance(count: int, index: int = index) -> None:
                progress.advance(count / _MEGABYTE, planned[index].name)
            journals[index] = _extract(recipe, planned[index], index, threads, advance)
        return journals
    with _processes(workers) as (pool, counts):
        futures = {
            pool.submit(_extract_in_worker, recipe, planned[index], index, threads): index
            for index in todo
        }
        _watch(set(futures), counts, progress)
        for future, index in futures.items():
            journals[index] = future.result()
    return journals


def _extract(
    recipe: ExtractRecipe, planned: PlannedSource, index: int, threads: int,
    advance: Callable[[int], None],
) -> Journal:
    journal = Journal.read(recipe.out, index)
    if journal.finished:
        advance(planned.size_bytes)
        return journal
    source = open_source(recipe, planned)
    return extract_source(source, recipe, index, threads, advance)


def _extract_in_worker(
    recipe: ExtractRecipe, planned: PlannedSource, index: int, threads: int
) -> Journal:
    pending = 0
    said_s = time.monotonic()

    def advance(count: int) -> None:
        nonlocal pending, said_s
        pending += count
        if time.monotonic() - said_s >= _LOOK_EVERY_S:
            _to_parent.put((pending, planned.name))
            pending, said_s = 0, time.monotonic()

    journal = _extract(recipe, planned, index, threads, advance)
    _to_parent.put((pending, planned.name))
    return journal


def _watch(futures: set[Future[Journal]], counts: Any, progress: Progress) -> None:
    """
    Show progress until all are done; what one raises is raised at once.

    :raises OutputError: when a worker process died.
    """
    while futures:
        done, futures = wait(futures, timeout=_LOOK_EVERY_S)
        while True:
            try:
                count, name = counts.get_nowait()
            except queue.Empty:
                break
            progress.advance(count / _MEGABYTE, name)
        try:
            for future in done:
                future.result()
        except BrokenProcessPool as error:
            raise OutputError(
                'a worker process died, perhaps for want of memory; run the same command again, '
                'with fewer --workers'
            ) from error


@contextmanager
def _processes(workers: int) -> Iterator[tuple[ProcessPoolExecutor, Any]]:
    context = multiprocessing.get_context('spawn')
    counts = context.Queue()
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, context, _begin_worker, (counts,))
    try:
        yield pool, counts
        pool.shutdown()
    except BaseException:
        # A worker would finish its source first, which may take hours; its journal keeps the rest.
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        pool.shutdown(cancel_futures=True)
        raise


def _begin_worker(counts: Any) -> None:
    global _to_parent  # noqa: PLW0603 (queues reach a worker by its initializer only)
    _to_parent = counts
    cv2.setNumThreads(1)
    # The parent hears Ctrl-C too, and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave no worker behind to write into a folder that another run may hold by then."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for_end([parent.sentinel])
    os._exit(1)
