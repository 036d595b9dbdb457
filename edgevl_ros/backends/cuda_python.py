# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CUDA through cuda-python (from version 11.7), NVIDIA's own bindings."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import math
from typing import Any

from edgevl_ros.backends.cuda import NON_BLOCKING
from edgevl_ros.backends.engine_recipe import Target
from edgevl_ros.core.errors import BackendError
import numpy as np
from numpy.typing import NDArray

_LONGEST_NAME = 256
_FLOAT_BYTES = 4
_ATTRIBUTES = ('COMPUTE_CAPABILITY_MAJOR', 'COMPUTE_CAPABILITY_MINOR', 'MULTIPROCESSOR_COUNT')


def open_here() -> CudaPython:
    """
    Load cuda-python and the driver.

    :raises ImportError: when cuda-python is missing.
    :raises BackendError: when there is no driver or no GPU.
    """
    return CudaPython(_driver_module())


def _driver_module() -> Any:
    try:
        return importlib.import_module('cuda.bindings.driver')
    except ModuleNotFoundError:
        # Its place up to version 12.
        return importlib.import_module('cuda.cuda')


class CudaPython:
    """See `edgevl_ros.backends.cuda.Cuda`."""

    name = 'cuda-python'

    def __init__(self, driver: Any) -> None:
        """Initialise the driver."""
        self._driver = driver
        self._context: Any = None
        self._stream: Any = None
        self._host: list[int] = []
        self._device: list[int] = []
        self._call('cuInit', 0)
        self._gpu = self._call('cuDeviceGet', 0)

    def device(self) -> Target:
        """Tell which GPU it is."""
        kinds = self._driver.CUdevice_attribute
        major, minor, processors = (
            int(self._call(
                'cuDeviceGetAttribute', getattr(kinds, f'CU_DEVICE_ATTRIBUTE_{kind}'), self._gpu
            ))
            for kind in _ATTRIBUTES
        )
        name = bytes(self._call('cuDeviceGetName', _LONGEST_NAME, self._gpu))
        memory = int(self._call('cuDeviceTotalMem', self._gpu))
        return Target((major, minor), name.rstrip(b'\0').decode(), processors, memory)

    def attach(self) -> None:
        """Retain the primary context for this thread and make a stream."""
        self._context = self._call('cuDevicePrimaryCtxRetain', self._gpu)
        self._call('cuCtxPushCurrent', self._context)
        self._stream = self._call('cuStreamCreate', NON_BLOCKING)

    def detach(self) -> None:
        """Free everything and release the context, also where the GPU has failed."""
        if self._context is None:
            return
        freeing = [
            *(('cuMemFreeHost', host) for host in self._host),
            *(('cuMemFree', device) for device in self._device),
            *([('cuStreamDestroy', self._stream)] if self._stream is not None else []),
            ('cuCtxPopCurrent',), ('cuDevicePrimaryCtxRelease', self._gpu),
        ]
        self._host, self._device, self._stream, self._context = [], [], None, None
        for name, *arguments in freeing:
            # After a failure every call gives that same error, and the context still has to go.
            with contextlib.suppress(BackendError):
                self._call(name, *arguments)

    @property
    def stream(self) -> int:
        """Give the stream's handle."""
        return int(self._stream)

    def host_buffer(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Make an array in pinned memory."""
        count = math.prod(shape)
        address = int(self._call('cuMemAllocHost', count * _FLOAT_BYTES))
        self._host.append(address)
        values = (ctypes.c_float * count).from_address(address)
        array: NDArray[np.float32] = np.ctypeslib.as_array(values).reshape(shape)
        return array

    def device_buffer(self, size: int) -> int:
        """Make a buffer on the GPU."""
        address = int(self._call('cuMemAlloc', size))
        self._device.append(address)
        return address

    def copy_in(self, device: int, host: NDArray[np.float32]) -> None:
        """Begin to copy to the GPU."""
        self._call('cuMemcpyHtoDAsync', device, host.ctypes.data, host.nbytes, self._stream)

    def copy_out(self, host: NDArray[np.float32], device: int) -> None:
        """Begin to copy from the GPU."""
        self._call('cuMemcpyDtoHAsync', host.ctypes.data, device, host.nbytes, self._stream)

    def synchronize(self) -> None:
        """Wait for the stream."""
        self._call('cuStreamSynchronize', self._stream)

    def _call(self, name: str, *arguments: Any) -> Any:
        """
        Call the driver; give what it answers beside its status.

        :raises BackendError: when the status is not success.
        """
        status, *answers = getattr(self._driver, name)(*arguments)
        if int(status) != 0:
            raise BackendError(f'{name}: {getattr(status, "name", status)}')
        return answers[0] if answers else None
