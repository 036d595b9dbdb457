# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One engine on one GPU, with its buffers; everything here happens on one thread."""

from __future__ import annotations

import math
from typing import Any, TYPE_CHECKING

from edgevl_ros.backends.cuda import Cuda
from edgevl_ros.backends.cuda_graph import Graph
from edgevl_ros.backends.tensorrt_library import Library, release_locals
from edgevl_ros.backends.tensorrt_log import Heard
from edgevl_ros.core.backend import ArraySpec
from edgevl_ros.core.errors import BackendError
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tensorrt as trt

_FLOAT_BYTES = 4


class EngineRefused(BackendError):
    """TensorRT does not take an engine, or it is another one than was asked for."""


class Session:
    """
    A deserialized engine, ready to run batches of 1 to ``max_batch`` images.

    The first batch of a size is run step by step, the second is captured as a CUDA graph, and
    from then on one call begins all of it, as long as the size stays.

    :raises EngineRefused: when TensorRT does not take the engine.
    :raises BackendError: when the GPU fails or has no memory left.
    """

    def __init__(
        self, library: Library, cuda: Cuda, content: bytes, image: ArraySpec, embedding: ArraySpec
    ) -> None:
        """Load the engine and allocate everything that running it takes."""
        self._heard = Heard()
        self._cuda = cuda
        self._graph: Graph | None = None
        # TensorRT for RTX makes its own, of the kernels that it compiles on the way.
        self._graphs_work = not library.is_rtx
        self._batch = 0
        self._engine: trt.ICudaEngine | None = None
        self._context: trt.IExecutionContext | None = None
        self._runtime: Any = None
        try:
            self._heard.come()
            cuda.attach()
            self._load(library, content)
            self._check_tensors(library, image, embedding)
            self._allocate(image, embedding)
            # What is slow or fails the first time, or the second, does so here, not on a frame.
            for batch in (1, 1, self._usual_batch, self._usual_batch):
                self.run(np.zeros((batch, *self._image.shape[1:]), np.float32))
        except BaseException as error:
            release_locals(error)
            self.close()
            raise

    @property
    def graph_in_use(self) -> bool:
        """Tell whether the last batch was run as a CUDA graph."""
        return self._graph is not None

    def layers(self) -> str:
        """Describe the engine's layers as JSON, as TensorRT's inspector does."""
        assert self._engine is not None
        inspector = self._engine.create_engine_inspector()
        text: str = inspector.get_engine_information(self._api.LayerInformationFormat.JSON)
        return text

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """
        Embed a batch of 1 to ``max_batch`` images.

        :raises BackendError: when it is closed, or TensorRT or the driver fails.
        """
        # What it would copy to was freed.
        if self._engine is None:
            raise BackendError('expected an open session, found it closed')
        batch = len(images)
        np.copyto(self._image[:batch], images)
        if batch != self._batch:
            self._change_batch(batch)
            self._begin()
        elif self._can_be_captured():
            self._capture()
        elif self._graph is not None:
            self._graph.launch()
        else:
            self._begin()
        self._cuda.synchronize()
        return self._embedding[:batch].copy()

    def close(self) -> None:
        """Free everything on the GPU; calling it twice is harmless."""
        if self._graph is not None:
            self._graph.close()
        # In this order, and while the GPU's context is still there.
        self._graph = self._context = self._engine = self._runtime = None
        self._cuda.detach()
        self._heard.leave()

    def _load(self, library: Library, content: bytes) -> None:
        self._api: Any = library.trt
        self._runtime = library.trt.Runtime(library.logger())
        try:
            self._engine = self._runtime.deserialize_cuda_engine(content)
        except Exception as error:  # noqa: B902 - pybind turns C++ exceptions into any kind
            raise EngineRefused(f'expected an engine, found {error}') from error
        if self._engine is None:
            raise EngineRefused(
                f'expected an engine for this {library.name} {library.version} and GPU, found '
                f'that it refuses: {self._heard.reason()}; build it again: edgevl engine build'
            )
        self._context = _context_of(self._engine, library)
        if self._context is None:
            raise BackendError(
                f'expected room for the engine on the GPU, found that {library.name} cannot make '
                f'an execution context: {self._heard.reason()}; free GPU memory'
            )
        # What helps to read the engine's layers would cost time at each batch.
        self._context.nvtx_verbosity = library.trt.ProfilingVerbosity.NONE

    def _check_tensors(self, library: Library, image: ArraySpec, embedding: ArraySpec) -> None:
        """Refuse an engine whose ends differ from what the bundle says."""
        engine, api = self._engine, library.trt
        assert engine is not None
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        found = {
            name: (engine.get_tensor_mode(name), engine.get_tensor_dtype(name),
                   _sides(engine.get_tensor_shape(name))[1:])
            for name in names
        }
        wanted = {
            image.name: (api.TensorIOMode.INPUT, api.float32, image.shape[1:]),
            embedding.name: (api.TensorIOMode.OUTPUT, api.float32, embedding.shape[1:]),
        }
        if found != wanted:
            raise EngineRefused(f'expected an engine with {wanted}, found {found}')
        _, usual, most = engine.get_tensor_profile_shape(image.name, 0)
        self._usual_batch, self.max_batch = int(usual[0]), int(most[0])

    def _allocate(self, image: ArraySpec, embedding: ArraySpec) -> None:
        assert self._context is not None
        shapes = [
            (self.max_batch, *(int(side or 0) for side in spec.shape[1:]))
            for spec in (image, embedding)
        ]
        self._image, self._embedding = (self._cuda.host_buffer(shape) for shape in shapes)
        self._image_address, self._embedding_address = (
            self._cuda.device_buffer(math.prod(shape) * _FLOAT_BYTES) for shape in shapes
        )
        self._image_name = image.name
        for name, address in (
            (image.name, self._image_address), (embedding.name, self._embedding_address)
        ):
            if not self._context.set_tensor_address(name, address):
                raise BackendError(
                    f'TensorRT refuses the buffer of {name}: {self._heard.reason()}'
                )

    def _change_batch(self, batch: int) -> None:
        """Go over to another batch; a graph is only good for the one it was captured with."""
        assert self._context is not None
        if self._graph is not None:
            self._graph.close()
            self._graph = None
        self._batch = 0
        if not self._context.set_input_shape(self._image_name, (batch, *self._image.shape[1:])):
            raise BackendError(f'TensorRT refuses a batch of {batch}: {self._heard.reason()}')
        self._batch = batch

    def _begin(self) -> None:
        """Begin to copy in, infer and copy out."""
        assert self._context is not None
        self._cuda.copy_in(self._image_address, self._image[:self._batch])
        if not self._context.execute_async_v3(self._cuda.stream):
            raise BackendError(f'TensorRT does not begin to infer: {self._heard.reason()}')
        self._cuda.copy_out(self._embedding[:self._batch], self._embedding_address)

    def _can_be_captured(self) -> bool:
        return self._graph is None and self._graphs_work

    def _capture(self) -> None:
        try:
            graph = Graph(self._cuda.stream, self._begin)
        # Some layers cannot be captured, and each binding has its own errors.
        except Exception:  # noqa: B902
            self._graphs_work = False
            # What was said about this is no reason for anything later.
            self._heard.reason()
            self._begin()
            return
        self._graph = graph
        graph.launch()


def _context_of(engine: Any, library: Library) -> Any:
    """Make what an engine runs in; None where there is no room."""
    # Of TensorRT for RTX from 1.2 on.
    strategies = getattr(library.trt, 'CudaGraphStrategy', None)
    if strategies is None:
        return engine.create_execution_context()
    config = engine.create_runtime_config()
    config.cuda_graph_strategy = strategies.WHOLE_GRAPH_CAPTURE
    return engine.create_execution_context(config)


def _sides(shape: Any) -> tuple[int, ...]:
    """Give TensorRT's dimensions as a tuple."""
    return tuple(int(shape[i]) for i in range(len(shape)))
