# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every student leaves torch for ONNX, opset 17, with any batch, and computes the same there."""

import numpy as np
import pytest

for package in ('torch', 'timm', 'onnx', 'onnxruntime'):
    pytest.importorskip(package, reason=f'{package} is not installed: training extra')

from edgevl_training.students.student import open_student  # noqa: E402, I100
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402

# The exporter warns that it traces.
pytestmark = pytest.mark.filterwarnings('default')

SIZE, DIM = 64, 24
# What the parser of TensorRT reads from 8.5 on, as far as these networks use it.
TENSORRT = {
    'Abs', 'Add', 'Cast', 'Ceil', 'Clip', 'Concat', 'Constant', 'ConstantOfShape', 'Conv', 'Div',
    'Equal', 'Erf', 'Expand', 'Flatten', 'Gather', 'Gemm', 'GlobalAveragePool', 'GridSample',
    'Identity', 'LayerNormalization', 'MatMul', 'Mod', 'Mul', 'Pad', 'Pow', 'ReduceL2',
    'ReduceMean', 'Relu', 'Reshape', 'Shape', 'Slice', 'Softmax', 'Split', 'Sqrt', 'Squeeze',
    'Sub', 'Tanh', 'Tile', 'Transpose', 'Unsqueeze', 'Where',
}


@pytest.fixture(autouse=True, scope='module')
def fixture_one_thread():
    """Compute on one thread: tensors are small here, and threads that wait for cores are slow."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(name='exported', scope='module')
def fixture_exported(request, tmp_path_factory):
    """Export one student, with random weights."""
    torch.manual_seed(0)
    student = open_student(request.param, DIM, weights=None, image_size=SIZE).eval()
    path = tmp_path_factory.mktemp('export') / 'student.onnx'
    torch.onnx.export(
        student,
        (torch.randn(2, 3, SIZE, SIZE),),
        path,
        opset_version=17,
        dynamo=False,
        input_names=['image'],
        output_names=['embedding'],
        dynamic_axes={'image': {0: 'batch'}, 'embedding': {0: 'batch'}},
    )
    return student, path


@pytest.mark.parametrize(
    'exported', ['vit_s', 'swin_t', 'dat_t', 'efficientnet_lite0'], indirect=True
)
def test_onnx_runtime_computes_the_same(exported):
    """One image or three, and only with operators that TensorRT has."""
    student, path = exported
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    for batch in (1, 3):
        images = torch.randn(batch, 3, SIZE, SIZE)
        with torch.no_grad():
            expected = student(images).numpy()
        found = session.run(['embedding'], {'image': images.numpy()})[0]
        assert np.sum(found * expected, axis=1).min() > 0.9999
        np.testing.assert_allclose(found, expected, atol=1e-4)
    graph = onnx.load(path).graph
    assert {node.op_type for node in graph.node} <= TENSORRT


@pytest.mark.parametrize('exported', ['dat_t'], indirect=True)
def test_dat_has_few_dimensions_and_sizes_that_are_settled(exported):
    """What is computed from a shape is the batch alone; TensorRT takes eight dimensions."""
    _, path = exported
    graph = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True).graph
    ranks = [len(value.type.tensor_type.shape.dim) for value in graph.value_info]
    assert len(ranks) > 500 and max(ranks) <= 5
    # Features are sampled in four deformable blocks; bias tables are read by matrix products.
    operators = [node.op_type for node in graph.node]
    assert operators.count('GridSample') == 4
    assert operators.count('Shape') <= 10
