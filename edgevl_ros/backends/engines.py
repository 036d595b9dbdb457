# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The engine of a bundle on a GPU: from the cache, or built once and kept there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from dataclasses import dataclass

from edgevl_ros.backends.cuda import open_cuda
from edgevl_ros.backends.engine_attempts import attempting
from edgevl_ros.backends.engine_cache import EngineCache, EngineCacheError
from edgevl_ros.backends.engine_layers import Layer
from edgevl_ros.backends.engine_process import build_in_process
from edgevl_ros.backends.engine_recipe import EngineKey, EngineRecipe, OnnxGraph, Target
from edgevl_ros.backends.reporter import Reporter
from edgevl_ros.backends.tensorrt_library import (
    INSTALL,
    is_installed,
    Library,
    load_library,
)
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.errors import BackendError


@dataclass(frozen=True)
class Engine:
    """An engine with its key; ``layers`` only of one that was just built."""

    key: EngineKey
    content: bytes
    built: bool
    layers: tuple[Layer, ...] = ()


class Engines:
    """
    The engines of one TensorRT and one GPU.

    ``cache`` is None where there is no folder to keep them in: then each is built when needed.
    Without ``builds`` only those that are kept there are given.
    """

    def __init__(
        self, library: Library, target: Target, cache: EngineCache | None, builds: bool = True
    ) -> None:
        """Take the library to build with, the GPU to build for and the place to keep them."""
        self.library = library
        # An engine of TensorRT for RTX runs on every GPU of the compute capability it is for.
        self.target = Target(target.capability) if library.is_rtx else target
        self.cache = cache
        self._builds = builds

    def key(self, bundle: Bundle, backend: str) -> EngineKey:
        """
        Give the key of a bundle's engine for a backend.

        :raises BundleError: when the bundle has no graph for it.
        :raises BackendError: when the graph cannot be read.
        """
        graph = OnnxGraph.read(bundle.model_path(backend))
        return self._key(graph, EngineRecipe.of(bundle, backend))

    def get(
        self, bundle: Bundle, backend: str, reporter: Reporter, *, refused: bytes = b'',
        timing_cache: bytes = b'',
    ) -> Engine:
        """
        Load or build the engine of a bundle for a backend.

        Of several processes that ask at the same time, one builds and the others wait for it.

        :param refused: an engine that TensorRT did not take, though it is in the cache.
        :param timing_cache: what builds elsewhere have measured, to begin this one with.
        :raises BundleError: when the bundle has no graph for it.
        :raises BuildCancelled: when the reporter says so.
        :raises BackendError: when TensorRT refuses the graph, or nothing is to be built.
        """
        graph = OnnxGraph.read(bundle.model_path(backend))
        recipe = EngineRecipe.of(bundle, backend)
        key = self._key(graph, recipe)
        content = self._load(key, refused, reporter)
        if content:
            return Engine(key, content, built=False)
        if not self._builds:
            raise BackendError(
                f'expected an engine of {bundle.path} for {backend} in the cache, found none; '
                'build it beforehand: edgevl engine build'
            )
        with self._alone(key, reporter):
            # Another process may have built it while this one waited.
            content = self._load(key, refused, reporter)
            if content:
                return Engine(key, content, built=False)
            return self._build(graph, recipe, key, reporter, timing_cache)

    @contextlib.contextmanager
    def attempting(self, engine: Engine, reporter: Reporter) -> Iterator[None]:
        """
        Load and run an engine for the first time, as `engine_attempts.attempting` does.

        :raises BackendError: when it is one that ends the process.
        """
        if self.cache is None:
            yield
            return
        with attempting(
            self.cache, engine.key, reporter.cancelled,
            lambda: reporter.say('another process tries this engine; waiting for it'),
        ):
            yield

    def _key(self, graph: OnnxGraph, recipe: EngineRecipe) -> EngineKey:
        capability = '{}.{}'.format(*self.target.capability)
        return EngineKey(
            graph.sha256, self.library.name, self.library.version, self.target.gpu, capability,
            self.target.multiprocessors, _next_power_of_two(self.target.memory_bytes), recipe,
        )

    def _load(self, key: EngineKey, refused: bytes, reporter: Reporter) -> bytes:
        content = self.cache.load(key, reporter.say) if self.cache is not None else b''
        return b'' if content == refused else content

    @contextlib.contextmanager
    def _alone(self, key: EngineKey, reporter: Reporter) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if self.cache is not None:
                try:
                    stack.enter_context(self.cache.alone(
                        key.digest, reporter.cancelled,
                        lambda: reporter.say('another process builds this engine; waiting for it'),
                    ))
                except EngineCacheError as error:
                    reporter.say(f'other processes may build the same engine meanwhile: {error}')
            yield

    def _build(
        self, graph: OnnxGraph, recipe: EngineRecipe, key: EngineKey, reporter: Reporter,
        timing_cache: bytes,
    ) -> Engine:
        reporter.say(
            f'building an engine ({recipe.precision}, batch 1 to {recipe.max_batch}) with '
            f'{self.library.name} {self.library.version} for {self.target}'
        )
        measured = self.cache.timing(key) if self.cache is not None else b''
        built = build_in_process(
            self.library.name, graph, recipe, self.target,
            report=reporter.progress, cancelled=reporter.cancelled,
            timing_caches=[timing_cache, measured],
        )
        if self.cache is not None:
            try:
                self.cache.store_timing(key, built.timing_cache)
                self.cache.store(key, built.engine)
            except EngineCacheError as error:
                reporter.say(f'the engine is used but not kept: {error}')
        return Engine(key, built.engine, built=True, layers=built.layers)


def _next_power_of_two(size: int) -> int:
    """Round up: what Linux leaves of a Jetson's memory differs by some pages between kernels."""
    return 1 << (size - 1).bit_length() if size else 0


def find_engines(folder: str, say: Callable[[str], None], builds: bool = True) -> Engines:
    """
    Find the GPU and TensorRT of this machine.

    :param folder: where engines are kept; empty for the user's own cache.
    :raises BackendError: when either is missing.
    """
    if not is_installed():
        raise BackendError(f'expected TensorRT, found none; {INSTALL}')
    # First the GPU: without one, there is no need to load the many megabytes of the other.
    gpu = open_cuda().device()
    return Engines(load_library(), gpu, open_cache(folder, say), builds)


def open_cache(folder: str, say: Callable[[str], None]) -> EngineCache | None:
    """Open the folder of engines; None, with a line that says why, where there can be none."""
    try:
        return EngineCache.open(folder)
    except EngineCacheError as error:
        say(f'engines are built but not kept: {error}')
        return None
