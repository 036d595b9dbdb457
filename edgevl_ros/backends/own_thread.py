# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A thread that does what it is given, one after the other, and may be left behind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
import threading
from typing import Any, TypeVar

_Result = TypeVar('_Result')


class TooLong(Exception):
    """What was given to a thread takes longer than its caller will wait."""


class OwnThread:
    """
    One thread for what belongs to one thread.

    A daemon, unlike those of ``concurrent.futures``, which the interpreter waits for at its end
    and which would keep a process alive whose GPU hangs.
    """

    def __init__(self, name: str) -> None:
        """Start it."""
        # Of the same thread, too: what is dropped ends it, whatever runs at that moment.
        self._lock, self._ended = threading.RLock(), False
        # None ends it.
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=_work_off, args=(self._work,), name=name)
        self._thread.daemon = True
        self._thread.start()

    def do(self, work: Callable[[], _Result], timeout_s: float | None = None) -> _Result:
        """
        Do something there and give what comes of it.

        :raises TooLong: when that takes longer; it goes on there all the same.
        """
        future = self._submit(work)
        if not wait([future], timeout_s).done:
            raise TooLong(f'expected an end within {timeout_s} s, found none')
        return future.result()

    def end(self, last: Callable[[], object], timeout_s: float) -> bool:
        """Do a last thing and end, once; False when that takes longer than the time."""
        with self._lock:
            if not self._ended:
                self._submit(last)
                self._work.put(None)
                self._ended = True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _submit(self, work: Callable[[], _Result]) -> Future[_Result]:
        future: Future[_Result] = Future()
        with self._lock:
            if self._ended:
                raise RuntimeError('expected a thread that goes on, found that it has ended')
            self._work.put((future, work))
        return future


def _work_off(queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]) -> None:
    while (item := queue.get()) is not None:
        future, work = item
        try:
            future.set_result(work())
        # Whoever waits for it gets it.
        except BaseException as error:  # noqa: B902
            future.set_exception(error)
        # Nothing of what was done lives on here until there is more to do.
        del item, future, work
