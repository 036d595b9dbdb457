# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Inference runtimes behind core's protocol, found by name and imported only when asked for."""

from __future__ import annotations

from edgevl_ros.core.backend import Backend
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.errors import BackendError
from edgevl_ros.core.settings import BACKENDS


def open_backend(name: str, bundle: Bundle, threads: int) -> Backend:
    """
    Open a bundle's student on the runtime of this name; ``auto`` takes ONNX Runtime on the CPU.

    :param threads: CPU threads that inference may use; 0 for every core.
    :raises BackendError: when the runtime is unknown, absent, or refuses the student.
    :raises BundleError: when the bundle has no model for it.
    """
    if name in ('auto', 'onnxruntime'):
        provider = 'CPUExecutionProvider'
    elif name == 'onnxruntime-cuda':
        provider = 'CUDAExecutionProvider'
    elif name == 'onnxruntime-tensorrt':
        provider = 'TensorrtExecutionProvider'
    else:
        raise BackendError(f'expected a backend among {", ".join(BACKENDS)}, found {name!r}')
    from edgevl_ros.backends.onnxruntime_backend import OnnxRuntimeBackend

    return OnnxRuntimeBackend(bundle, provider, threads)
