# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT: an engine on a GPU, on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
import weakref

from edgevl_ros.backends.cuda import Cuda, open_cuda
from edgevl_ros.backends.engine_recipe import PRECISIONS
from edgevl_ros.backends.engines import Engine, Engines
from edgevl_ros.backends.own_thread import OwnThread, TooLong
from edgevl_ros.backends.reporter import Reporter
from edgevl_ros.backends.tensorrt_library import Library
from edgevl_ros.backends.tensorrt_session import EngineRefused, Session
from edgevl_ros.backends.unit_rows import check_unit_rows
from edgevl_ros.core.backend import ArraySpec, embedding_spec, image_spec
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.errors import BackendError
import numpy as np
from numpy.typing import NDArray

# A batch takes milliseconds; a GPU that has not answered by then does not any more.
BATCH_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
_Result = TypeVar('_Result')


class TensorRTBackend:
    """
    A bundle's student as a TensorRT engine.

    A CUDA context belongs to a thread, while a node opens, uses and closes a backend on three:
    so all of it happens on one more, which lives as long as the backend does.

    :raises EngineRefused: when TensorRT does not take the engine, which should then be rebuilt.
    :raises BackendError: when the GPU fails or has no memory left.
    """

    def __init__(
        self, bundle: Bundle, library: Library, cuda: Cuda, engine: bytes, precision: str
    ) -> None:
        """Load an engine that was built for this bundle, library and GPU."""
        self.name = (
            f'{library.name} {library.version} ({precision.upper()}, {cuda.device().gpu}, '
            f'{cuda.name})'
        )
        self._input_spec = image_spec(bundle.preprocess.input_size)
        self._output_spec = embedding_spec(bundle.embedding_dim)
        self._session: Session | None = None
        self._hangs = False
        self._thread = OwnThread('tensorrt')
        try:
            session = self._on_thread(
                lambda: Session(library, cuda, engine, self._input_spec, self._output_spec)
            )
        except BaseException:
            self._thread.end(lambda: None, CLOSE_TIMEOUT_S)
            raise
        self._session = session
        # PyCUDA aborts the process when a thread ends whose context nobody took from it: one that
        # is dropped without being closed is closed all the same.
        self._dropped = weakref.finalize(self, self._thread.end, session.close, 0.0)
        self._dropped.atexit = False

    @property
    def input_spec(self) -> ArraySpec:
        """Describe what `embed` takes: float32 (B, 3, S, S)."""
        return self._input_spec

    @property
    def output_spec(self) -> ArraySpec:
        """Describe what `embed` gives: float32 (B, D)."""
        return self._output_spec

    @property
    def graph_in_use(self) -> bool:
        """Tell whether the last batch was run as a CUDA graph."""
        return self._session is not None and self._session.graph_in_use

    def embed(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """
        Embed a batch, float32 (B, 3, S, S), as unit rows, float32 (B, D).

        A batch larger than the engine's is run in parts.

        :raises BackendError: when the backend is closed, the batch does not fit, inference fails
            or takes for ever, or a row that comes back is no unit vector.
        """
        session = self._open_session()
        self._input_spec.check(images, f'{self.name}.embed')
        if not len(images):
            raise BackendError(f'{self.name}.embed: expected at least one image, found none')
        parts = [
            images[first:first + session.max_batch]
            for first in range(0, len(images), session.max_batch)
        ]
        rows = self._on_thread(lambda: [session.run(part) for part in parts], BATCH_TIMEOUT_S)
        embeddings = rows[0] if len(rows) == 1 else np.concatenate(rows)
        check_unit_rows(embeddings, self.name)
        return embeddings

    def layers(self) -> str:
        """
        Describe the engine's layers as JSON, as TensorRT's inspector does.

        :raises BackendError: when the backend is closed.
        """
        return self._on_thread(self._open_session().layers)

    def close(self) -> bool:
        """
        Free the engine, its buffers and the GPU's context.

        :returns: False when the GPU hangs, and a thread is left behind with all of that.
        """
        session, self._session = self._session, None
        if session is None:
            return not self._hangs
        self._dropped.detach()
        self._hangs = not self._thread.end(session.close, 0.0 if self._hangs else CLOSE_TIMEOUT_S)
        return not self._hangs

    def _open_session(self) -> Session:
        session = self._session
        if session is None:
            raise BackendError(f'{self.name}: expected an open backend, found it closed')
        if self._hangs:
            raise BackendError(f'{self.name}: expected an answer of the GPU, found that it hangs')
        return session

    def _on_thread(
        self, work: Callable[[], _Result], timeout_s: float | None = None
    ) -> _Result:
        try:
            return self._thread.do(work, timeout_s)
        except BackendError:
            raise
        except TooLong as error:
            self._hangs = True
            raise BackendError(
                f'{self.name}: expected an answer of the GPU, found none for {timeout_s} s; '
                'look at dmesg and nvidia-smi, and start anew'
            ) from error
        # The bindings have their own errors, which share no base.
        except Exception as error:  # noqa: B902
            raise BackendError(
                f'{self.name}: {type(error).__name__}: {error}; look at dmesg and nvidia-smi'
            ) from error


def open_tensorrt(
    bundle: Bundle, backend: str, engines: Engines, reporter: Reporter,
    try_out: Callable[[TensorRTBackend], None] = lambda _: None,
) -> TensorRTBackend:
    """
    Open a bundle on TensorRT; an engine from the cache that does not load is built anew.

    :param backend: ``tensorrt`` or ``tensorrt-fp16``.
    :param try_out: done with it as long as an end of the process counts against the engine.
    :raises BundleError: when the bundle has no graph for it.
    :raises BackendError: when there is no GPU, or TensorRT refuses the graph.
    """
    def load(engine: Engine) -> TensorRTBackend:
        reporter.stage(f'loading the engine of {backend}')
        with engines.attempting(engine, reporter):
            # Each backend has a binding of its own, for its own thread.
            opened = TensorRTBackend(
                bundle, engines.library, open_cuda(), engine.content, PRECISIONS[backend]
            )
            try:
                try_out(opened)
            except BaseException:
                opened.close()
                raise
            return opened

    engine = engines.get(bundle, backend, reporter)
    try:
        return load(engine)
    except EngineRefused as error:
        if engine.built:
            raise
        reporter.say(f'the engine from the cache is built anew: {error}')
    return load(engines.get(bundle, backend, reporter, refused=engine.content))
