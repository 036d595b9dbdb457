# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every backend must do; a backend that this machine lacks must say how to get it."""

import shutil

from edgevl_ros.backends import open_backend
from edgevl_ros.core.bundle import Bundle, check_golden
from edgevl_ros.core.errors import BackendError, BundleError
from edgevl_ros.core.settings import BACKENDS
import numpy as np
import pytest

pytest.importorskip('onnx', reason='onnx makes the graphs of the bundle')
from support.tiny_bundle import add_half_precision  # noqa: E402, I100


@pytest.fixture(scope='module')
def bundle(tiny_bundle, tmp_path_factory):
    """Give a bundle that has a graph for every backend."""
    folder = shutil.copytree(tiny_bundle, tmp_path_factory.mktemp('contract') / 'bundle')
    add_half_precision(folder)
    return Bundle.open(folder)


@pytest.fixture(scope='module')
def engine_cache(tmp_path_factory):
    """Keep engines for the tests here, and out of the user's own cache."""
    return str(tmp_path_factory.mktemp('engines') / 'own')


@pytest.fixture(params=BACKENDS)
def backend(request, bundle, engine_cache):
    """Open each backend in turn; skip those that this machine has no runtime for."""
    try:
        opened = open_backend(request.param, bundle, threads=1, engine_cache=engine_cache)
    except BackendError as error:
        assert 'install' in str(error) or 'check' in str(error)
        pytest.skip(f'{request.param}: {error}')
    yield opened
    opened.close()


def batch(bundle, size):
    side = bundle.preprocess.input_size
    random = np.random.default_rng(size)
    return random.normal(size=(size, 3, side, side)).astype(np.float32)


@pytest.mark.parametrize('size', [1, 2, 4])
def test_a_batch_becomes_unit_rows(backend, bundle, size):
    embeddings = backend.embed(batch(bundle, size))
    assert embeddings.shape == (size, bundle.embedding_dim)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-3)


def test_a_row_does_not_depend_on_its_neighbours(backend, bundle):
    images = batch(bundle, 4)
    alone = np.concatenate([backend.embed(image[np.newaxis]) for image in images])
    np.testing.assert_allclose(backend.embed(images), alone, atol=1e-3)


def test_the_same_batch_gives_the_same_embeddings_and_the_caller_keeps_them(backend, bundle):
    images = batch(bundle, 2)
    first = backend.embed(images)
    kept = first.copy()
    backend.embed(batch(bundle, 2) * 3)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_allclose(backend.embed(images), kept, atol=1e-6)


def test_the_golden_frames_hold(backend, bundle):
    assert check_golden(bundle, backend) >= bundle.cosine_floor


@pytest.mark.parametrize(
    'change',
    [
        lambda images: images.astype(np.float64),
        lambda images: images[:, :2],
        lambda images: images[0],
        lambda images: images[:, :, :-1],
        lambda images: images[:0],
    ],
    ids=['dtype', 'channels', 'axes', 'side', 'empty'],
)
def test_a_batch_that_does_not_fit_is_refused_and_the_next_is_embedded(backend, bundle, change):
    with pytest.raises(BackendError, match='expected'):
        backend.embed(change(batch(bundle, 2)))
    backend.embed(batch(bundle, 1))


def test_closing_twice_is_harmless_and_embedding_afterwards_is_refused(backend, bundle):
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match='closed'):
        backend.embed(batch(bundle, 1))


def test_names_and_specs_are_told(backend, bundle):
    assert backend.name
    side = bundle.preprocess.input_size
    assert backend.input_spec.shape == (None, 3, side, side)
    assert backend.output_spec.shape == (None, bundle.embedding_dim)


def test_the_half_precision_twin_gives_nearly_the_same(bundle):
    """As far as the CPU tells; the devices that choose it have no other graph."""
    import onnxruntime

    images = batch(bundle, 4)
    rows = [
        onnxruntime.InferenceSession(
            str(bundle.model_path(name)), providers=['CPUExecutionProvider']
        ).run(None, {'image': images})[0]
        for name in ('onnxruntime', 'tensorrt-fp16')
    ]
    assert np.sum(rows[0] * rows[1], axis=1).min() > 0.999


def test_an_unknown_backend_is_refused_with_the_known_ones(bundle):
    with pytest.raises(BackendError, match='expected a backend among auto, onnxruntime'):
        open_backend('openvino', bundle, threads=1)


def test_a_graph_that_is_none_is_refused(tiny_bundle, tmp_path):
    from support.tiny_bundle import write_manifest

    folder = shutil.copytree(tiny_bundle, tmp_path / 'bundle')
    (folder / 'student.cpu.onnx').write_bytes(b'no graph')
    write_manifest(folder, {'rgb': 1.0, 'depth': 0.5})
    with pytest.raises(BundleError, match='student.cpu.onnx: expected an ONNX graph'):
        Bundle.open(folder)


def test_a_graph_that_the_runtime_cannot_run_is_refused(tiny_bundle, tmp_path):
    import onnx
    from support.tiny_bundle import write_manifest

    folder = shutil.copytree(tiny_bundle, tmp_path / 'bundle')
    model = onnx.load(folder / 'student.cpu.onnx')
    model.graph.node[0].op_type = 'NoSuchOperator'
    onnx.save(model, folder / 'student.cpu.onnx')
    write_manifest(folder, {'rgb': 1.0, 'depth': 0.5})
    with pytest.raises(BackendError, match='refuses this graph'):
        open_backend('onnxruntime', Bundle.open(folder), threads=1)


def test_embeddings_that_are_no_numbers_are_refused(tiny_bundle, tmp_path):
    from support.tiny_bundle import break_student

    folder = shutil.copytree(tiny_bundle, tmp_path / 'bundle')
    break_student(folder)
    broken = Bundle.open(folder)
    backend = open_backend('onnxruntime', broken, threads=1)
    with pytest.raises(BackendError, match='expected unit rows, found one of norm nan'):
        backend.embed(batch(broken, 2))
    with pytest.raises(BackendError, match='expected unit rows'):
        check_golden(broken, backend)
    backend.close()


def test_embeddings_that_are_not_unit_rows_are_refused(tiny_bundle, tmp_path):
    import onnx
    from support.tiny_bundle import write_manifest

    folder = shutil.copytree(tiny_bundle, tmp_path / 'bundle')
    model = onnx.load(folder / 'student.cpu.onnx')
    model.graph.node[-1].CopyFrom(
        onnx.helper.make_node('Identity', ['features'], ['embedding'])
    )
    onnx.save(model, folder / 'student.cpu.onnx')
    write_manifest(folder, {'rgb': 1.0, 'depth': 0.5})
    backend = open_backend('onnxruntime', Bundle.open(folder), threads=1)
    with pytest.raises(BackendError, match='expected unit rows'):
        backend.embed(np.ones((1, 3, 32, 32), np.float32))
    backend.close()


def test_a_graph_with_other_ends_is_refused(tiny_bundle, tmp_path):
    import json

    import onnx
    from support.tiny_bundle import write_manifest

    folder = shutil.copytree(tiny_bundle, tmp_path / 'bundle')
    model = onnx.load(folder / 'student.cpu.onnx')
    model.graph.input[0].name = 'pixels'
    model.graph.node[0].input[0] = 'pixels'
    onnx.save(model, folder / 'student.cpu.onnx')
    write_manifest(folder, {'rgb': 1.0, 'depth': 0.5})
    assert json.loads((folder / 'manifest.json').read_text())
    with pytest.raises(BackendError, match='pixels'):
        open_backend('onnxruntime', Bundle.open(folder), threads=1)
