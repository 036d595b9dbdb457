# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CUDA through PyCUDA."""

from __future__ import annotations

import contextlib
from typing import Any

from edgevl_ros.backends.cuda import NON_BLOCKING
from edgevl_ros.backends.engine_recipe import Target
import numpy as np
from numpy.typing import NDArray


def open_here() -> PyCuda:
    """
    Load PyCUDA and the driver.

    :raises ImportError: when PyCUDA or the driver's library is missing.
    """
    import pycuda.driver as driver

    driver.init()
    return PyCuda(driver)


class PyCuda:
    """See `edgevl_ros.backends.cuda.Cuda`."""

    name = 'pycuda'

    def __init__(self, driver: Any) -> None:
        """Take the initialised driver."""
        self._driver = driver
        self._context: Any = None
        self._stream: Any = None
        self._host: list[Any] = []
        self._device: list[Any] = []

    def device(self) -> Target:
        """Tell which GPU it is."""
        device = self._driver.Device(0)
        major, minor = device.compute_capability()
        processors = device.get_attribute(self._driver.device_attribute.MULTIPROCESSOR_COUNT)
        return Target(
            (int(major), int(minor)), str(device.name()), int(processors),
            int(device.total_memory()),
        )

    def attach(self) -> None:
        """Retain the primary context for this thread and make a stream."""
        self._context = self._driver.Device(0).retain_primary_context()
        self._context.push()
        self._stream = self._driver.Stream(NON_BLOCKING)

    def detach(self) -> None:
        """Free everything and release the context, also where the GPU has failed."""
        if self._context is None:
            return
        freeing = [
            *(array.base.free for array in self._host),
            *(allocation.free for allocation in self._device),
            self._context.pop, self._context.detach,
        ]
        self._host, self._device, self._stream, self._context = [], [], None, None
        for free in freeing:
            # After a failure every call gives that same error. But PyCUDA aborts the process when
            # this thread ends with a context on it.
            with contextlib.suppress(self._driver.Error):
                free()

    @property
    def stream(self) -> int:
        """Give the stream's handle."""
        return int(self._stream.handle)

    def host_buffer(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Make an array in pinned memory."""
        array: NDArray[np.float32] = self._driver.pagelocked_empty(shape, np.float32)
        self._host.append(array)
        return array

    def device_buffer(self, size: int) -> int:
        """Make a buffer on the GPU."""
        allocation = self._driver.mem_alloc(size)
        self._device.append(allocation)
        return int(allocation)

    def copy_in(self, device: int, host: NDArray[np.float32]) -> None:
        """Begin to copy to the GPU."""
        self._driver.memcpy_htod_async(device, host, self._stream)

    def copy_out(self, host: NDArray[np.float32], device: int) -> None:
        """Begin to copy from the GPU."""
        self._driver.memcpy_dtoh_async(host, device, self._stream)

    def synchronize(self) -> None:
        """Wait for the stream."""
        self._stream.synchronize()
