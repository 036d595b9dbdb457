# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One set of scales, two placements, the same network."""

from edgevl_training.quantize import (
    activation_scale,
    for_onnxruntime,
    for_tensorrt,
    Scales,
    stored_weight,
)
import numpy as np
from onnx import helper, numpy_helper, TensorProto
import onnxruntime as ort
import pytest


def float_graph():
    """Make image -> conv, ReLU6 -> conv -> + shortcut -> mean, with every pattern there is."""
    rng = np.random.default_rng(0)
    constants = {
        'a.weight': rng.normal(0, 0.3, (8, 3, 3, 3)),
        'a.bias': rng.normal(0, 1, 8),
        'b.weight': rng.normal(0, 0.3, (8, 8, 1, 1)),
        'b.bias': rng.normal(0, 0.1, 8),
        'zero': 0.0,
        'six': 6.0,
        'c.weight': rng.normal(0, 0.3, (5, 8)),
        'c.bias': rng.normal(0, 0.1, 5),
    }
    nodes = [
        helper.make_node('Conv', ['image', 'a.weight', 'a.bias'], ['a'], pads=[1, 1, 1, 1]),
        helper.make_node('Clip', ['a', 'zero', 'six'], ['a.clipped']),
        helper.make_node('Conv', ['a.clipped', 'b.weight', 'b.bias'], ['b']),
        helper.make_node('Add', ['a.clipped', 'b'], ['sum']),
        helper.make_node('GlobalAveragePool', ['sum'], ['mean']),
        helper.make_node('Flatten', ['mean'], ['pooled']),
        helper.make_node('Gemm', ['pooled', 'c.weight', 'c.bias'], ['embedding'], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        'small',
        [helper.make_tensor_value_info('image', TensorProto.FLOAT, ['batch', 3, 16, 16])],
        [helper.make_tensor_value_info('embedding', TensorProto.FLOAT, ['batch', 5])],
        [numpy_helper.from_array(np.float32(v), name) for name, v in constants.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8
    )


def graph_scales(model):
    """Give scales that fit the graph's tensors."""
    weights = {
        t.name: np.abs(numpy_helper.to_array(t)).reshape(t.dims[0], -1).max(1) / 63
        for t in model.graph.initializer
        if t.name.endswith('weight')
    }
    activations = {
        'image': 1 / 127, 'a.clipped': 6 / 127, 'b': 6 / 127, 'sum': 9 / 127, 'pooled': 6 / 127
    }
    return Scales(activations, weights, dict.fromkeys(weights, 63))


def run(model, images, level=ort.GraphOptimizationLevel.ORT_DISABLE_ALL):
    """Run a model on the CPU; without optimisation it is as the ONNX standard defines it."""
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=['CPUExecutionProvider']
    )
    return session.run(None, {'image': images})[0]


@pytest.fixture(name='images')
def fixture_images():
    """Give a batch of noise in -1..1."""
    return np.random.default_rng(1).uniform(-1, 1, (4, 3, 16, 16)).astype(np.float32)


@pytest.mark.parametrize('place', [for_onnxruntime, for_tensorrt])
def test_a_placement_computes_nearly_what_the_float_graph_computes(place, images):
    """Rounding costs little; a misplaced pair or a wrong scale would cost much."""
    model = float_graph()
    wanted = run(model, images)
    found = run(place(model, graph_scales(model)), images)
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
    assert not np.array_equal(found, wanted)


def test_both_placements_agree(images):
    """The placements differ by less than one step of the last stored tensor."""
    model = float_graph()
    int8 = graph_scales(model)
    first = run(for_onnxruntime(model, int8), images)
    second = run(for_tensorrt(model, int8), images)
    assert np.abs(first - second).max() < 0.03


def test_onnxruntime_placement_is_all_integer():
    """ONNX Runtime fuses every convolution, sum and matrix product into an integer kernel."""
    model = float_graph()
    placed = for_onnxruntime(model, graph_scales(model))
    types = {t.name: t.data_type for t in placed.graph.initializer}
    assert types['zero_point.uint8'] == TensorProto.UINT8
    assert {types[f'{layer}.weight.int8'] for layer in 'abc'} == {TensorProto.INT8}
    assert {types[f'{layer}.bias.int32'] for layer in 'abc'} == {TensorProto.INT32}


def test_tensorrt_placement_has_zero_points_of_zero_and_float_bias():
    """Any other zero point and an integer bias would be refused by TensorRT."""
    model = float_graph()
    placed = for_tensorrt(model, graph_scales(model))
    for tensor in placed.graph.initializer:
        if tensor.name.endswith('zero_point') or tensor.name.startswith('zero_point'):
            assert tensor.data_type == TensorProto.INT8
            assert not numpy_helper.to_array(tensor).any()
        if 'bias' in tensor.name:
            assert tensor.data_type == TensorProto.FLOAT
    quantized = [n.input[0] for n in placed.graph.node if n.op_type == 'QuantizeLinear']
    assert 'b' not in quantized, 'the convolution before a sum stays in float'


def test_the_float_graph_is_not_changed():
    """A placement works on a copy."""
    model = float_graph()
    before = model.SerializeToString(deterministic=True)
    for_onnxruntime(model, graph_scales(model))
    for_tensorrt(model, graph_scales(model))
    assert model.SerializeToString(deterministic=True) == before


def test_a_scale_for_no_tensor_is_refused():
    """A misspelt tensor would otherwise stay in float unnoticed."""
    model = float_graph()
    good = graph_scales(model)
    with pytest.raises(ValueError, match='misspelt'):
        for_onnxruntime(
            model, Scales({**good.activations, 'misspelt': 1.0}, good.weights, good.levels)
        )


def test_stored_weight_keeps_to_its_levels():
    """A weight beyond the scale saturates at the last level, on both sides."""
    weight = np.array([[1.0, -1.0, 0.26]], np.float32)
    np.testing.assert_array_equal(
        stored_weight(weight, np.array([0.01], np.float32), 63), [[63, -63, 26]]
    )


def test_activation_scale_gives_up_a_rare_outlier():
    """One value of 100 among a million below 1 is clipped; values spread evenly are not."""
    counts = np.zeros(1000)
    counts[:10] = 1e5
    counts[-1] = 1
    assert activation_scale(counts, 100.0) < 0.5 * 100 / 127
    assert activation_scale(np.ones(1000), 100.0) == pytest.approx(100 / 127, rel=0.02)


def test_activation_scale_of_nothing_is_refused():
    """A tensor that is always zero has no scale."""
    with pytest.raises(ValueError, match='not all zero'):
        activation_scale(np.zeros(10), 0.0)


def patches_graph():
    """Make image -> patches -> products of one weight, which is stored as a convolution's."""
    rng = np.random.default_rng(0)
    constants = {
        'weight': np.float32(rng.normal(0, 0.3, (6, 3, 2, 2))),
        'bias': np.float32(rng.normal(0, 1, 6)),
        'rows': np.array([6, 12]),
        'patches.shape': np.array([-1, 16, 12]),
        'second': np.float32(rng.normal(0, 0.3, (6, 5))),
    }
    nodes = [
        helper.make_node('Reshape', ['image', 'patches.shape'], ['patches']),
        helper.make_node('Reshape', ['weight', 'rows'], ['weight.rows']),
        helper.make_node('Transpose', ['weight.rows'], ['weight.columns'], perm=[1, 0]),
        helper.make_node('MatMul', ['patches', 'weight.columns'], ['product']),
        helper.make_node('Add', ['product', 'bias'], ['biased']),
        helper.make_node('Identity', ['biased'], ['biased.input']),
        helper.make_node('MatMul', ['biased.input', 'second'], ['tokens']),
        helper.make_node('ReduceMean', ['biased'], ['level'], axes=[1, 2], keepdims=1),
        helper.make_node('Add', ['tokens', 'level'], ['embedding']),
    ]
    graph = helper.make_graph(
        nodes, 'patches',
        [helper.make_tensor_value_info('image', TensorProto.FLOAT, ['batch', 3, 8, 8])],
        [helper.make_tensor_value_info('embedding', TensorProto.FLOAT, ['batch', 16, 5])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8
    )


def patches_scales(model):
    """Give scales of the patches and their products; output channels are last in 'second'."""
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    weights = {
        'weight': np.abs(values['weight']).reshape(6, -1).max(1) / 63,
        'second': np.abs(values['second']).max(0) / 63,
    }
    return Scales(
        {'patches': 1 / 127, 'biased.input': 5 / 127}, weights, dict.fromkeys(weights, 63)
    )


@pytest.mark.parametrize('place', [for_onnxruntime, for_tensorrt])
def test_a_matrix_product_is_that_of_rounded_numbers(place):
    """Against numpy; the mean reads numbers that are not rounded."""
    model = patches_graph()
    int8 = patches_scales(model)
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    images = np.random.default_rng(1).uniform(-1, 1, (2, 3, 8, 8)).astype(np.float32)

    def rounded(tensor, scale, least=-128, most=127):
        return np.clip(np.round(tensor / scale), least, most) * scale

    first = rounded(values['weight'], int8.weights['weight'].reshape(6, 1, 1, 1), -63, 63)
    biased = rounded(images.reshape(2, 16, 12), 1 / 127) @ first.reshape(6, 12).T + values['bias']
    second = rounded(values['second'], int8.weights['second'], -63, 63)
    wanted = rounded(biased, 5 / 127) @ second + biased.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(run(place(model, int8), images), wanted, atol=0.02)


def test_a_moved_weight_is_stored_as_it_was():
    """Both placements hold the same bytes, whatever shape a product wants."""
    model = patches_graph()
    int8 = patches_scales(model)
    for place in (for_onnxruntime, for_tensorrt):
        stored = {t.name: t for t in place(model, int8).graph.initializer}['weight.int8']
        assert list(stored.dims) == [6, 3, 2, 2]
        np.testing.assert_array_equal(
            numpy_helper.to_array(stored),
            stored_weight(
                numpy_helper.to_array(model.graph.initializer[0]), int8.weights['weight'], 63
            ),
        )


def test_a_convolution_with_a_float_output_reads_its_weight_once():
    """ONNX Runtime would undo a DequantizeLinear for every image."""
    model = float_graph()
    good = graph_scales(model)
    activations = {key: good.activations[key] for key in ('image', 'pooled')}
    scales = Scales(activations, good.weights, good.levels)
    placed = for_onnxruntime(model, scales)
    made_by = {node.output[0]: node.op_type for node in placed.graph.node}
    convolutions = [node for node in placed.graph.node if node.op_type == 'Conv']
    assert [made_by[node.input[1]] for node in convolutions] == ['Mul', 'Mul']
    assert {made_by.get(node.input[2]) for node in convolutions} == {None}, 'a float bias'
    images = np.random.default_rng(1).uniform(-1, 1, (2, 3, 16, 16)).astype(np.float32)
    np.testing.assert_allclose(
        run(placed, images), run(for_tensorrt(model, scales), images), atol=2e-2
    )


@pytest.mark.parametrize(('range_', 'most'), [(3, None), (6, None), (7, 237), (12, 192)])
def test_an_activation_becomes_a_clip_of_rounded_numbers(range_, most):
    """ONNX Runtime drops a Clip of float numbers before the rounding, and larger ones pass."""
    model = float_graph()
    good = graph_scales(model)
    wide = {'image': 10 / 127, 'b': 40 / 127, 'sum': 40 / 127, 'pooled': 10 / 127}
    activations = {**wide, 'a.clipped': range_ / 127}
    scales = Scales(activations, good.weights, good.levels)
    placed = for_onnxruntime(model, scales)
    [clip] = [node for node in placed.graph.node if node.op_type == 'Clip']
    assert clip.output[0].endswith('.uint8')
    values = {t.name: int(numpy_helper.to_array(t)) for t in placed.graph.initializer
              if t.name in clip.input}
    assert list(values.values()) == [128, most][:2 if most else 1]
    # Most numbers that are clipped lie beyond one of the ends.
    images = np.random.default_rng(1).uniform(-10, 10, (2, 3, 16, 16)).astype(np.float32)
    wanted = run(for_tensorrt(model, scales), images)
    for level in (
        ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    ):
        np.testing.assert_allclose(run(placed, images, level), wanted, atol=0.15)
