# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A backend that can be replaced while frames flow."""

from __future__ import annotations

import threading
import time

from edgevl_ros.core.backend import ArraySpec, Backend
from edgevl_ros.core.errors import BackendError
import numpy as np
from numpy.typing import NDArray


class SwitchingBackend:
    """
    Passes every call on to the backend in use, and may be given another one at any time.

    A batch is embedded by the old one or by the new one; none is lost or waits for the change.
    """

    def __init__(self, backend: Backend) -> None:
        """Begin with a backend, and own it."""
        self._backend = backend
        self._closed = False
        # The turn is held while a batch is embedded, which may take for ever; the other never.
        self._turn = threading.Lock()
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
        Embed a batch on the backend in use.

        :raises BackendError: as that does.
        """
        with self._turn:
            return self._backend.embed(images)

    def timed(self, images: NDArray[np.float32], other: Backend | None = None) -> float:
        """
        Measure the seconds that a batch takes while nothing else is embedded here.

        :param other: the backend to measure; None for the one in use.
        :raises BackendError: as that does.
        """
        with self._turn:
            backend = other or self._backend
            started = time.perf_counter()
            backend.embed(images)
            return time.perf_counter() - started

    def replace(self, backend: Backend) -> None:
        """
        Use another backend from the next batch on, and own it; the old one is closed.

        :raises BackendError: when this one was closed meanwhile; the other one is then, too.
        """
        with self._turn, self._changing:
            closed = self._closed
            old, self._backend = (backend, self._backend) if closed else (self._backend, backend)
        old.close()
        if closed:
            raise BackendError('expected an open backend to replace, found it closed')

    def close(self) -> None:
        """Close the backend in use, even in the middle of a batch; twice is harmless."""
        with self._changing:
            self._closed = True
        self._backend.close()
