# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure exported students on TensorRT: INT8 against FP16 and FP32, and against CLIP ViT-B/16.

Three steps, each on the machine that has what it takes:

- ``graphs``, on a workstation with torch, writes students of random weights as ONNX; how fast
  they are does not depend on the weights.
- ``build``, anywhere with TensorRT for RTX and without a GPU, compiles them for the GPUs that are
  named, and tells how long that takes, how large they get and what their layers compute in.
- ``run``, on the device, needs no torch: builds them for its own GPU, and times them in turns.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
import ctypes
from dataclasses import replace
import json
import os
from pathlib import Path
import platform
import sys
import time
from typing import Any

from edgevl_ros.backends import open_backend
from edgevl_ros.backends.cuda import open_cuda
from edgevl_ros.backends.engine_layers import inspected_layers, Layer
from edgevl_ros.backends.engine_process import build_in_process
from edgevl_ros.backends.engine_recipe import EngineRecipe, OnnxGraph, Target
from edgevl_ros.backends.tensorrt_builder import Built
from edgevl_ros.backends.tensorrt_library import Library, load_library
from edgevl_ros.backends.tensorrt_session import Session
from edgevl_ros.core.backend import embedding_spec, image_spec
from edgevl_ros.core.bundle import Bundle, STARTER
from edgevl_ros.core.errors import BackendError
from edgevl_ros.core.perception import Perception
from edgevl_ros.core.settings import Settings
import numpy as np

STUDENTS = (('vit_s', 224), ('swin_t', 224), ('dat_t', 224), ('efficientnet_lite0', 224))
PRECISIONS = ('int8', 'fp16', 'fp32')
CLIP = 'clip-vit-b-16'
DIM = 512
BATCHES = (1, 8)
WARM_UP, ROUNDS, REPEATS = 20, 10, 50
# A driver keeps some memory for later; a leak of a byte each time would be more.
MOST_GROWTH_MB = 32
INDEX = 'graphs.json'
# CU_DEVICE_ATTRIBUTE_INTEGRATED
_INTEGRATED = 18


def main() -> int:
    """Do one step."""
    options = _parser().parse_args()
    result: dict[str, Any] = {'graphs': _write_graphs, 'build': _build, 'run': _run}[options.step](
        options
    )
    _keep(options, result)
    return int(result.get('endurance', {}).get('leaks', False))


def _keep(options: argparse.Namespace, result: dict[str, Any]) -> None:
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.strip().partition('\n')[0])
    parser.add_argument('step', choices=['graphs', 'build', 'run'])
    parser.add_argument('--graphs', type=Path, default=Path('build/tensorrt_graphs'))
    parser.add_argument(
        '--targets', nargs='+', default=['sm86', 'sm89'], help='GPUs to build for (build)'
    )
    parser.add_argument('--students', nargs='+', help='only these')
    parser.add_argument('--endurance', type=int, default=100_000, help='inferences without end')
    parser.add_argument('--out', type=Path, help='file for the numbers, as JSON')
    return parser


def _write_graphs(options: argparse.Namespace) -> dict[str, Any]:
    """Write every student in every precision, and CLIP in half precision."""
    from edgevl_training.export import write_graph
    from edgevl_training.exporting.graph import float_graph, traced_graph
    from edgevl_training.exporting.half import half_graph
    from edgevl_training.exporting.int8 import int8_graphs
    from edgevl_training.fake_quant import calibrate, float_twin, insert_quantizers
    from edgevl_training.students.student import open_student
    import torch

    from benchmarks.student_latency import _photographs, _Tower, CLIP_SIZE

    options.graphs.mkdir(parents=True, exist_ok=True)
    index = {}
    for name, size in STUDENTS:
        if options.students and name not in options.students:
            continue
        torch.manual_seed(0)
        student = insert_quantizers(
            open_student(name, DIM, weights=None, image_size=size).eval()
        )
        calibrate(student, [torch.from_numpy(_photographs(size))])
        fp32 = float_graph(float_twin(student))
        graphs = {'int8': int8_graphs(student)[0], 'fp16': half_graph(fp32), 'fp32': fp32}
        for precision, graph in graphs.items():
            write_graph(options.graphs / f'{name}.{precision}.onnx', graph)
            index[f'{name}.{precision}'] = {'size': size, 'precision': precision}
    if not options.students:
        torch.backends.mha.set_fastpath_enabled(False)
        half = half_graph(traced_graph(_Tower().eval(), CLIP_SIZE))
        write_graph(options.graphs / f'{CLIP}.fp16.onnx', half)
        index[f'{CLIP}.fp16'] = {'size': CLIP_SIZE, 'precision': 'fp16'}
    (options.graphs / INDEX).write_text(json.dumps(index, indent=2), encoding='utf-8')
    return index


def _chosen(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    index = json.loads((options.graphs / INDEX).read_text(encoding='utf-8'))
    return {
        name: item for name, item in index.items()
        if not options.students or name.partition('.')[0] in options.students
    }


def _compile(
    options: argparse.Namespace, library: Library, name: str, item: dict[str, Any], target: Target,
    usual_batch: int = 1,
) -> tuple[Built, dict[str, Any]]:
    """Build one graph in a process of its own, as a node does; tell what came of it."""
    graph = OnnxGraph.read(options.graphs / f'{name}.onnx')
    recipe = EngineRecipe(
        item['precision'], 'image', item['size'], usual_batch, max_batch=max(BATCHES)
    )
    began_s = time.perf_counter()
    built = build_in_process(library.name, graph, recipe, target)
    products = [layer for layer in built.layers if layer.multiplies]
    told = {
        'target': str(target), 'usual_batch': usual_batch,
        'build_s': round(time.perf_counter() - began_s, 1),
        'onnx_mb': round(len(graph.model) / 1e6, 1),
        'engine_mb': round(len(built.engine) / 1e6, 1), **_kinds(built.layers),
    }
    print(
        f'{name:<28}{target!s:<20}{told["build_s"]:>7.1f} s {told["onnx_mb"]:>7.1f} MB -> '
        f'{told["engine_mb"]:>7.1f} MB, {told["int8"]} of {len(products)} products in INT8',
        flush=True,
    )
    return built, told


def _kinds(layers: Iterable[Layer]) -> dict[str, Any]:
    """Tell which products are INT8, and name those that are not with what they multiply."""
    products = [layer for layer in layers if layer.multiplies]
    return {
        'products': len(products), 'int8': sum(layer.is_int8 for layer in products),
        'not_int8': [
            f'{" x ".join((*layer.inputs, *layer.constants))}: {layer.name}'
            for layer in products if not layer.is_int8
        ],
    }


def _build(options: argparse.Namespace) -> dict[str, Any]:
    library = load_library('tensorrt_rtx')
    print(f'{library.name} {library.version}, on {platform.machine()} without a GPU')
    return {
        'library': f'{library.name} {library.version}', 'cores': os.cpu_count(),
        'students': {
            name: [
                _compile(options, library, name, item, Target.parse(target))[1]
                for target in options.targets
            ]
            for name, item in _chosen(options).items()
        },
    }


def _run(options: argparse.Namespace) -> dict[str, Any]:
    library, target = load_library(), open_cuda().device()
    print(f'{library.name} {library.version}, {target}')
    students: dict[str, dict[str, Any]] = {}
    for batch in BATCHES:
        # Kernels are chosen for the batch that is timed.
        sessions = _open_all(options, library, target, batch, students)
        for name, times in _times_in_turns(sessions, batch).items():
            p50, p99 = np.percentile(times, [50, 99]) * 1000
            students[name][f'batch_{batch}'].update({
                'p50_ms': round(float(p50), 3), 'p99_ms': round(float(p99), 3),
                'images_per_s': round(batch / float(np.mean(times)), 1),
            })
            print(f'{name:<28}batch {batch}: p50 {p50:.3f} ms, p99 {p99:.3f} ms', flush=True)
        for session in sessions.values():
            session.close()
    result: dict[str, Any] = {
        'library': f'{library.name} {library.version}', 'gpu': str(target), 'students': students,
    }
    # What is known is kept, whatever becomes of the rest.
    _keep(options, result)
    result['host_to_label'] = _host_to_label()
    _keep(options, result)
    return {**result, 'endurance': _endurance(options.endurance)}


def _open_all(
    options: argparse.Namespace, library: Library, target: Target, batch: int,
    students: dict[str, dict[str, Any]],
) -> dict[str, _OnThread]:
    """Build and load every student for a batch; ``students`` receives what is told of each."""
    sessions = {}
    for name, item in _chosen(options).items():
        try:
            built, told = _compile(options, library, name, item, target, batch)
            sessions[name] = _OnThread(library, built.engine, item['size'])
        # Each binding has errors of its own.
        except Exception as error:  # noqa: B902
            print(f'{name}: {type(error).__name__}: {error}')
            continue
        # TensorRT for RTX reports layers while it builds, TensorRT when it is asked afterwards.
        layers = built.layers or inspected_layers(sessions[name].layers())
        students.setdefault(name, {})[f'batch_{batch}'] = {**told, **_kinds(layers)}
    return sessions


class _OnThread:
    """A session of a graph that need not give unit rows of a bundle, on a thread of its own."""

    def __init__(self, library: Library, engine: bytes, size: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._size = size
        self._thread = ThreadPoolExecutor(1)
        self._session = self._thread.submit(
            lambda: Session(
                library, open_cuda(), engine, image_spec(size), embedding_spec(DIM)
            )
        ).result()

    def layers(self) -> str:
        return self._thread.submit(self._session.layers).result()

    def seconds(self, batch: int, count: int) -> list[float]:
        images = np.random.default_rng(0).normal(size=(batch, 3, self._size, self._size))
        return self._thread.submit(self._timed, images.astype(np.float32), count).result()

    def _timed(self, images: np.ndarray, count: int) -> list[float]:
        times = []
        for _ in range(WARM_UP + count):
            began_s = time.perf_counter()
            self._session.run(images)
            times.append(time.perf_counter() - began_s)
        return times[WARM_UP:]

    def close(self) -> None:
        self._thread.submit(self._session.close).result()
        self._thread.shutdown()


def _times_in_turns(sessions: dict[str, _OnThread], batch: int) -> dict[str, list[float]]:
    """Time all of them, a little of each at a time, so that a warm GPU is warm for all."""
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            times[name] += session.seconds(batch, REPEATS)
    return times


def _host_to_label() -> dict[str, float]:
    """Tell what a frame costs beside inference, on the starter bundle's golden frames."""
    bundle = Bundle.open(STARTER)
    backend = open_backend('tensorrt', bundle, threads=1)
    perception = Perception(bundle, backend, Settings())
    scenes = [
        perception.perceive(replace(frame, stamp_ns=step))
        for step in range(300) for frame in bundle.golden.frames[:1]
    ]
    perception.close()
    kinds = ('preprocess', 'inference', 'ranking')
    medians = {
        kind: round(float(np.median([s.timings_s[kind] for s in scenes[50:]])) * 1000, 3)
        for kind in kinds
    }
    print(f'a frame of the starter bundle, ms: {medians}')
    return medians


def _endurance(count: int) -> dict[str, Any]:
    """Infer for long; tell how much memory grew after the first tenth, here and on the GPU."""
    import psutil

    bundle = Bundle.open(STARTER)
    backend = open_backend('tensorrt', bundle, threads=1)
    image = np.zeros((1, 3, bundle.preprocess.input_size, bundle.preprocess.input_size))
    process, before = psutil.Process(), (0.0, 0.0)
    for step in range(count):
        backend.embed(image.astype(np.float32))
        if step == count // 10:
            before = process.memory_info().rss / 1e6, _gpu_mb()
    grown = {
        'host_mb': round(process.memory_info().rss / 1e6 - before[0], 1),
        'gpu_mb': round(_gpu_mb() - before[1], 1),
    }
    backend.close()
    print(f'{count} inferences: grown after the first tenth: {grown}')
    # A GPU without memory of its own tells what the whole machine uses.
    judged = ('host_mb',) if _shares_memory() else ('host_mb', 'gpu_mb')
    leaks = max(grown[name] for name in judged) > MOST_GROWTH_MB
    return {'inferences': count, 'grown': grown, 'judged': judged, 'leaks': leaks}


def _shares_memory() -> bool:
    """Tell whether the GPU's memory is the machine's, as on a Jetson."""
    shares = ctypes.c_int()
    device = 0
    ctypes.CDLL('libcuda.so.1').cuDeviceGetAttribute(
        ctypes.byref(shares), _INTEGRATED, device
    )
    return bool(shares.value)


def _gpu_mb() -> float:
    """Tell how much of the GPU's memory is in use, by everyone."""
    runtime = ctypes.CDLL('libcuda.so.1')
    device, context = ctypes.c_int(), ctypes.c_void_p()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    calls = (
        ('cuInit', 0), ('cuDeviceGet', ctypes.byref(device), 0),
        ('cuDevicePrimaryCtxRetain', ctypes.byref(context), device),
        ('cuCtxPushCurrent_v2', context),
        ('cuMemGetInfo_v2', ctypes.byref(free), ctypes.byref(total)),
        ('cuCtxPopCurrent_v2', ctypes.byref(context)), ('cuDevicePrimaryCtxRelease_v2', device),
    )
    for name, *arguments in calls:
        status = getattr(runtime, name)(*arguments)
        if status:
            raise BackendError(f'{name}: error {status}')
    return (total.value - free.value) / 1e6


if __name__ == '__main__':
    sys.exit(main())
