# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Query, key and value as products of their own: the same numbers, and nothing else is touched."""
from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip('onnx', reason='onnx is not installed')
onnxruntime = pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')

from edgevl_training.exporting.separate import PART, separate_projections  # noqa: E402, I100
from onnx import helper, numpy_helper, TensorProto  # noqa: E402

TOKENS, WIDTH, HEADS = 5, 8, 2


def attention(cut, sizes=(WIDTH, WIDTH, WIDTH), also_read=False, bias=True):
    """Write a projection with INT8 weight whose parts are cut as timm or as DAT does."""
    random = np.random.default_rng(5)
    total = sum(sizes)
    values = {
        'w.int8': random.integers(-63, 64, (WIDTH, total)).astype(np.int8),
        'w.scale': random.uniform(0.01, 0.02, total).astype(np.float32),
        'w.zero': np.zeros(total, np.int8),
        'bias': random.normal(size=total).astype(np.float32),
        'x.scale': np.float32(0.05), 'x.zero': np.zeros((), np.int8),
        'shape': np.array([-1, TOKENS, 3, HEADS, WIDTH // HEADS], np.int64),
        'sizes': np.array(sizes, np.int64), 'ones': np.ones(3, np.int64),
        'first': np.array([0], np.int64),
    }
    node = helper.make_node
    nodes = [
        node('QuantizeLinear', ['image', 'x.scale', 'x.zero'], ['x.int8']),
        node('DequantizeLinear', ['x.int8', 'x.scale', 'x.zero'], ['x']),
        node('DequantizeLinear', ['w.int8', 'w.scale', 'w.zero'], ['w'], axis=1),
        node('MatMul', ['x', 'w'], ['product'], 'qkv'),
        node('Add', ['bias', 'product'], ['sum']) if bias else node('Relu', ['product'], ['sum']),
    ]
    outputs = ['q', 'k', 'v']
    if cut == 'heads':
        nodes += [
            node('Reshape', ['sum', 'shape'], ['r']),
            node('Transpose', ['r'], ['t'], perm=[2, 0, 3, 1, 4]),
            node('Split', ['t', 'ones'], ['q3', 'k3', 'v3'], axis=0),
            *(node('Squeeze', [f'{name}3', 'first'], [name]) for name in outputs),
        ]
    else:
        nodes.append(node('Split', ['sum', 'sizes'], outputs, axis=-1))
    if also_read:
        nodes.append(node('Relu', ['sum'], ['other']))
        outputs = [*outputs, 'other']

    def axes(name):
        return 4 if cut == 'heads' and name != 'other' else 3

    graph = helper.make_graph(
        nodes, 'attention',
        [helper.make_tensor_value_info('image', TensorProto.FLOAT, ['batch', TOKENS, WIDTH])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * axes(name))
         for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)


def run(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=['CPUExecutionProvider'])
    images = np.random.default_rng(1).normal(size=(2, TOKENS, WIDTH)).astype(np.float32)
    return session.run(None, {'image': images})


@pytest.mark.parametrize('cut', ['heads', 'width'])
def test_three_products_give_the_same_numbers(cut):
    before = attention(cut)
    after = separate_projections(before)
    onnx.checker.check_model(after, full_check=True)
    kinds = [node.op_type for node in after.graph.node]
    assert kinds.count('MatMul') == 3 and 'Split' not in kinds
    for one, other in zip(run(before), run(after), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    weights = [t for t in after.graph.initializer if PART in t.name and len(t.dims) == 2]
    assert [list(t.dims) for t in weights] == [[WIDTH, WIDTH]] * 3
    assert {t.data_type for t in weights} == {TensorProto.INT8}
    assert 'w.int8' not in {t.name for t in after.graph.initializer}
    assert before.graph.node[3].op_type == 'MatMul', 'the graph that was given is not changed'


@pytest.mark.parametrize('change', [
    {'cut': 'width', 'sizes': (4, 4, 16)},
    {'cut': 'width', 'also_read': True},
    {'cut': 'heads', 'also_read': True},
    {'cut': 'width', 'bias': False},
], ids=['unequal', 'read twice', 'read twice, heads', 'no bias'])
def test_what_is_no_such_attention_stays(change):
    before = attention(**change)
    after = separate_projections(before)
    assert [n.op_type for n in after.graph.node] == [n.op_type for n in before.graph.node]
    for one, other in zip(run(before), run(after), strict=True):
        np.testing.assert_array_equal(one, other)
