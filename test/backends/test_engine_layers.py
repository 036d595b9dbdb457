# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What layers compute in, as TensorRT's inspector writes it."""
from __future__ import annotations

import json

from edgevl_ros.backends.engine_layers import inspected_layers
import pytest


def tensor(name, kind):
    return {'Name': name, 'Dimensions': [1, 3, 8, 8], 'Format/Datatype': kind}


CONVOLUTION = {
    'Name': 'first', 'LayerType': 'CaskConvolution',
    'Inputs': [tensor('image.int8', 'Four wide channel vectorized row major Int8 format')],
    'Outputs': [tensor('a', 'Thirty-two wide channel vectorized row major Int8 format')],
    'Weights': {'Type': 'Int8', 'Count': 432}, 'Metadata': '[ONNX Layer: /conv/Conv]'}
FLOAT = {
    'Name': 'last.int8', 'LayerType': 'gemm', 'Metadata': '',
    'Inputs': [tensor('x.int8', 'Row major linear FP32')],
    'Outputs': [tensor('y.int8', 'Row major linear FP32')]}


def test_types_are_read_and_names_are_not():
    first, last = inspected_layers(json.dumps({'Layers': [CONVOLUTION, FLOAT], 'Bindings': []}))
    assert (first.inputs, first.constants, first.outputs) == (('Int8',), ('Int8',), ('Int8',))
    assert first.is_int8 and first.multiplies and first.nodes == ('/conv/Conv',)
    assert last.multiplies and not last.is_int8
    assert last.inputs == ('Float',)


@pytest.mark.parametrize(('words', 'kind'), [
    ('Row major linear FP16 format', 'Half'), ('Half', 'Half'), ('Int8 NC/32HW32', 'Int8'),
    ('BF16', 'Bf16'), ('of another kind', 'of another kind')])
def test_types_are_called_as_in_the_report(words, kind):
    layer = {**CONVOLUTION, 'Inputs': [tensor('x', words)]}
    assert inspected_layers(json.dumps({'Layers': [layer]}))[0].inputs == (kind,)


@pytest.mark.parametrize('text', ['{}', '[]', '{"Layers": ["first", "last"]}'])
def test_without_details_there_are_no_layers(text):
    assert inspected_layers(text) == ()
