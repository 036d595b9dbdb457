# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The starter bundle as it is shipped: whole, small, INT8, and the same on both runtimes."""

import csv
import json
import os
from pathlib import Path

import cv2
from edgevl_ros.core.bundle import Bundle, STARTER
from edgevl_ros.core.files import sha256_of
import numpy as np
import onnx
from onnx import numpy_helper, TensorProto
import onnxruntime as ort
import pytest

MAX_BYTES = 15_000_000
MAX_FLOATS = 100_000
GRAPHS = ('student.cpu.onnx', 'student.onnx')
ROBOT_WORDS = (
    'kitchen', 'corridor', 'hallway', 'elevator lobby', 'charging station', 'staircase',
    'restroom', 'operating room', 'loading dock', 'warehouse', 'barn', 'forest', 'parking lot',
    'annualcrop', 'herbaceous vegetation', 'highway', 'sea lake', 'pallet', 'wheelchair',
    'tabby', 'tabby cat', 'french horn', 't shirt',
)


@pytest.fixture(name='bundle', scope='module')
def fixture_bundle():
    """Open the shipped bundle once."""
    return Bundle.open('')


def embed(graph, images, optimize=True):
    """Run a shipped graph on the CPU."""
    options = ort.SessionOptions()
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(
        str(STARTER / graph), options, providers=['CPUExecutionProvider']
    )
    return session.run(None, {'image': images})[0]


def test_it_fits(bundle):
    """At most 15 MB, and nothing lies there that the manifest does not list."""
    files = {path.name: path.stat().st_size for path in STARTER.iterdir()}
    assert sum(files.values()) <= MAX_BYTES
    manifest = json.loads((STARTER / 'manifest.json').read_text())
    assert set(files) == {*manifest['files'], 'manifest.json'}
    for name, entry in manifest['files'].items():
        assert sha256_of(STARTER / name) == entry['sha256'], name
    assert bundle.embedding_dim == 384


@pytest.mark.parametrize('graph', GRAPHS)
def test_weights_are_stored_as_int8(graph):
    """Every weight of some size is int8; float is left for scales and biases."""
    model = onnx.load(STARTER / graph)
    sizes = {}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        sizes[array.dtype] = sizes.get(array.dtype, 0) + array.size
        if array.ndim > 1:
            assert array.dtype == np.int8, tensor.name
    assert sizes[np.dtype(np.int8)] > 6_000_000
    assert sizes[np.dtype(np.float32)] < MAX_FLOATS


@pytest.mark.parametrize('graph', GRAPHS)
def test_matrix_weights_leave_a_bit_for_processors_without_vnni(graph):
    """Two products of uint8 and such a weight always fit into 16 bits."""
    model = onnx.load(STARTER / graph)
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    weights = {name: array for name, array in arrays.items() if name.endswith('.weight.int8')}
    assert len(weights) == 65
    for name, weight in weights.items():
        depthwise = weight.ndim == 4 and weight.shape[1] == 1
        assert np.abs(weight.astype(int)).max() <= (127 if depthwise else 63), name


@pytest.mark.parametrize('graph', GRAPHS)
def test_old_runtimes_can_read_it(graph):
    """Opset and format are those of ONNX Runtime 1.16, and the batch may have any size."""
    model = onnx.load(STARTER / graph)
    assert model.ir_version <= 9
    assert [opset.version for opset in model.opset_import] == [17]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == 'batch'
    onnx.checker.check_model(str(STARTER / graph), full_check=True)


def test_zero_points_suit_each_runtime():
    """Only int8 with zero point 0 for TensorRT; only uint8 with 128 between operators on a CPU."""
    cpu, tensorrt = (onnx.load(STARTER / graph) for graph in GRAPHS)
    for model, dtype, value in ((cpu, TensorProto.UINT8, 128), (tensorrt, TensorProto.INT8, 0)):
        tensors = {t.name: t for t in model.graph.initializer}
        nodes = [node for node in model.graph.node if node.op_type == 'QuantizeLinear']
        assert len(nodes) > 50
        for node in nodes:
            zero_point = tensors[node.input[2]]
            assert zero_point.data_type == dtype
            assert numpy_helper.to_array(zero_point) == value


def test_golden_embeddings_come_out_again(bundle):
    """What was recorded when the bundle was made is what this machine computes."""
    for modality, inputs in bundle.golden.inputs.items():
        found = embed('student.cpu.onnx', inputs)
        cosines = np.sum(found * bundle.golden.embeddings[modality], axis=1)
        assert cosines.min() > 0.99, modality
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_golden_depth_has_readings_and_a_hole(bundle):
    """Every golden frame exercises metres as well as pixels without a reading."""
    for frame in bundle.golden.frames:
        assert 0.001 < np.isnan(frame.depth).mean() < 0.4
        assert 0.4 < np.nanmin(frame.depth) < np.nanmax(frame.depth) < 8


def test_both_graphs_compute_the_same(bundle):
    """The graph for TensorRT, run as the ONNX standard defines it, gives the same embeddings."""
    images = np.concatenate(list(bundle.golden.inputs.values()))
    cosines = np.sum(embed(GRAPHS[0], images) * embed(GRAPHS[1], images, optimize=False), axis=1)
    assert cosines.min() > 0.999


def test_phrases(bundle):
    """At least 4,000 distinct phrases, robots' words and the ImageNet names among them."""
    with np.load(STARTER / 'phrases.npz', allow_pickle=False) as archive:
        phrases = [str(phrase) for phrase in archive['phrases']]
        assert archive['embeddings'].dtype == np.float16
    assert len(phrases) >= 4000
    assert len(set(phrases)) == len(phrases)
    assert all(phrase == ' '.join(phrase.lower().split()) for phrase in phrases)
    assert set(ROBOT_WORDS) <= set(phrases)
    assert 25 <= len(bundle.vocabulary.labels) <= 40


def test_words_mean_something(bundle):
    """Near in meaning is near in space, whatever the spelling."""
    labels = ['restroom', 'toilet', 'forest', 'home_office', 'study room']
    words = bundle.phrases.vocabulary(labels)
    near = words.embeddings @ words.embeddings.T
    assert near[0, 1] > near[0, 2]
    assert near[3, 4] > near[2, 4]


def nyuv2():
    """Give the folder of labelled pictures, or skip."""
    if 'EDGEVL_TEST_DATA' not in os.environ:
        pytest.skip('EDGEVL_TEST_DATA is not set: no labelled pictures here')
    return Path(os.environ['EDGEVL_TEST_DATA'], 'nyuv2_train')


def test_real_rooms_are_recognised_and_both_graphs_agree(bundle):
    """A sample of real rooms: far above the chance of 1 in 27, and equal on both runtimes."""
    folder = nyuv2()
    with (folder / 'labels.csv').open(newline='') as stream:
        rows = list(csv.DictReader(stream))
    words = bundle.phrases.vocabulary(sorted({row['label'] for row in rows}))
    sample = rows[::20]
    images = np.stack(
        [
            bundle.preprocess.rgb_input(
                cv2.imread(str(folder / 'rgb' / f'{row["stem"]}.jpg'))[..., ::-1]
            )
            for row in sample
        ]
    )
    cpu, tensorrt = embed(GRAPHS[0], images), embed(GRAPHS[1], images, optimize=False)
    cosines = np.sum(cpu * tensorrt, axis=1)
    assert cosines.mean() > 0.999
    best = [words.labels[i] for i in (cpu @ words.embeddings.T).argmax(1)]
    assert np.mean([a == row['label'] for a, row in zip(best, sample)]) > 0.25


def test_tensorrt_compiles_it():
    """Every node of student.onnx is accepted by TensorRT for RTX, which builds on a CPU."""
    trt = pytest.importorskip(
        'tensorrt_rtx', reason='tensorrt_rtx is not installed', exc_type=ImportError
    )
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    parsed = parser.parse_from_file(str(STARTER / 'student.onnx'))
    assert parsed, [parser.get_error(i).desc() for i in range(parser.num_errors)]
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    profile = builder.create_optimization_profile()
    profile.set_shape('image', (1, 3, 260, 260), (1, 3, 260, 260), (2, 3, 260, 260))
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    assert engine is not None
    assert engine.nbytes < 20_000_000
