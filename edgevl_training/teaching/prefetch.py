# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Work ahead in a thread, so that whoever uses the results need not wait for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
import queue
import threading
from typing import Any, TypeVar

T = TypeVar('T')

_POLL_S = 0.1


@contextmanager
def prefetched(items: Iterable[T], ahead: int) -> Iterator[Iterator[T]]:
    """
    Give an iterator over items that a thread makes, at most ``ahead`` of them in advance.

    What making them raises is raised where they are used. The thread ends with the ``with``.
    """
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(ahead)
    stop = threading.Event()
    thread = threading.Thread(target=_make, args=(items, ready, stop), daemon=True)
    thread.start()
    try:
        yield _use(ready)
    finally:
        stop.set()
        thread.join()


def _make(
    items: Iterable[Any], ready: queue.Queue[tuple[str, Any]], stop: threading.Event
) -> None:
    try:
        for item in items:
            if not _put(ready, ('item', item), stop):
                return
        _put(ready, ('end', None), stop)
    except BaseException as error:  # raised again where the items are used
        _put(ready, ('error', error), stop)


def _put(
    ready: queue.Queue[tuple[str, Any]], entry: tuple[str, Any], stop: threading.Event
) -> bool:
    while not stop.is_set():
        try:
            ready.put(entry, timeout=_POLL_S)
        except queue.Full:
            continue
        return True
    return False


def _use(ready: queue.Queue[tuple[str, Any]]) -> Iterator[Any]:
    while True:
        kind, value = ready.get()
        if kind == 'error':
            raise value
        if kind == 'end':
            return
        yield value
