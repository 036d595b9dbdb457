# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The way from ONNX Runtime to TensorRT, as far as a machine without a GPU can go it."""
from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time

from edgevl_ros.backends import choice, open_backend
from edgevl_ros.backends.choice import Choice
from edgevl_ros.backends.cuda import open_cuda
from edgevl_ros.backends.engine_cache import EngineCache
from edgevl_ros.backends.engine_recipe import Target
from edgevl_ros.backends.engines import Engines
from edgevl_ros.backends.starting import begin_upgrade, open_first
from edgevl_ros.backends.switching import MOST_FAILURES
from edgevl_ros.backends.tensorrt_library import load_library
from edgevl_ros.backends.upgrade import Upgrade
from edgevl_ros.core.bundle import Bundle, check_golden, STARTER
from edgevl_ros.core.errors import BackendError
from edgevl_ros.core.settings import Settings
import pytest

try:
    open_cuda()
    HAS_GPU = True
except BackendError:
    HAS_GPU = False
without_a_gpu = pytest.mark.skipif(HAS_GPU, reason='there is a GPU here')
with_the_builder = pytest.mark.skipif(
    importlib.util.find_spec('tensorrt_rtx') is None, reason='tensorrt_rtx is not installed')
pytest.importorskip('onnxruntime', reason='ONNX Runtime labels first')


@pytest.fixture(name='bundle', scope='module')
def fixture_bundle(tiny_bundle):
    return Bundle.open(tiny_bundle)


class Started:
    """A backend and its upgrade, and all that was said."""

    def __init__(self, bundle, make=begin_upgrade, **settings):
        self.lines = []
        chosen = Settings().changed(settings)
        self.backend = open_first(chosen, bundle, self.say)
        self.upgrade = make(chosen, bundle, self.backend, self.say)

    def say(self, line, warning):
        self.lines.append((line, warning))

    def wait(self, seconds=60):
        deadline = time.monotonic() + seconds
        while not self.upgrade.ended:
            assert time.monotonic() < deadline, self.upgrade.status
            time.sleep(0.02)
        return self.upgrade.status


@without_a_gpu
@pytest.mark.parametrize(('wanted', 'warning'), [
    ('auto', False), ('tensorrt', True), ('tensorrt-fp16', True)])
def test_without_a_gpu_one_line_says_so_and_onnxruntime_stays(bundle, tmp_path, wanted, warning):
    started = Started(bundle, backend=wanted, engine_cache=str(tmp_path / 'engines'))
    status = started.wait()
    assert status.startswith('staying on onnxruntime (CPUExecutionProvider): expected ')
    assert 'install' in status or 'check' in status
    assert started.lines == [(status, warning)]
    assert check_golden(bundle, started.backend) > 0.99
    assert not (tmp_path / 'engines').exists()
    started.backend.close()


@pytest.mark.parametrize('wanted', ['onnxruntime'])
def test_who_asks_for_another_runtime_gets_no_upgrade(bundle, wanted):
    started = Started(bundle, backend=wanted)
    assert started.upgrade is None and started.lines == []
    started.backend.close()


class WithoutGpu(Upgrade):
    """Builds for a GPU that is not here; the engine then finds none to run on."""

    def _find_engines(self):
        cache = EngineCache.open(self._settings.engine_cache)
        return Engines(load_library('tensorrt_rtx'), Target((8, 6)), cache)


def build_here(*arguments):
    return WithoutGpu(*arguments)


@pytest.fixture(name='folder')
def fixture_folder(int8_engines, tmp_path):
    """Give a folder that has the engine of the small INT8 bundle."""
    return shutil.copytree(int8_engines.folder, tmp_path / 'engines')


@without_a_gpu
@with_the_builder
def test_the_engine_is_built_while_frames_are_labelled(int8_bundle, tmp_path):
    started = Started(
        int8_bundle, build_here, backend='tensorrt', engine_cache=str(tmp_path / 'engines'))
    seen = set()
    while not started.upgrade.ended:
        # Embeds the golden frames: labelling goes on.
        check_golden(int8_bundle, started.backend)
        seen.add(started.upgrade.status.partition(':')[0])
    assert {'building the engine for tensorrt', 'loading the engine of tensorrt'} & seen
    assert started.upgrade.status.startswith('staying on onnxruntime')
    assert 'NVIDIA' in started.upgrade.status
    assert [path.suffix for path in (tmp_path / 'engines').glob('*.engine')] == ['.engine']
    assert [line for line, warning in started.lines if warning] == [started.upgrade.status]
    started.backend.close()


@with_the_builder
def test_an_upgrade_can_be_given_up_in_the_middle_of_a_build(tmp_path):
    started = Started(
        Bundle.open(STARTER), build_here, backend='tensorrt',
        engine_cache=str(tmp_path / 'engines'))
    deadline = time.monotonic() + 60
    while 'building' not in started.upgrade.status:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert started.upgrade.cancel(20)
    assert 'cancelled' in started.upgrade.status
    assert list((tmp_path / 'engines').glob('*.engine')) == []
    # What was given up on purpose is no news.
    assert all('building' in line for line, _ in started.lines)
    started.backend.close()


@without_a_gpu
@with_the_builder
def test_auto_keeps_onnxruntime_and_names_every_reason(int8_bundle, folder):
    started = Started(int8_bundle, build_here, backend='auto', engine_cache=str(folder))
    status = started.wait()
    assert status.startswith('staying on onnxruntime (CPUExecutionProvider): no other can be used')
    assert 'tensorrt: expected an NVIDIA driver' in status
    assert 'tensorrt-fp16 was not compared: the bundle has no graph for it' in status
    # Tomorrow the driver may be there: nothing is remembered.
    assert list(folder.glob('choice-*')) == []
    started.backend.close()


class Measured(WithoutGpu):
    """Opens another session of ONNX Runtime in the place of an engine."""

    opened = 0

    def _open(self, engines, name):
        type(self).opened += 1
        engines.get(self._bundle, name, self._reporter)
        self.engine = open_backend('onnxruntime', self._bundle, threads=1)
        return self.engine, self._measure(name, self.engine)


@with_the_builder
def test_auto_measures_all_and_remembers_the_choice(int8_bundle, folder):
    """All but the engine's own run, for which a second session of ONNX Runtime stands here."""
    Measured.opened = 0
    for count in (1, 2):
        started = Started(
            int8_bundle, lambda *a: Measured(*a), backend='auto', engine_cache=str(folder))
        status = started.wait()
        assert 'lowest cosine' in status
        assert ('as measured before' in status) == (count == 2)
        assert check_golden(int8_bundle, started.backend) > 0.99
        started.backend.close()
    (note,) = folder.glob('choice-*.json')
    won = '"backend": "tensorrt"' in note.read_text().partition('"measured"')[0]
    # A winner is opened again, a loser is not.
    assert Measured.opened == (2 if won else 1)
    # Other threads are another comparison, and so is one that is asked for.
    for again, threads, notes in ((True, 2, 1), (False, 1, 2)):
        started = Started(
            int8_bundle, lambda *a, again=again: Measured(*a, again), backend='auto',
            engine_cache=str(folder), threads=threads)
        assert 'as measured before' not in started.wait()
        assert len(list(folder.glob('choice-*.json'))) == notes
        started.backend.close()


@without_a_gpu
@with_the_builder
def test_a_remembered_winner_that_fails_is_compared_anew(int8_bundle, folder):
    settings = {'backend': 'auto', 'engine_cache': str(folder)}
    started = Started(int8_bundle, build_here, **settings)
    started.wait()
    started.backend.close()
    engines = started.upgrade._find_engines()
    winner = Choice('tensorrt', (choice.Measured('tensorrt', 1.0, 0.1),))
    engines.cache.store_note(
        started.upgrade._note_name(engines, ['tensorrt']), winner.note())
    started = Started(int8_bundle, build_here, **settings)
    assert 'no other can be used' in started.wait()
    assert 'what was fastest before cannot be used now' in started.lines[0][0]
    started.backend.close()


@with_the_builder
def test_a_gpu_that_fails_later_gives_the_frames_back(int8_bundle, folder):
    started = Started(
        int8_bundle, lambda *a: Measured(*a), backend='tensorrt', engine_cache=str(folder))
    assert started.wait().startswith('labelling on')
    before, _ = started.lines[-1]
    # Every batch fails from now on.
    started.upgrade.engine.close()
    failures = 0
    while failures < 2 * MOST_FAILURES:
        try:
            check_golden(int8_bundle, started.backend)
            break
        except BackendError:
            failures += 1
    assert failures == MOST_FAILURES - 1
    line, warning = started.lines[-1]
    assert warning and line != before
    assert 'again: the GPU has failed' in line and 'again' in started.upgrade.status
    started.backend.close()


BROKEN = {
    'no libnvinfer': "raise ImportError('libnvinfer.so.10: cannot open shared object file')",
    'wrong libnvinfer': "raise OSError('libnvinfer.so.10: undefined symbol')",
    'too old': "__version__ = '8.5.3.1'\nclass Builder: pass",
    'stubs alone': '',
}
LOAD = """
from edgevl_ros.backends.tensorrt_library import load_library
from edgevl_ros.core.errors import BackendError
try:
    load_library('tensorrt')
except BackendError as error:
    print(error)
"""


@pytest.mark.parametrize('kind', BROKEN)
def test_a_tensorrt_that_cannot_be_used_is_told_in_one_line(tmp_path, kind):
    package = tmp_path / 'tensorrt'
    package.mkdir()
    (package / '__init__.py').write_text(BROKEN[kind])
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, '-c', LOAD], env={**os.environ, 'PYTHONPATH': path}, text=True,
        stdout=subprocess.PIPE, check=True)
    (line,) = done.stdout.splitlines()
    assert line.startswith('expected TensorRT, found none (tensorrt: ')
    assert 'install TensorRT 8.6 or later' in line


def test_a_robot_without_onnxruntime_is_told_what_it_lacks(bundle):
    """With TensorRT alone it would build at once; with neither, both are named."""
    code = (
        'import sys; sys.modules["onnxruntime"] = None\n'
        'from edgevl_ros.backends.starting import open_first\n'
        'from edgevl_ros.core.bundle import Bundle\n'
        'from edgevl_ros.core.errors import EdgeVLError\n'
        'from edgevl_ros.core.settings import Settings\n'
        'try:\n'
        '    open_first(Settings(), Bundle.open(sys.argv[1]), lambda line, _: print(line))\n'
        'except EdgeVLError as error:\n'
        '    print(error)\n')
    if HAS_GPU:
        pytest.skip('there is a GPU here')
    done = subprocess.run(
        [sys.executable, '-c', code, str(bundle.path)], text=True, stdout=subprocess.PIPE,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith('TensorRT has to do alone: expected ONNX Runtime')
    assert 'pip install onnxruntime' in second and 'expected ' in second.partition(';')[2]


@with_the_builder
def test_a_bundle_without_a_graph_for_tensorrt_stays_where_it_is(tiny_bundle, tmp_path):
    import json

    folder = shutil.copytree(tiny_bundle, tmp_path / 'bundle')
    manifest = json.loads((folder / 'manifest.json').read_text())
    del manifest['models']['tensorrt']
    (folder / 'manifest.json').write_text(json.dumps(manifest))
    started = Started(
        Bundle.open(folder), build_here, backend='tensorrt',
        engine_cache=str(tmp_path / 'engines'))
    status = started.wait()
    assert status.startswith('staying on onnxruntime')
    assert 'expected a model for tensorrt' in status
    started.backend.close()
