# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The builder itself: TensorRT for RTX, which builds for any GPU on a CPU."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip('onnx', reason='onnx makes the graphs that are built')
pytest.importorskip(
    'tensorrt_rtx', reason='tensorrt_rtx is not installed', exc_type=ImportError)

from edgevl_ros.backends.engine_recipe import (  # noqa: E402, I100
    BuildCancelled,
    EngineRecipe,
    OnnxGraph,
    Target,
)
from edgevl_ros.backends.tensorrt_builder import build_engine  # noqa: E402
from edgevl_ros.backends.tensorrt_library import load_library  # noqa: E402
from edgevl_ros.core.errors import BackendError  # noqa: E402
from support.tiny_int8 import INT8_LAYERS, SIZE, tiny_int8  # noqa: E402

RECIPE = EngineRecipe('int8', 'image', SIZE)
AMPERE = Target((8, 6))
TINY = OnnxGraph(Path('student.onnx'), tiny_int8(), '')


@pytest.fixture(name='library', scope='module')
def fixture_library():
    return load_library('tensorrt_rtx')


@pytest.fixture(name='built', scope='module', params=['sm86', 'sm89'])
def fixture_built(request, library):
    """Build the small graph for a GPU that is not here; keep what was told meanwhile."""
    told = []
    return build_engine(
        library, TINY, RECIPE, Target.parse(request.param), report=told.append), told


def test_a_graph_becomes_an_engine(built):
    engine, _ = built
    assert len(engine.engine) > 10_000


def test_convolutions_with_rounded_inputs_are_computed_in_int8(built):
    """Read from the finished engine's own layers, not from a flag."""
    products = [layer for layer in built[0].layers if layer.multiplies]
    assert sum(layer.is_int8 for layer in products) == INT8_LAYERS
    assert [layer.name for layer in products if not layer.is_int8] != []
    assert len(products) == INT8_LAYERS + 1


def test_progress_grows_to_the_end(built):
    shares = [progress.share for progress in built[1]]
    assert shares == sorted(shares)
    assert shares[0] < 0.2 and shares[-1] == 1.0
    assert len(set(shares)) > 10
    assert all(progress.phase for progress in built[1])


def test_a_float_graph_has_no_int8_layer(library, tmp_path):
    from support.tiny_bundle import write_tiny_bundle

    graph = OnnxGraph.read(write_tiny_bundle(tmp_path / 'bundle') / 'student.onnx')
    built = build_engine(library, graph, RECIPE, AMPERE)
    assert built.layers
    assert not any(layer.is_int8 for layer in built.layers)


def test_a_build_that_is_cancelled_ends_early(library, built):
    told = []
    with pytest.raises(BuildCancelled):
        build_engine(
            library, TINY, RECIPE, AMPERE, report=told.append,
            cancelled=lambda: len(told) > 2)
    assert len(told) < len(built[1]) / 2


@pytest.mark.parametrize('model', [b'', b'no graph at all', tiny_int8()[:3000]])
def test_what_is_no_graph_is_refused_with_the_reason(library, model):
    with pytest.raises(BackendError, match='refuses') as refused:
        build_engine(library, OnnxGraph(Path('student.onnx'), model, ''), RECIPE, AMPERE)
    assert 'it says no reason' not in str(refused.value)


def test_an_error_holds_no_part_of_tensorrt(library):
    """What dies with the error would else die when the collector comes, and may deadlock."""
    with pytest.raises(BackendError) as refused:
        build_engine(library, TINY, RECIPE, Target((3, 5)))
    held, frame = [], refused.value.__traceback__
    while frame is not None:
        held += frame.tb_frame.f_locals.values()
        frame = frame.tb_next
    assert [value for value in held if type(value).__module__.startswith('tensorrt')] == []


def test_an_input_of_another_size_is_refused(library):
    with pytest.raises(BackendError, match='image'):
        build_engine(library, TINY, replace(RECIPE, input_size=64), AMPERE)


def test_a_gpu_that_it_cannot_build_for_is_refused_with_those_it_can(library):
    with pytest.raises(BackendError, match=r'SM86.*found SM35'):
        build_engine(library, TINY, RECIPE, Target((3, 5)))


@pytest.mark.parametrize(('text', 'capability'), [
    ('sm86', (8, 6)), ('SM_86', (8, 6)), ('8.6', (8, 6)), ('sm120', (12, 0)), ('12.0', (12, 0))])
def test_a_compute_capability_can_be_written_in_several_ways(text, capability):
    assert Target.parse(text).capability == capability


@pytest.mark.parametrize('text', ['', 'ampere', '8', '8.6.1', 'sm-86'])
def test_what_is_no_compute_capability_is_refused(text):
    with pytest.raises(BackendError, match='such as sm86'):
        Target.parse(text)
