# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
From an ONNX graph to a TensorRT engine, with TensorRT 8.6 to 11 and TensorRT for RTX.

Up to TensorRT 9 flags say which precisions may be used, from 10 on the graph says it itself
(strongly typed networks), 11 knows nothing else. INT8 is explicit everywhere: where the graph has
QuantizeLinear and DequantizeLinear, nothing is calibrated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TYPE_CHECKING

from edgevl_ros.backends.build_progress import monitor, PhaseTree, Progress
from edgevl_ros.backends.engine_layers import Layer, layers_in
from edgevl_ros.backends.engine_recipe import BuildCancelled, EngineRecipe, OnnxGraph, Target
from edgevl_ros.backends.precisions import allow_precisions
from edgevl_ros.backends.tensorrt_library import Library, release_locals
from edgevl_ros.backends.tensorrt_log import Heard, heard
from edgevl_ros.core.errors import BackendError

if TYPE_CHECKING:
    import tensorrt as trt

_LONGEST_REASON = 600


@dataclass(frozen=True)
class Built:
    """
    A serialized engine and what came with it.

    ``layers`` is empty where the builder does not report them in a form that is known;
    ``timing_cache`` where this TensorRT has none.
    """

    engine: bytes
    layers: tuple[Layer, ...]
    timing_cache: bytes


def build_engine(
    library: Library,
    graph: OnnxGraph,
    recipe: EngineRecipe,
    target: Target,
    *,
    report: Callable[[Progress], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
    timing_caches: Sequence[bytes] = (),
) -> Built:
    """
    Build an engine; this takes from seconds to many minutes.

    :param target: the GPU to build for; this machine's own, or with TensorRT for RTX any.
    :param report: called on the builder's threads, never with TensorRT before 10.
    :param cancelled: asked at every step; a true answer ends the build.
    :param timing_caches: what earlier builds measured; the first that fits is taken.
    :raises BuildCancelled: when it was told to stop.
    :raises BackendError: when TensorRT refuses the graph or the GPU, with its own first reason.
    """
    try:
        with heard() as log:
            return _build(library, graph, recipe, target, report, cancelled, timing_caches, log)
    except BaseException as error:
        release_locals(error)
        raise


def _build(
    library: Library,
    graph: OnnxGraph,
    recipe: EngineRecipe,
    target: Target,
    report: Callable[[Progress], None],
    cancelled: Callable[[], bool],
    timing_caches: Sequence[bytes],
    log: Heard,
) -> Built:
    # Kept in names: the builder does not own what it is given.
    builder = _made(lambda: library.trt.Builder(library.logger()), 'a builder', log)
    network = _parse(library, builder, graph, log)
    config, cache = _configure(library, builder, recipe, target, timing_caches)
    if not library.strongly_typed:
        allow_precisions(library.trt, config, network, recipe.precision)
    listener = monitor(library, PhaseTree(report), cancelled)
    if listener is not None:
        config.progress_monitor = listener
    _add_profile(library, builder, config, recipe)
    serialized = _made(
        lambda: builder.build_serialized_network(network, config), 'an engine', log, cancelled
    )
    measured = bytes(cache.serialize()) if cache is not None else b''
    return Built(bytes(serialized), layers_in(log.report), measured)


def _made(
    make: Callable[[], Any], what: str, log: Heard, cancelled: Callable[[], bool] = lambda: False
) -> Any:
    """Give what TensorRT makes; where it makes nothing, raise its reason."""
    try:
        made = make()
    except Exception as error:  # noqa: B902 - pybind turns C++ exceptions into any kind
        raise BackendError(
            f'expected {what} of TensorRT, found {error}: {log.reason()}'
        ) from error
    if cancelled():
        raise BuildCancelled('the build of a TensorRT engine was cancelled')
    if made is None:
        raise BackendError(
            f'expected {what} of TensorRT, found that it refuses: {log.reason()}; update '
            'TensorRT, export the bundle again, or choose the backend onnxruntime'
        )
    return made


def _parse(
    library: Library, builder: trt.Builder, graph: OnnxGraph, log: Heard
) -> trt.INetworkDefinition:
    api = library.trt
    kinds = api.NetworkDefinitionCreationFlag
    # Gone from TensorRT 11, where no other kind of batch is left; needed up to 9.
    wanted = ['STRONGLY_TYPED'] if library.strongly_typed else ['EXPLICIT_BATCH']
    flags = sum(1 << int(getattr(kinds, name)) for name in wanted if hasattr(kinds, name))
    network: trt.INetworkDefinition = builder.create_network(flags)
    parser = api.OnnxParser(network, library.logger())
    # With the path, beside which it looks for weights that are not in the file itself.
    if not parser.parse(graph.model, str(graph.path)):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        reason = errors[0].desc() if errors else log.reason()
        raise BackendError(
            f'{graph.path}: expected a graph that {library.name} {library.version} reads, found '
            f'that it refuses: {" ".join(str(reason).split())[:_LONGEST_REASON]}; export the '
            'bundle again, or choose the backend onnxruntime'
        )
    return network


def _configure(
    library: Library,
    builder: trt.Builder,
    recipe: EngineRecipe,
    target: Target,
    timing_caches: Sequence[bytes],
) -> tuple[trt.IBuilderConfig, trt.ITimingCache | None]:
    api = library.trt
    config: trt.IBuilderConfig = builder.create_builder_config()
    config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, recipe.workspace_bytes)
    # Without it the engine does not tell afterwards what its layers compute in.
    config.profiling_verbosity = api.ProfilingVerbosity.DETAILED
    if library.is_rtx:
        _set_target(api, config, target)
        # It compiles for the GPU when the engine is loaded and measures nothing before.
        return config, None
    taken = (_timing_cache(config, content) for content in (*timing_caches, b''))
    return config, next((cache for cache in taken if cache is not None), None)


def _timing_cache(config: trt.IBuilderConfig, content: bytes) -> trt.ITimingCache | None:
    """Start from what was measured before; None where TensorRT does not take it."""
    try:
        cache = config.create_timing_cache(content)
    except Exception:  # noqa: B902 - whatever a damaged one raises, a build can do without
        return None
    return cache if cache is not None and config.set_timing_cache(cache, False) else None


def _set_target(api: Any, config: Any, target: Target) -> None:
    name = f'SM{target.capability[0]}{target.capability[1]}'
    known = [kind for kind in api.ComputeCapability.__members__ if kind.startswith('SM')]
    if name not in known:
        raise BackendError(
            f'expected a GPU that TensorRT for RTX builds for ({", ".join(sorted(known))}), found '
            f'{name}; install TensorRT, or choose the backend onnxruntime'
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(api.ComputeCapability, name), 0)


def _add_profile(
    library: Library, builder: trt.Builder, config: trt.IBuilderConfig, recipe: EngineRecipe
) -> None:
    """Promise which batches will come, and which of them to be fastest for."""
    profile = builder.create_optimization_profile()
    image = (3, recipe.input_size, recipe.input_size)
    batches = (1, recipe.usual_batch, recipe.max_batch)
    shapes = (library.trt.Dims4((batch, *image)) for batch in batches)
    profile.set_shape(recipe.input_name, *shapes)
    config.add_optimization_profile(profile)
