# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Inference runtimes behind core's protocol, found by name and imported only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevl_ros.core.backend import Backend
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.errors import BackendError
from edgevl_ros.core.settings import BACKENDS

if TYPE_CHECKING:
    from edgevl_ros.backends.reporter import Reporter

# ``auto`` begins with ONNX Runtime on the CPU, which needs no time to be ready.
_PROVIDERS = {
    'auto': 'CPUExecutionProvider',
    'onnxruntime': 'CPUExecutionProvider',
    'onnxruntime-cuda': 'CUDAExecutionProvider',
    'onnxruntime-tensorrt': 'TensorrtExecutionProvider',
}


def open_backend(
    name: str,
    bundle: Bundle,
    threads: int,
    engine_cache: str = '',
    reporter: Reporter | None = None,
    builds: bool = True,
) -> Backend:
    """
    Open a bundle's student on the runtime of this name; ``auto`` takes ONNX Runtime on the CPU.

    TensorRT may take many minutes, until its engine is built; `start_backend` does not wait.

    :param threads: CPU threads that inference may use; 0 for every core.
    :param engine_cache: where TensorRT's engines are kept; empty for the user's own cache.
    :param reporter: what is told while an engine is built.
    :param builds: whether TensorRT's engine is built where it is not kept; it is refused else.
    :raises BackendError: when the runtime is unknown, absent, or refuses the student.
    :raises BundleError: when the bundle has no model for it.
    """
    if name in _PROVIDERS:
        from edgevl_ros.backends.onnxruntime_backend import OnnxRuntimeBackend

        return OnnxRuntimeBackend(bundle, _PROVIDERS[name], threads)
    if name not in BACKENDS:
        raise BackendError(f'expected a backend among {", ".join(BACKENDS)}, found {name!r}')
    from edgevl_ros.backends.engines import find_engines
    from edgevl_ros.backends.reporter import Reporter
    from edgevl_ros.backends.tensorrt_backend import open_tensorrt

    reporter = reporter or Reporter()
    engines = find_engines(engine_cache, reporter.say, builds)
    return open_tensorrt(bundle, name, engines, reporter)
