# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A backend that can be replaced while frames flow."""

from __future__ import annotations

from collections.abc import Callable
import threading
import time

from edgevl_ros.core.backend import ArraySpec, Backend
from edgevl_ros.core.errors import BackendError
import numpy as np
from numpy.typing import NDArray

# So long a frame waits for a measurement to end; that of a GPU which hangs does not.
PATIENCE_S = 0.5
# So long frames come first after a measurement, at the least: a thread needs some time to wake.
_PAUSE_S = 0.005
# A GPU that has failed so often in a row does not come back.
MOST_FAILURES = 5


class SwitchingBackend:
    """
    Passes every call on to the backend in use, and may be given another one at any time.

    A batch is embedded by the old one or by the new one; none is lost or waits for the change.
    """

    def __init__(self, backend: Backend) -> None:
        """Begin with a backend, and own it."""
        self._backend = backend
        self._spare: Callable[[], Backend] | None = None
        self._failures = 0
        self._closed = self._overdue = self._left_behind = False
        # The turn is for measuring alone; a frame does without when it has to wait too long.
        self._turn = threading.Lock()
        # Held while the backend in use embeds, which may take for ever; the last one never is.
        self._using = threading.Lock()
        self._changing = threading.Lock()

    @property
    def name(self) -> str:
        """Name the backend in use."""
        return self._backend.name

    @property
    def input_spec(self) -> ArraySpec:
        """Describe what `embed` takes: float32 (B, 3, S, S)."""
        return self._backend.input_spec

    @property
    def output_spec(self) -> ArraySpec:
        """Describe what `embed` gives: float32 (B, D)."""
        return self._backend.output_spec

    def embed(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """
        Embed a batch on the backend in use; where that fails again and again, on its spare one.

        :raises BackendError: as that does.
        """
        turn = self._turn.acquire(timeout=0.0 if self._overdue else PATIENCE_S)
        # Who has waited in vain once does not wait again for the same measurement.
        self._overdue = not turn
        try:
            with self._using:
                try:
                    return self._embed(images)
                except BackendError:
                    if self._failures < MOST_FAILURES or self._spare is None:
                        raise
                    make, self._failures = self._spare, 0
            self.replace(make())
            return self._backend.embed(images)
        finally:
            if turn:
                self._turn.release()

    def timed(self, images: NDArray[np.float32], other: Backend | None = None) -> float:
        """
        Measure the seconds that a batch takes while nothing else is embedded here.

        Afterwards frames have as much time for themselves as that took.

        :param other: the backend to measure; None for the one in use.
        :raises BackendError: as that does.
        """
        with self._turn:
            started = time.perf_counter()
            if other is None:
                with self._using:
                    self._backend.embed(images)
            else:
                other.embed(images)
            seconds = time.perf_counter() - started
        # A lock is not fair: who gives it back and takes it again is before all who wait for it.
        time.sleep(max(_PAUSE_S, seconds))
        return seconds

    def replace(self, backend: Backend, spare: Callable[[], Backend] | None = None) -> None:
        """
        Use another backend from the next batch on, and own it; the old one is closed.

        :param spare: makes what to go over to when this one fails again and again.
        :raises BackendError: when this one was closed meanwhile; the other one is then, too.
        """
        with self._using, self._changing:
            closed = self._closed
            if closed:
                old = backend
            else:
                old, self._backend = self._backend, backend
                self._spare, self._failures = spare, 0
        if not old.close():
            self._left_behind = True
        if closed:
            raise BackendError('expected an open backend to replace, found it closed')

    def close(self) -> bool:
        """
        Close the backend in use, even in the middle of a batch; twice is harmless.

        :returns: False when a thread of it, or of one before, is left behind.
        """
        with self._changing:
            self._closed = True
        return self._backend.close() and not self._left_behind

    def _embed(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            rows = self._backend.embed(images)
        except BackendError:
            self._failures += 1
            raise
        self._failures = 0
        return rows
