# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
TensorRT on a GPU, beyond what every backend must do (test_contract.py).

``benchmarks/gpu.sh`` runs these; elsewhere they are skipped.
"""
from __future__ import annotations

import subprocess
import threading
import time

from edgevl_ros.backends import open_backend
from edgevl_ros.backends.engine_cache import EngineCache
from edgevl_ros.backends.engine_layers import inspected_layers
from edgevl_ros.backends.starting import begin_upgrade, open_first
from edgevl_ros.core.bundle import Bundle, check_golden, STARTER
from edgevl_ros.core.errors import BackendError
from edgevl_ros.core.settings import Settings
import numpy as np
import pytest
from support.gpu import needs_gpu

pytestmark = needs_gpu
REPEATS = 20
# A CUDA context and a driver keep some memory for later; a leak grows each time.
MOST_GROWTH_MB = 8


@pytest.fixture(name='bundle', scope='module')
def fixture_bundle():
    return Bundle.open(STARTER)


@pytest.fixture(name='folder', scope='module')
def fixture_folder(tmp_path_factory):
    """Keep the engine for all tests here: building it takes a while."""
    return str(tmp_path_factory.mktemp('gpu') / 'engines')


@pytest.fixture(name='backend')
def fixture_backend(bundle, folder):
    backend = open_backend('tensorrt', bundle, threads=1, engine_cache=folder)
    yield backend
    backend.close()


def images(bundle, count, seed=0):
    side = bundle.preprocess.input_size
    random = np.random.default_rng(seed)
    return random.normal(size=(count, 3, side, side)).astype(np.float32)


def used_mb():
    """Read how much of the GPU's memory is in use, by everyone."""
    try:
        done = subprocess.run(
            ['nvidia-smi', '--query-gpu=memory.used', '--format=csv,noheader,nounits', '--id=0'],
            stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        pytest.skip('there is no nvidia-smi')
    # On a Jetson it says [N/A].
    if done.returncode or not done.stdout.strip().isdigit():
        pytest.skip('nvidia-smi does not tell how much memory is used')
    return int(done.stdout)


def test_it_sees_what_onnxruntime_sees(backend, bundle):
    other = open_backend('onnxruntime', bundle, threads=2)
    seen = images(bundle, 4)
    cosines = np.sum(backend.embed(seen) * other.embed(seen), axis=1)
    other.close()
    assert cosines.min() > bundle.cosine_floor


def test_its_layers_are_int8_indeed(backend):
    """Read from the types of tensors: their names say int8 in any case."""
    layers = inspected_layers(backend.layers())
    assert sum(layer.inputs[:1] == ('Int8',) for layer in layers) > 10, backend.layers()


def test_the_golden_frames_hold(backend, bundle):
    assert check_golden(bundle, backend) >= bundle.cosine_floor


def test_a_shape_that_stays_is_run_as_a_graph_and_gives_the_same(backend, bundle):
    seen = images(bundle, 1)
    first = backend.embed(seen)
    for _ in range(3):
        np.testing.assert_allclose(backend.embed(seen), first, atol=1e-5)
    if 'tensorrt_rtx' not in backend.name:
        assert backend.graph_in_use


def test_other_images_through_the_same_graph_give_other_rows(backend, bundle):
    expected = [backend.embed(images(bundle, 1, seed)) for seed in range(4)]
    again = [backend.embed(images(bundle, 1, seed)) for seed in range(4)]
    np.testing.assert_allclose(again, expected, atol=1e-5)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


def test_batches_of_changing_size_give_the_rows_of_each(backend, bundle):
    seen = images(bundle, 9)
    alone = np.concatenate([backend.embed(image[np.newaxis]) for image in seen])
    for count in (1, 4, 2, 2, 2, 3, 1, 1, 1, 9, 9, 9):
        rows = backend.embed(seen[:count])
        assert np.sum(rows * alone[:count], axis=1).min() > 0.999


def test_threads_may_take_turns(backend, bundle):
    """A node opens, uses and closes it on three threads."""
    seen, expected, problems = images(bundle, 1), None, []
    expected = backend.embed(seen)

    def embed():
        try:
            np.testing.assert_allclose(backend.embed(seen), expected, atol=1e-5)
        except Exception as error:
            problems.append(error)

    for _ in range(8):
        thread = threading.Thread(target=embed)
        thread.start()
        thread.join()
    assert problems == []


def test_opening_and_closing_again_and_again_leaks_nothing(bundle, folder):
    psutil = pytest.importorskip('psutil', reason='psutil reads the memory of this process')
    process = psutil.Process()

    def use():
        backend = open_backend('tensorrt', bundle, threads=1, engine_cache=folder)
        for _ in range(3):
            backend.embed(images(bundle, 1))
        backend.close()

    for _ in range(3):
        use()
    gpu, host, threads = used_mb(), process.memory_info().rss, threading.active_count()
    for _ in range(REPEATS):
        use()
    assert used_mb() - gpu <= MOST_GROWTH_MB
    assert (process.memory_info().rss - host) / 1e6 <= MOST_GROWTH_MB * 4
    assert threading.active_count() == threads


def test_an_engine_that_does_not_load_is_built_anew(bundle, folder):
    """The file is whole and the key is right, but what is in it is none of TensorRT's."""
    from edgevl_ros.backends.cuda import open_cuda
    from edgevl_ros.backends.engines import Engines
    from edgevl_ros.backends.tensorrt_library import load_library

    cache = EngineCache.open(folder)
    key = Engines(load_library(), open_cuda().device(), cache).key(bundle, 'tensorrt')
    cache.store(key, b'no engine' * 1000)
    backend = open_backend('tensorrt', bundle, threads=1, engine_cache=folder)
    assert check_golden(bundle, backend) >= bundle.cosine_floor
    backend.close()
    assert len(cache.load(key)) > 100_000


@pytest.mark.parametrize('wanted', ['tensorrt', 'auto'])
def test_frames_are_labelled_all_the_way_from_onnxruntime_to_tensorrt(bundle, tmp_path, wanted):
    said = []
    settings = Settings().changed({'backend': wanted, 'engine_cache': str(tmp_path / 'engines')})

    def say(line, warning):
        said.append((line, warning))

    backend = open_first(settings, bundle, say)
    expected = backend.embed(images(bundle, 1))
    upgrade = begin_upgrade(settings, bundle, backend, say)
    deadline, count = time.monotonic() + 900, 0
    while not upgrade.ended and time.monotonic() < deadline:
        row = backend.embed(images(bundle, 1))
        assert float(np.sum(row * expected)) > bundle.cosine_floor
        count += 1
    assert upgrade.ended and count > 0
    assert not any(warning for _, warning in said), said
    if wanted == 'tensorrt':
        assert backend.name.startswith('tensorrt')
    assert 'lowest cosine' in upgrade.status
    backend.close()
    with pytest.raises(BackendError, match='closed'):
        backend.embed(images(bundle, 1))
