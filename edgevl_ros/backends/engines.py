# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The engine of a bundle on a GPU: from the cache, or built once and kept there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from dataclasses import dataclass
from typing import Any

from edgevl_ros.backends.engine_cache import EngineCache, EngineCacheError
from edgevl_ros.backends.engine_layers import Layer
from edgevl_ros.backends.engine_process import build_in_process
from edgevl_ros.backends.engine_recipe import EngineKey, EngineRecipe, OnnxGraph, Target
from edgevl_ros.backends.reporter import Reporter
from edgevl_ros.backends.tensorrt_library import Library
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.errors import BackendError

MOST_ATTEMPTS = 2


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
    """

    def __init__(self, library: Library, target: Target, cache: EngineCache | None) -> None:
        """Take the library to build with, the GPU to build for and the place to keep them."""
        self.library = library
        # An engine of TensorRT for RTX runs on every GPU of the compute capability it is for.
        self.target = Target(target.capability) if library.is_rtx else target
        self.cache = cache

    def key(self, bundle: Bundle, backend: str) -> EngineKey:
        """
        Give the key of a bundle's engine for a backend.

        :raises BundleError: when the bundle has no graph for it.
        :raises BackendError: when the graph cannot be read.
        """
        graph = OnnxGraph.read(bundle.model_path(backend))
        return self._key(graph, EngineRecipe.of(bundle, backend))

    def get(self, bundle: Bundle, backend: str, reporter: Reporter) -> Engine:
        """
        Load or build the engine of a bundle for a backend.

        Of several processes that ask at the same time, one builds and the others wait for it.

        :raises BundleError: when the bundle has no graph for it.
        :raises BuildCancelled: when the reporter says so.
        :raises BackendError: when TensorRT refuses the graph.
        """
        graph = OnnxGraph.read(bundle.model_path(backend))
        recipe = EngineRecipe.of(bundle, backend)
        key = self._key(graph, recipe)
        content = self._load(key, reporter)
        if content:
            return Engine(key, content, built=False)
        with self._alone(key, reporter):
            # Another process may have built it while this one waited.
            content = self._load(key, reporter)
            if content:
                return Engine(key, content, built=False)
            return self._build(graph, recipe, key, reporter)

    @contextlib.contextmanager
    def attempting(self, engine: Engine) -> Iterator[None]:
        """
        Load and run an engine for the first time, which may end the whole process.

        :raises BackendError: when it has done so twice: a node that is started again and again
            must come to label at last.
        """
        if self.cache is None:
            yield
            return
        name = f'attempt-{engine.key.digest}'
        failed = self.cache.note(name).get('failed', 0)
        if not isinstance(failed, int) or failed >= MOST_ATTEMPTS:
            raise BackendError(
                f'expected an engine that runs, found that {failed} attempts to load it have '
                f'ended the process; look at the log of those, then remove '
                f'{self.cache.note_path(name)} to try again'
            )
        with contextlib.suppress(EngineCacheError):
            self.cache.store_note(name, {'failed': failed + 1})
        try:
            yield
        finally:
            self.cache.note_path(name).unlink(missing_ok=True)

    def discard(self, engine: Engine) -> None:
        """Forget an engine that TensorRT did not take."""
        if self.cache is not None:
            self.cache.discard(engine.key)

    def _key(self, graph: OnnxGraph, recipe: EngineRecipe) -> EngineKey:
        capability = '{}.{}'.format(*self.target.capability)
        return EngineKey(
            graph.sha256, self.library.name, self.library.version, self.target.gpu, capability,
            recipe,
        )

    def _load(self, key: EngineKey, reporter: Reporter) -> bytes:
        return self.cache.load(key, reporter.say) if self.cache is not None else b''

    def _alone(
        self, key: EngineKey, reporter: Reporter
    ) -> contextlib.AbstractContextManager[Any]:
        if self.cache is None:
            return contextlib.nullcontext()
        return self.cache.building(
            key, reporter.cancelled,
            lambda: reporter.say('another process builds this engine; waiting for it'),
        )

    def _build(
        self, graph: OnnxGraph, recipe: EngineRecipe, key: EngineKey, reporter: Reporter
    ) -> Engine:
        reporter.say(
            f'building an engine ({recipe.precision}, batch 1 to {recipe.max_batch}) with '
            f'{self.library.name} {self.library.version} for {self.target}'
        )
        built = build_in_process(
            self.library.name, graph, recipe, self.target,
            report=reporter.progress, cancelled=reporter.cancelled,
            timing_cache=self.cache.timing(key) if self.cache is not None else b'',
        )
        if self.cache is not None:
            try:
                self.cache.store_timing(key, built.timing_cache)
                self.cache.store(key, built.engine)
            except EngineCacheError as error:
                reporter.say(f'the engine is used but not kept: {error}')
        return Engine(key, built.engine, built=True, layers=built.layers)


def open_cache(folder: str, say: Callable[[str], None]) -> EngineCache | None:
    """Open the folder of engines; None, with a line that says why, where there can be none."""
    try:
        return EngineCache.open(folder)
    except EngineCacheError as error:
        say(f'engines are built but not kept: {error}')
        return None
