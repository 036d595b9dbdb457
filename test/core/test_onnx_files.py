# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""No reference to another file hides in a graph, and no bytes make the search fail otherwise."""

import time

from edgevl_ros.core.bundle import STARTER
from edgevl_ros.core.onnx_files import external_files, LEADS_TO_TENSORS
from hypothesis import example, given, strategies
import pytest

onnx = pytest.importorskip('onnx', reason='onnx builds the graphs that these tests search')
from onnx import helper, TensorProto  # noqa: E402, I100


def tensor(location):
    """Make a tensor whose values lie in another file."""
    made = TensorProto(name='w', data_type=TensorProto.FLOAT, dims=[4])
    made.data_location = TensorProto.EXTERNAL
    for key, value in {'offset': '0', 'location': location, 'length': '16'}.items():
        made.external_data.add(key=key, value=value)
    return made


def sparse(location):
    """Make a sparse tensor with its values in a file and its indices in another."""
    return onnx.SparseTensorProto(
        values=tensor(location), indices=tensor(f'{location}.indices'), dims=[9]
    )


def model(**graph):
    return onnx.ModelProto(
        ir_version=8, producer_name='test', graph=onnx.GraphProto(name='g', **graph)
    )


def constant(**attribute):
    """Make a node with one attribute."""
    node = onnx.NodeProto(op_type='Constant', output=['c'])
    node.attribute.add(name='value', **attribute)
    return node


def graph_of(node):
    return onnx.GraphProto(name='inner', node=[node])


NESTED = graph_of(constant(g=graph_of(constant(t=tensor('deep')))))


@pytest.mark.parametrize('location', ['weights.bin', '../secret', '/etc/hostname', 'a/b', '', 'ü'])
def test_an_initializer_tells_its_location_as_it_is_written(location):
    assert external_files(model(initializer=[tensor(location)]).SerializeToString()) == {location}


@pytest.mark.parametrize(
    ('made', 'found'),
    [
        (model(sparse_initializer=[sparse('s')]), {'s', 's.indices'}),
        (model(node=[constant(t=tensor('t'))]), {'t'}),
        (model(node=[constant(tensors=[tensor('a'), tensor('b')])]), {'a', 'b'}),
        (model(node=[constant(sparse_tensor=sparse('s'))]), {'s', 's.indices'}),
        (model(node=[constant(sparse_tensors=[sparse('s')])]), {'s', 's.indices'}),
        (model(node=[constant(graphs=[NESTED])]), {'deep'}),
        (
            onnx.ModelProto(functions=[onnx.FunctionProto(node=[constant(t=tensor('f'))])]),
            {'f'},
        ),
        (
            model(
                node=[
                    helper.make_node(
                        'If', ['x'], ['y'], then_branch=NESTED,
                        else_branch=onnx.GraphProto(name='else', initializer=[tensor('else')]),
                    )
                ]
            ),
            {'deep', 'else'},
        ),
    ],
    ids=['sparse initializer', 't', 'tensors', 'sparse', 'sparses', 'graphs', 'function', 'If'],
)
def test_every_place_of_a_tensor_is_searched(made, found):
    assert external_files(made.SerializeToString()) == found


def test_onnx_knows_no_other_way_to_a_tensor():
    """Hold the table of fields against the definition in the onnx package."""
    messages = onnx.ModelProto.DESCRIPTOR.file.message_types_by_name
    children = {
        name: {f.number: f.message_type.name for f in message.fields if f.message_type}
        for name, message in messages.items()
    }
    leading = {'TensorProto'}
    while more := {n for n, c in children.items() if leading & set(c.values())} - leading:
        leading |= more
    for name in leading - {'TensorProto'}:
        ways = {n: child for n, child in children[name].items() if child in leading}
        assert ways.items() <= LEADS_TO_TENSORS[name].items()


def test_a_graph_without_other_files_has_none():
    plain = helper.make_tensor('w', TensorProto.FLOAT, [2], [1.0, 2.0])
    assert external_files(model(initializer=[plain]).SerializeToString()) == set()


def test_subgraphs_may_nest_deeper_than_python_calls():
    def field(number, content):
        size = len(content)
        length = b''
        while size >= 0x80:
            length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    graph = field(5, tensor('bottom').SerializeToString())
    for _ in range(2000):
        graph = field(1, field(5, field(6, graph)))
    assert external_files(field(7, graph)) == {'bottom'}


def test_a_graph_of_megabytes_is_searched_at_once():
    path = STARTER / 'student.cpu.onnx'
    if not path.is_file():
        pytest.skip('no starter bundle here')
    content = path.read_bytes()
    start = time.process_time()
    assert external_files(content) == set()
    assert time.process_time() - start < 1.0
    assert external_files((STARTER / 'student.onnx').read_bytes()) == {path.name}


def test_a_cut_graph_is_refused():
    whole = model(initializer=[tensor('w')]).SerializeToString()
    with pytest.raises(ValueError, match='cut'):
        external_files(whole[:-1])


@example(b'no graph')
@example(b'\xff' * 11)
@example(b'\x00')
@example(b'\x80\x80\x80\x80\x10\x00')
@example(b'\x3a\x0b\x2a\x09\x6a\x07\x0a\x01\xff\x12\x02ab')
@given(strategies.binary(max_size=200))
def test_any_other_bytes_raise_nothing_but_a_value_error(content):
    try:
        assert isinstance(external_files(content), set)
    except ValueError:
        pass


@given(strategies.data())
def test_a_damaged_graph_raises_nothing_but_a_value_error(data):
    content = bytearray(model(node=[constant(g=NESTED)]).SerializeToString())
    at = data.draw(strategies.integers(0, len(content) - 1))
    content[at] = data.draw(strategies.integers(0, 255))
    try:
        assert isinstance(external_files(memoryview(content)), set)
    except ValueError:
        pass
