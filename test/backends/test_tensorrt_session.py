# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT's runtime and the driver's bindings, as far as they go without a GPU."""
from __future__ import annotations

import gc
from pathlib import Path
import re
import shutil
import subprocess
import sys
import threading
import weakref

import pytest

pytest.importorskip('onnx', reason='onnx makes the graphs that are built')
pytest.importorskip(
    'tensorrt_rtx', reason='tensorrt_rtx is not installed', exc_type=ImportError)

from edgevl_ros.backends import cuda_python, tensorrt_backend, tensorrt_log  # noqa: E402, I100
from edgevl_ros.backends.cuda import open_cuda  # noqa: E402
from edgevl_ros.backends.engine_cache import EngineCache  # noqa: E402
from edgevl_ros.backends.engine_recipe import Target  # noqa: E402
from edgevl_ros.backends.engines import Engines  # noqa: E402
from edgevl_ros.backends.precisions import float_layers  # noqa: E402
from edgevl_ros.backends.tensorrt_backend import open_tensorrt, TensorRTBackend  # noqa: E402
from edgevl_ros.backends.tensorrt_library import load_library  # noqa: E402
from edgevl_ros.backends.tensorrt_session import EngineRefused, Session  # noqa: E402
from edgevl_ros.core.backend import embedding_spec, image_spec  # noqa: E402
from edgevl_ros.core.errors import BackendError  # noqa: E402
from support.build_notes import Notes  # noqa: E402
from support.tiny_int8 import DIM, SIZE, tiny_int8  # noqa: E402

try:
    open_cuda()
    pytest.skip('there is a GPU here', allow_module_level=True)
except BackendError:
    pass


class NoDriver:
    """Stands for a GPU's driver, which is not here; TensorRT finds out by itself."""

    name, stream = 'no driver', 0

    def __init__(self):
        self.calls = []

    def device(self):
        return Target((8, 6), 'none')

    def attach(self):
        self.calls.append('attach')

    def detach(self):
        self.calls.append('detach')


@pytest.fixture(name='library', scope='module')
def fixture_library():
    return load_library('tensorrt_rtx')


def open_session(library, content):
    """Open a session that is refused; return the reason and who held the driver."""
    cuda = NoDriver()
    try:
        Session(library, cuda, content, image_spec(SIZE), embedding_spec(DIM))
    # Kept by nobody, as `pytest.raises` would: it holds all that it came through.
    except EngineRefused as error:
        return str(error), cuda
    return pytest.fail('it was taken')


@pytest.mark.parametrize('whole', [True, False])
def test_an_engine_that_cannot_be_loaded_is_refused_with_the_reason(
        library, int8_engines, whole):
    content = int8_engines.engine.content
    said, cuda = open_session(library, content if whole else b'no engine')
    assert 'edgevl engine build' in said and 'it says no reason' not in said
    assert cuda.calls == ['attach', 'detach']


def test_a_session_that_failed_goes_at_once(library, int8_engines):
    """What waited for the collector would go while TensorRT calls its logger, and deadlock."""
    gc.disable()
    try:
        _, cuda = open_session(library, int8_engines.engine.content)
        watched = weakref.ref(cuda)
        del cuda
        assert watched() is None
    finally:
        gc.enable()
    assert tensorrt_log._hearing == {}


def test_a_backend_that_failed_leaves_no_thread(library, int8_engines, int8_bundle):
    before = threading.active_count()
    with pytest.raises(EngineRefused):
        TensorRTBackend(
            int8_bundle, library, NoDriver(), int8_engines.engine.content, 'int8')
    assert threading.active_count() == before


def test_an_engine_that_does_not_load_is_built_once_more_and_then_given_up(
        library, int8_engines, int8_bundle, tmp_path, monkeypatch):
    """As where the driver is older than this TensorRT."""
    monkeypatch.setattr(tensorrt_backend, 'open_cuda', NoDriver)
    folder, notes = shutil.copytree(int8_engines.folder, tmp_path / 'engines'), Notes()
    engines = Engines(library, Target((8, 6)), EngineCache(folder))
    with pytest.raises(EngineRefused, match='expected an engine for this tensorrt_rtx'):
        open_tensorrt(int8_bundle, 'tensorrt', engines, notes)
    assert 'the engine from the cache is built anew' in notes.lines[0]
    assert 'building an engine' in notes.lines[1] and len(notes.lines) == 2
    assert notes.stages == ['loading the engine of tensorrt'] * 2
    # Nothing of it counts as an end of the process.
    assert list(folder.glob('attempt-*.json')) == []


def test_there_is_one_logger_and_who_hears_comes_and_goes(library):
    logger = library.logger()
    assert load_library('tensorrt_rtx').logger() is logger
    severity = library.trt.ILogger.Severity
    with tensorrt_log.heard() as first:
        logger.log(severity.ERROR, 'one  error')
        thread = threading.Thread(target=logger.log, args=(severity.ERROR, 'of its own thread'))
        thread.start()
        thread.join()
        with tensorrt_log.heard() as second:
            logger.log(severity.INFO, 'no error')
            assert second.reason() == 'it says no reason'
        assert first.reason() == 'one error'
        assert first.reason() == 'it says no reason'
    logger.log(severity.ERROR, 'to nobody')
    assert first.reason() == 'it says no reason'


def test_sessions_on_two_threads_hear_their_own_errors(library):
    logger, error = library.logger(), library.trt.ILogger.Severity.ERROR
    reasons = {}

    def use(name):
        with tensorrt_log.heard() as hearing:
            both.wait(10)
            logger.log(error, name)
            both.wait(10)
            reasons[name] = hearing.reason()

    both = threading.Barrier(2)
    threads = [threading.Thread(target=use, args=(name,)) for name in ('one', 'other')]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reasons == {'one': 'one', 'other': 'other'}


def test_the_norm_of_the_embedding_stays_float_where_flags_decide(library):
    """Half precision may be taken wherever TensorRT before 10 is not told otherwise."""
    api = library.trt
    builder = api.Builder(library.logger())
    network = builder.create_network(0)
    parser = api.OnnxParser(network, library.logger())
    assert parser.parse(tiny_int8())
    kept = {str(layer.type).rpartition('.')[2] for layer in float_layers(api, network)}
    assert {'REDUCE', 'ELEMENTWISE', 'UNARY'} <= kept
    assert not any(layer.name in ('first', 'second') for layer in float_layers(api, network))
    # The mean before the last product is not among them.
    reduced = [layer for layer in float_layers(api, network) if str(layer.type).endswith('REDUCE')]
    assert len(reduced) == 1


STUB = 'int cuInit(unsigned flags) { return 100; }'
OPEN = """
from edgevl_ros.backends.cuda import open_cuda
from edgevl_ros.core.errors import BackendError
try:
    open_cuda()
except BackendError as error:
    print(error)
"""


def test_a_driver_that_cannot_be_used_is_told_in_one_line(tmp_path):
    """A library of that name is there, as from a CUDA toolkit, and no GPU behind it."""
    compiler = shutil.which('cc') or pytest.skip('there is no C compiler')
    (tmp_path / 'stub.c').write_text(STUB)
    subprocess.run(
        [compiler, '-shared', '-fPIC', '-o', tmp_path / 'libcuda.so.1', tmp_path / 'stub.c'],
        check=True)
    done = subprocess.run(
        [sys.executable, '-c', OPEN], text=True, stdout=subprocess.PIPE, check=True,
        env={'LD_LIBRARY_PATH': str(tmp_path), 'PYTHONPATH': ':'.join(filter(None, sys.path))})
    (line,) = done.stdout.splitlines()
    assert line.startswith('expected a GPU that PyCUDA or cuda-python can use, found none (')


def test_every_function_of_the_driver_that_is_called_exists():
    driver = pytest.importorskip(
        'cuda.bindings.driver', reason='cuda-python is not installed', exc_type=ImportError)
    source = Path(cuda_python.__file__).read_text()
    names = set(re.findall(r"'(cu[A-Z]\w+)'", source))
    assert len(names) > 12
    assert [name for name in sorted(names) if not hasattr(driver, name)] == []
    kinds = driver.CUdevice_attribute
    for kind in cuda_python._ATTRIBUTES:
        assert hasattr(kinds, f'CU_DEVICE_ATTRIBUTE_{kind}')
