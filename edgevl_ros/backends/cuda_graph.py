# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
CUDA graphs: the same work again with one call, for both bindings (PyCUDA has none).

The few functions are called in the driver's own library, which both bindings have loaded.
"""

from __future__ import annotations

from collections.abc import Callable
import ctypes
from typing import Any

from edgevl_ros.backends.cuda import DRIVER
from edgevl_ros.core.errors import BackendError

# Other threads may allocate memory meanwhile.
_THREAD_LOCAL = 1


class Graph:
    """What was begun on a stream while it was captured, to be begun again."""

    def __init__(self, stream: int, begin: Callable[[], None], library: str = DRIVER) -> None:
        """
        Capture what ``begin`` begins on the stream; nothing of it runs yet.

        :raises BackendError: when the driver or the work does not allow it; the stream is as
            before then.
        """
        try:
            self._driver = ctypes.CDLL(library)
        except OSError as error:
            raise BackendError(f'expected the NVIDIA driver, found none: {error}') from error
        self._stream = ctypes.c_void_p(stream)
        self._executable = ctypes.c_void_p()
        self._call('cuStreamBeginCapture_v2', self._stream, ctypes.c_int(_THREAD_LOCAL))
        graph = ctypes.c_void_p()
        try:
            begin()
        finally:
            # Whatever happened, the stream has to leave the capture.
            ended = self._driver.cuStreamEndCapture(self._stream, ctypes.byref(graph))
        if ended or not graph.value:
            raise BackendError(f'cuStreamEndCapture: error {ended}')
        try:
            self._call(
                'cuGraphInstantiateWithFlags', ctypes.byref(self._executable), graph,
                ctypes.c_ulonglong(0),
            )
        finally:
            self._driver.cuGraphDestroy(graph)

    def launch(self) -> None:
        """
        Begin all of it.

        :raises BackendError: when the driver refuses.
        """
        self._call('cuGraphLaunch', self._executable, self._stream)

    def close(self) -> None:
        """Free it; calling it twice is harmless."""
        if self._executable.value:
            self._driver.cuGraphExecDestroy(self._executable)
            self._executable = ctypes.c_void_p()

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._driver, name)(*arguments)
        if status:
            raise BackendError(f'{name}: error {status}')
