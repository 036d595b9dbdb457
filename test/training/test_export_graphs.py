# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The graphs of all four kinds of students, against the network that was trained."""
from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
from onnx import numpy_helper, TensorProto
import onnxruntime
import pytest

torch = pytest.importorskip('torch', reason='torch is not installed')
pytest.importorskip('timm', reason='timm is not installed')
pytest.importorskip('modelopt', reason='nvidia-modelopt is not installed')

from edgevl_ros.backends.engine_recipe import (  # noqa: E402, I100
    EngineRecipe,
    OnnxGraph,
    Target,
)
from edgevl_ros.backends.tensorrt_builder import build_engine  # noqa: E402
from edgevl_ros.backends.tensorrt_library import load_library  # noqa: E402
from edgevl_training.exporting.graph import float_graph  # noqa: E402
from edgevl_training.exporting.half import half_graph  # noqa: E402
from edgevl_training.exporting.int8 import int8_graphs  # noqa: E402
from edgevl_training.exporting.separate import PART  # noqa: E402
from edgevl_training.fake_quant import (  # noqa: E402
    calibrate,
    float_twin,
    insert_quantizers,
    weight_scales,
)
from edgevl_training.students.student import open_student  # noqa: E402
from support.small_students import KINDS, photographs, small_int8_student  # noqa: E402

# What ONNX Runtime computes with integers on a CPU.
INTEGER_KERNELS = ('MatMulIntegerToFloat', 'QGemm', 'QLinearConv')
# One for each kind; benchmarks/tensorrt_students.py builds all of them for both.
TARGETS = {'vit': 'sm86', 'swin': 'sm89', 'dat': 'sm86', 'efficientnet': 'sm89'}
# A transformer and a convolutional network.
HALF_TWINS = ('vit', 'efficientnet')
# Convolutions with a float output that are no cut into patches: the offsets of DAT's points.
FLOAT_CONVOLUTIONS = {'vit': 0, 'swin': 0, 'dat': 4, 'efficientnet': 0}


@pytest.fixture(scope='module', autouse=True)
def fixture_one_thread():
    """Compute on one thread: tensors are small here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='module', params=KINDS)
def exported(request):
    """Give a student, its graphs, pictures, and what the student makes of them."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        student = small_int8_student(request.param, monkeypatch)
        twin = float_twin(student)
        graphs = dict(zip(('tensorrt', 'cpu'), int8_graphs(student)))
        graphs['float'] = float_graph(twin)
    images = photographs(student.image_size)
    with torch.no_grad():
        int8, fp32 = (net(torch.from_numpy(images)).numpy() for net in (student, twin))
    return SimpleNamespace(
        kind=request.param, student=student, graphs=graphs, images=images, int8=int8, fp32=fp32)


def run(model, images, optimize=False, optimized=None):
    """Run a graph on the CPU, as the ONNX standard defines it unless ``optimize`` is set."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=['CPUExecutionProvider'])
    return session.run(None, {'image': images})[0]


def cosines(rows, others):
    """Compare unit rows."""
    return np.sum(rows.astype(np.float64) * others.astype(np.float64), axis=1)


def tensors(model):
    """Give the initializers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_the_float_graph_is_the_float_network(exported):
    rows = run(exported.graphs['float'], exported.images, optimize=True)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert cosines(rows, exported.fp32).min() > 0.999999


@pytest.mark.parametrize('placement', ['tensorrt', 'cpu'])
def test_a_placement_is_the_network_with_rounding(exported, placement):
    rows = run(exported.graphs[placement], exported.images, optimize=placement == 'cpu')
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert cosines(rows, exported.int8).mean() > 0.999
    # It is rounded indeed, and nearer to the rounded network than to the float one.
    assert cosines(rows, exported.int8).mean() > cosines(rows, exported.fp32).mean()


def stored_weights(model):
    """Give the INT8 weights by name; those that are cut into parts are joined again."""
    found = {}
    for name, value in tensors(model).items():
        if value.dtype == np.int8 and value.ndim > 1:
            whole, _, part = name.partition(PART)
            found.setdefault(whole, []).append((part, value))
    return {
        name: np.concatenate([value for _, value in sorted(parts, key=lambda p: p[0])], axis=-1)
        if len(parts) > 1 else parts[0][1]
        for name, parts in found.items()}


def test_both_placements_are_one_network(exported):
    """With the same bytes for weights; transformers differ by float noise alone."""
    cpu, tensorrt = (exported.graphs[name] for name in ('cpu', 'tensorrt'))
    rows, others = run(cpu, exported.images, optimize=True), run(tensorrt, exported.images)
    assert cosines(rows, others).mean() > 0.999
    ours, theirs = (stored_weights(model) for model in (cpu, tensorrt))
    assert set(ours) == set(theirs)
    for name in ours:
        assert ours[name].shape == theirs[name].shape
        assert ours[name].tobytes() == theirs[name].tobytes(), name


@pytest.mark.parametrize('name', ['tensorrt', 'cpu', 'float'])
def test_any_batch_gives_the_rows_of_each_picture(exported, name):
    model, images = exported.graphs[name], exported.images
    alone = np.concatenate([run(model, images[i:i + 1]) for i in range(3)])
    together = run(model, images[:3])
    assert together.shape == (3, exported.student.dim)
    assert cosines(alone, together).min() > 0.9999
    assert cosines(together[:1], together[1:2]) < 0.99999


@pytest.mark.parametrize('name', ['tensorrt', 'cpu', 'float'])
def test_old_runtimes_can_read_it(exported, name):
    model = exported.graphs[name]
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [('', 17)]
    assert model.ir_version <= 9
    (image,), (embedding,) = model.graph.input, model.graph.output
    sizes = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    side = exported.student.image_size
    assert (image.name, sizes) == ('image', ['batch', 3, side, side])
    sizes = [d.dim_param or d.dim_value for d in embedding.type.tensor_type.shape.dim]
    assert (embedding.name, sizes) == ('embedding', ['batch', exported.student.dim])


@pytest.mark.parametrize('name', ['tensorrt', 'cpu'])
def test_weights_are_stored_as_int8(exported, name):
    stored = stored_weights(exported.graphs[name])
    for module in weight_scales(exported.student):
        weight = exported.student.get_submodule(module).weight
        assert stored[f'{module}.weight.int8'].size == weight.numel()
        assert stored[f'{module}.weight.int8'].dtype == np.int8


def test_efficientnet_lite0_fits():
    """A file of hardly more than a byte a parameter, in the network with the most layers."""
    torch.manual_seed(0)
    student = insert_quantizers(open_student('efficientnet_lite0', 384, weights=None))
    calibrate(student, [torch.randn(1, 3, student.image_size, student.image_size)])
    parameters = sum(p.numel() for p in student.parameters())
    for graph in int8_graphs(student):
        assert graph.ByteSize() <= 1.15 * parameters


def test_zero_points_and_biases_suit_each_runtime(exported):
    for name, kind, value in (('cpu', TensorProto.UINT8, 128), ('tensorrt', TensorProto.INT8, 0)):
        model = exported.graphs[name]
        found = {tensor.name: tensor for tensor in model.graph.initializer}
        rounded = [node for node in model.graph.node if node.op_type == 'QuantizeLinear']
        assert rounded
        for node in rounded:
            assert found[node.input[2]].data_type == kind
            assert numpy_helper.to_array(found[node.input[2]]) == value
        integers = {t.data_type for t in found.values() if t.name.endswith('.int32')}
        assert not integers or name == 'cpu'


def test_every_layer_is_an_integer_kernel_on_onnxruntime(exported, tmp_path):
    path = tmp_path / 'optimized.onnx'
    run(exported.graphs['cpu'], exported.images[:1], optimize=True, optimized=path)
    model = onnx.load(path)
    kinds = Counter(node.op_type for node in model.graph.node)
    integer = sum(kinds[kind] for kind in INTEGER_KERNELS)
    layers = len(weight_scales(exported.student))
    assert integer == layers - FLOAT_CONVOLUTIONS[exported.kind], kinds
    weights = {t.name for t in model.graph.initializer if t.data_type == TensorProto.INT8}
    read = [n for n in model.graph.node if n.op_type == 'DequantizeLinear'
            and n.input[0] in weights]
    assert not read, 'a weight is read back anew for each image'


def test_half_precision_is_nearly_the_float_network(exported):
    half = half_graph(exported.graphs['float'])
    assert half.ByteSize() < 0.75 * exported.graphs['float'].ByteSize()
    rows = run(half, exported.images, optimize=True)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert cosines(rows, exported.fp32).min() > 0.999


def products_of_rounded_numbers(model):
    """Name the products whose input and weight both come from INT8."""
    makers = {name: node for node in model.graph.node for name in node.output}
    return {
        node.name for node in model.graph.node if node.op_type in ('Conv', 'Gemm', 'MatMul')
        and all(name in makers and makers[name].op_type == 'DequantizeLinear'
                for name in node.input[:2])}


def test_tensorrt_compiles_it_and_computes_in_int8(exported):
    """Build it with TensorRT for RTX, which does so on a CPU, and read what layers compute in."""
    pytest.importorskip(
        'tensorrt_rtx', reason='tensorrt_rtx is not installed', exc_type=ImportError)
    graph = OnnxGraph(Path('student.onnx'), exported.graphs['tensorrt'].SerializeToString(), '')
    built = build_engine(
        load_library('tensorrt_rtx'), graph,
        EngineRecipe('int8', 'image', exported.student.image_size),
        Target.parse(TARGETS[exported.kind]))
    assert built.engine
    int8 = {name for layer in built.layers if layer.is_int8 for name in layer.nodes}
    rounded = products_of_rounded_numbers(exported.graphs['tensorrt'])
    assert len(rounded) >= len(weight_scales(exported.student))
    assert rounded - int8 == set()
    assert not any(layer.is_int8 for layer in built.layers if not set(layer.nodes) & rounded)


def test_tensorrt_compiles_the_half_precision_twin(exported):
    """What a device may choose instead: it computes in half precision indeed."""
    if exported.kind not in HALF_TWINS:
        pytest.skip('benchmarks/tensorrt_students.py builds this one')
    pytest.importorskip(
        'tensorrt_rtx', reason='tensorrt_rtx is not installed', exc_type=ImportError)
    half = half_graph(exported.graphs['float']).SerializeToString()
    built = build_engine(
        load_library('tensorrt_rtx'), OnnxGraph(Path('student.fp16.onnx'), half, ''),
        EngineRecipe('fp16', 'image', exported.student.image_size), Target.parse('sm86'))
    # Some are fused with what comes after, and are then called otherwise.
    products = [layer for layer in built.layers if layer.multiplies]
    assert {layer.inputs[0] for layer in products} == {'Half'}
