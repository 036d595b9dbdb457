# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime: the CPU default, and its CUDA and TensorRT execution providers."""

from __future__ import annotations

from typing import Any

from edgevl_ros.backends.unit_rows import check_unit_rows
from edgevl_ros.core.backend import ArraySpec, embedding_spec, image_spec
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.errors import BackendError
import numpy as np
from numpy.typing import NDArray

LOG_ERRORS_ONLY = 3
# The provider that fuses TensorRT's placement of Q/DQ; every other one runs the CPU placement.
TENSORRT_PROVIDER = 'TensorrtExecutionProvider'


class OnnxRuntimeBackend:
    """
    A bundle's student in one ONNX Runtime session.

    :raises BackendError: when ONNX Runtime or the provider is absent, or refuses the graph.
    :raises BundleError: when the bundle has no model for the provider.
    """

    def __init__(
        self, bundle: Bundle, provider: str = 'CPUExecutionProvider', threads: int = 2
    ) -> None:
        """Open the session; ``threads`` 0 lets it take every core."""
        model = bundle.model_path('tensorrt' if provider == TENSORRT_PROVIDER else 'onnxruntime')
        self._provider = provider
        self._input_spec = image_spec(bundle.preprocess.input_size)
        self._output_spec = embedding_spec(bundle.embedding_dim)
        self._session: Any = _open_session(str(model), provider, threads)
        self._check_graph(str(model))

    @property
    def name(self) -> str:
        """Name the runtime and its execution provider."""
        return f'onnxruntime ({self._provider})'

    @property
    def input_spec(self) -> ArraySpec:
        """Describe what `embed` takes: float32 (B, 3, S, S)."""
        return self._input_spec

    @property
    def output_spec(self) -> ArraySpec:
        """Describe what `embed` gives: float32 (B, D)."""
        return self._output_spec

    def embed(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """
        Embed a batch, float32 (B, 3, S, S), as unit rows, float32 (B, D).

        :raises BackendError: when the backend is closed, the batch does not fit, inference fails
            or a row that comes back is no unit vector.
        """
        if self._session is None:
            raise BackendError(f'{self.name}: expected an open backend, found it closed')
        self._input_spec.check(images, f'{self.name}.embed')
        if not len(images):
            raise BackendError(f'{self.name}.embed: expected at least one image, found none')
        try:
            (embeddings,) = self._session.run(
                [self._output_spec.name], {self._input_spec.name: images}
            )
        except Exception as error:  # noqa: B902 - its exceptions share no documented base
            raise BackendError(f'{self.name}: inference failed: {error}') from error
        self._output_spec.check(embeddings, f'{self.name}.embed')
        check_unit_rows(embeddings, self.name)
        unit: NDArray[np.float32] = embeddings
        return unit

    def close(self) -> bool:
        """Free the session."""
        self._session = None
        return True

    def _check_graph(self, model: str) -> None:
        """Refuse a graph whose ends differ from what the bundle says."""
        inputs = [(node.name, node.shape[1:]) for node in self._session.get_inputs()]
        outputs = [(node.name, node.shape[1:]) for node in self._session.get_outputs()]
        wanted_in = [(self._input_spec.name, list(self._input_spec.shape[1:]))]
        wanted_out = [(self._output_spec.name, list(self._output_spec.shape[1:]))]
        if inputs != wanted_in or outputs != wanted_out:
            raise BackendError(
                f'{model}: expected {wanted_in} -> {wanted_out} after the batch axis, '
                f'found {inputs} -> {outputs}; export the bundle again'
            )


def onnxruntime_version() -> str:
    """Tell which ONNX Runtime is installed; empty where none is."""
    try:
        import onnxruntime
    except ImportError:
        return ''
    return str(onnxruntime.__version__)


def _open_session(model: str, provider: str, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            f'expected ONNX Runtime, found none ({error}); install it: pip install onnxruntime'
        ) from error
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise BackendError(
            f'expected ONNX Runtime with {provider}, found {", ".join(available)}; install a '
            'build that has it (pip install onnxruntime-gpu) or choose the backend onnxruntime'
        )
    try:
        session = onnxruntime.InferenceSession(
            model, _session_options(onnxruntime, threads), providers=[provider]
        )
    except Exception as error:  # noqa: B902 - its exceptions share no documented base
        raise BackendError(f'{model}: ONNX Runtime refuses this graph: {error}') from error
    # ONNX Runtime falls back to the CPU without an error when a provider's libraries are missing.
    if session.get_providers()[0] != provider:
        raise BackendError(
            f'expected {provider}, found that ONNX Runtime fell back to '
            f'{session.get_providers()[0]}; check the CUDA, cuDNN and TensorRT libraries'
        )
    return session


def _session_options(onnxruntime: Any, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = LOG_ERRORS_ONLY
    # Spinning threads would win a little latency and take whole cores from the rest of the robot.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    return options
