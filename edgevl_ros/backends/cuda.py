# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The little of CUDA that inference needs, from PyCUDA or, where that is absent, cuda-python.

A context belongs to one thread: all but `open_cuda` and `device` must be called on the thread
that called `attach`, until it calls `detach`. PyCUDA leaks what another thread frees.
"""

from __future__ import annotations

from collections.abc import Callable
import ctypes
import importlib
from typing import Any, Protocol

from edgevl_ros.backends.engine_recipe import Target
from edgevl_ros.core.errors import BackendError
import numpy as np
from numpy.typing import NDArray

DRIVER = 'libcuda.so.1'
CHECK = 'check the GPU with nvidia-smi; a container needs --gpus all or --runtime nvidia'
# A stream that does not wait for what others do on the default one, nor they for it.
NON_BLOCKING = 1
BINDINGS = ('cuda_pycuda', 'cuda_python')


class Cuda(Protocol):
    """The first GPU that this process may see, through one Python binding."""

    @property
    def name(self) -> str:
        """Name the binding."""

    def device(self) -> Target:
        """Tell which GPU it is; needs no context."""

    def attach(self) -> None:
        """Retain the GPU's primary context, make it this thread's own and make a stream."""

    def detach(self) -> None:
        """Free what was made here and release the context; harmless without one."""

    @property
    def stream(self) -> int:
        """Give the handle of the one stream that all work goes through."""

    def host_buffer(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Make a float32 array in pinned memory, which a GPU copies without the CPU's help."""

    def device_buffer(self, size: int) -> int:
        """Make a buffer of so many bytes on the GPU; give its address."""

    def copy_in(self, device: int, host: NDArray[np.float32]) -> None:
        """Begin to copy an array of pinned memory to the GPU."""

    def copy_out(self, host: NDArray[np.float32], device: int) -> None:
        """Begin to copy from the GPU into an array of pinned memory."""

    def synchronize(self) -> None:
        """Wait until all that was begun is done."""


def open_cuda(name: str = '') -> Cuda:
    """
    Open the first binding that works here.

    :param name: the module of the binding in this package; empty for the first one that works.
    :raises BackendError: when there is no driver, no GPU or no binding, with what was found.
    """
    try:
        # Told apart from a missing binding, and quicker than importing one to find out.
        ctypes.CDLL(DRIVER)
    except OSError as error:
        raise BackendError(f'expected an NVIDIA driver, found none ({error}); {CHECK}') from error
    found = []
    for module in [name] if name else BINDINGS:
        try:
            make: Callable[[], Any] = importlib.import_module(f'{__package__}.{module}').open_here
            cuda: Cuda = make()
            cuda.device()
        # A missing library, a driver that is too old, no GPU: each binding has its own errors.
        except Exception as error:  # noqa: B902
            said = ' '.join(str(error).split())
            found.append(f'{module}: {said or type(error).__name__}')
            continue
        return cuda
    raise BackendError(
        f'expected a GPU that PyCUDA or cuda-python can use, found none ({"; ".join(found)}); '
        f'pip install cuda-python, no newer than the CUDA of nvidia-smi; {CHECK}'
    )
