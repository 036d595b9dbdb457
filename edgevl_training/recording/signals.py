# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Signals that ask for the end of a recording instead of tearing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import signal
import threading

_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def end_on_signals() -> Iterator[threading.Event]:
    """
    Give an event that Ctrl-C and SIGTERM set; they do nothing else, also in an import.

    After a block that ends well they are ignored: the process is about to end, and an impatient
    second Ctrl-C must not turn a complete bag into a failure.
    """
    ended = threading.Event()
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in _ENDING}
    try:
        yield ended
    except BaseException:
        for number, handler in before.items():
            signal.signal(number, handler)
        raise
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
