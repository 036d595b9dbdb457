# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Engines from graph to cache with the real builder, in the process that builds them."""
from __future__ import annotations

import contextlib
from dataclasses import replace
import os
from pathlib import Path
import shutil
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip('onnx', reason='onnx makes the graphs that are built')
pytest.importorskip(
    'tensorrt_rtx', reason='tensorrt_rtx is not installed', exc_type=ImportError)
pytest.importorskip('psutil', reason='psutil finds the process that builds')

from edgevl_ros.backends.engine_cache import EngineCache  # noqa: E402, I100
from edgevl_ros.backends.engine_process import build_in_process  # noqa: E402
from edgevl_ros.backends.engine_recipe import (  # noqa: E402
    BuildCancelled,
    EngineRecipe,
    OnnxGraph,
    Target,
)
from edgevl_ros.backends.engines import Engines, open_cache  # noqa: E402
from edgevl_ros.backends.tensorrt_library import load_library  # noqa: E402
from edgevl_ros.core.bundle import Bundle, STARTER  # noqa: E402
from edgevl_ros.core.errors import BackendError, BundleError  # noqa: E402
import psutil  # noqa: E402
from support.build_notes import Notes  # noqa: E402
from support.builders import builders_of  # noqa: E402
from support.tiny_bundle import write_manifest  # noqa: E402
from support.tiny_int8 import INT8_LAYERS, SIZE, tiny_int8  # noqa: E402

AMPERE = Target((8, 6))
RECIPE = EngineRecipe('int8', 'image', SIZE)


@pytest.fixture(name='library', scope='module')
def fixture_library():
    return load_library('tensorrt_rtx')


@pytest.fixture(name='bundle')
def fixture_bundle(int8_bundle):
    return int8_bundle


@pytest.fixture(name='engines')
def fixture_engines(library, int8_engines, tmp_path):
    """Give engines of a folder that has the small bundle's for SM86."""
    folder = shutil.copytree(int8_engines.folder, tmp_path / 'engines')
    return Engines(library, AMPERE, EngineCache(folder))


@pytest.fixture(name='tiny')
def fixture_tiny(bundle):
    return OnnxGraph.read(bundle.model_path('tensorrt'))


def builders():
    """Find the processes that build an engine for this one."""
    return builders_of(psutil.Process())


def test_an_engine_is_built_once_and_then_loaded(int8_engines, engines, bundle):
    built, notes = int8_engines.engine, Notes()
    loaded = engines.get(bundle, 'tensorrt', notes)
    assert (built.built, loaded.built) == (True, False)
    assert built.content == loaded.content
    assert sum(layer.is_int8 for layer in built.layers) == INT8_LAYERS
    (line,) = int8_engines.notes.lines
    assert 'building an engine (int8, batch 1 to 4) with tensorrt_rtx' in line
    assert int8_engines.notes.steps and notes.lines == notes.steps == []
    assert builders() == []


def test_a_damaged_engine_is_built_anew(int8_engines, engines, bundle):
    (path,) = engines.cache.folder.glob('*.engine')
    path.write_bytes(path.read_bytes()[:-1])
    notes = Notes()
    again = engines.get(bundle, 'tensorrt', notes)
    assert again.built and len(again.content) == len(int8_engines.engine.content)
    assert 'not used, and built anew' in notes.lines[0]
    assert not engines.get(bundle, 'tensorrt', Notes()).built


def test_an_engine_of_another_tensorrt_is_built_anew(library, engines, bundle):
    """After an update: the one of before stays, for going back."""
    other = Engines(replace(library, version='0.9.0'), AMPERE, engines.cache)
    assert other.get(bundle, 'tensorrt', Notes()).built
    for each in (other, engines):
        assert not each.get(bundle, 'tensorrt', Notes()).built


def test_a_jetson_keeps_its_engine_when_linux_leaves_it_other_memory(library, bundle):
    """So did four kernels on one 4 GB board; another size is another module."""
    def key(memory_bytes):
        target = Target((8, 7), 'Orin', 8, memory_bytes)
        return Engines(replace(library, name='tensorrt'), target, None).key(bundle, 'tensorrt')

    boards = {key(size) for size in (4148178944, 4148273152, 4148387840, 4156780544)}
    assert len(boards) == 1
    assert len(boards | {key(7_800_000_000), key(15_600_000_000)}) == 3


def test_an_engine_that_tensorrt_does_not_take_is_built_anew(engines, bundle):
    """It is whole and has the right key, and cannot be used all the same."""
    key = engines.key(bundle, 'tensorrt')
    engines.cache.store(key, b'of something else')
    notes = Notes()
    again = engines.get(bundle, 'tensorrt', notes, refused=b'of something else')
    assert again.built and engines.cache.load(key) == again.content


def test_where_nothing_is_to_be_built_what_is_kept_is_given(library, engines, bundle):
    given = Engines(library, AMPERE, engines.cache, builds=False)
    assert given.get(bundle, 'tensorrt', Notes()).content
    with pytest.raises(BackendError, match='edgevl engine build'):
        Engines(library, Target((8, 9)), engines.cache, builds=False).get(
            bundle, 'tensorrt', Notes())


def test_another_graph_is_another_engine(engines, bundle, tmp_path):
    folder = shutil.copytree(bundle.path, tmp_path / 'other')
    (folder / 'student.onnx').write_bytes(tiny_int8(seed=8))
    write_manifest(folder, {'rgb': 1.0, 'depth': 0.5})
    keys = {engines.key(each, 'tensorrt').digest for each in (bundle, Bundle.open(folder))}
    assert len(keys) == 2


def test_an_engine_for_rtx_is_for_any_gpu_of_its_kind(library, bundle):
    """So that one built elsewhere, even without a GPU, is found on the device."""
    there = Engines(library, Target((8, 6), 'NVIDIA GeForce RTX 3090', 82, 24 << 30), None)
    here = Engines(library, AMPERE, None)
    assert there.key(bundle, 'tensorrt') == here.key(bundle, 'tensorrt')
    assert here.key(bundle, 'tensorrt').capability == '8.6'


def test_an_engine_of_tensorrt_is_for_one_size_of_gpu(library, bundle):
    """Every module of a Jetson Orin is called Orin, and has 4 to 16 multiprocessors."""
    plain = replace(library, name='tensorrt', version='10.3.0')
    keys = {
        Engines(plain, Target((8, 7), 'Orin', count, size << 30), None).key(bundle, 'tensorrt')
        for count, size in ((8, 8), (8, 16), (16, 64))}
    assert len(keys) == 3


def test_without_a_cache_an_engine_is_built_all_the_same(library, bundle):
    assert Engines(library, AMPERE, None).get(bundle, 'tensorrt', Notes()).built


def test_a_place_that_cannot_be_a_folder_is_told_and_done_without(tmp_path):
    said = []
    (tmp_path / 'file').write_text('')
    assert open_cache(str(tmp_path / 'file'), said.append) is None
    assert 'engines are built but not kept' in said[0]


def test_an_engine_that_cannot_be_kept_is_used_all_the_same(library, bundle, tmp_path):
    """The disk fills up, or is taken away, while the engine is built."""
    engines = Engines(library, AMPERE, EngineCache(tmp_path / 'gone'))

    class Removes(Notes):
        """Takes the folder away."""

        def progress(self, _):
            shutil.rmtree(engines.cache.folder, ignore_errors=True)

    notes = Removes()
    assert engines.get(bundle, 'tensorrt', notes).content
    assert 'the engine is used but not kept' in notes.lines[-1]


def test_a_bundle_without_the_graph_is_refused(engines, bundle):
    with pytest.raises(BundleError, match='expected a model for tensorrt-fp16'):
        engines.get(bundle, 'tensorrt-fp16', Notes())


def test_what_the_builder_refuses_is_told_and_no_process_is_left(library, tiny):
    with pytest.raises(BackendError, match='refuses'):
        build_in_process(library.name, tiny, replace(RECIPE, input_size=64), AMPERE)
    assert builders() == []


def test_a_graph_that_changed_meanwhile_is_refused(library, tiny):
    with pytest.raises(BackendError, match='has changed meanwhile'):
        build_in_process(library.name, replace(tiny, sha256='ab'), RECIPE, AMPERE)


def test_weights_in_another_file_are_read_and_belong_to_the_key(tmp_path):
    """The starter bundle stores the weights of both placements once."""
    assert len(STARTER_GRAPH.model) < 1_000_000
    folder = shutil.copytree(STARTER, tmp_path / 'bundle')
    (folder / 'student.cpu.onnx').write_bytes(
        (folder / 'student.cpu.onnx').read_bytes()[:-1] + b'?')
    assert OnnxGraph.read(folder / 'student.onnx').sha256 != STARTER_GRAPH.sha256
    assert OnnxGraph.read(STARTER / 'student.onnx') == STARTER_GRAPH


def test_weights_that_lie_elsewhere_are_refused(tmp_path):
    folder = shutil.copytree(STARTER, tmp_path / 'bundle')
    (folder / 'student.cpu.onnx').rename(tmp_path / 'elsewhere')
    with pytest.raises(BackendError, match='expected a readable ONNX graph'):
        OnnxGraph.read(folder / 'student.onnx')
    (folder / 'student.cpu.onnx').symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(BackendError, match='found a link'):
        OnnxGraph.read(folder / 'student.onnx')


def test_a_process_that_dies_is_told(library):
    """As when the kernel ends it because memory has run out."""
    def kill(_):
        for process in builders():
            process.kill()

    with pytest.raises(BackendError, match='ended with -9.*memory'):
        build_in_process(library.name, STARTER_GRAPH, STARTER_RECIPE, AMPERE, report=kill)


def test_a_build_can_be_cancelled_at_once(library):
    """Also where TensorRT cannot: the process goes."""
    seen = []

    def cancelled():
        seen.extend(builders())
        return bool(seen)

    with pytest.raises(BuildCancelled):
        build_in_process(
            library.name, STARTER_GRAPH, STARTER_RECIPE, AMPERE, cancelled=cancelled)
    assert seen and not seen[0].is_running()


STARTER_GRAPH = OnnxGraph.read(STARTER / 'student.onnx')
STARTER_RECIPE = EngineRecipe('int8', 'image', 260)

BUILD = """
from pathlib import Path
import sys
from edgevl_ros.backends.engine_cache import EngineCache
from edgevl_ros.backends.engine_recipe import Target
from edgevl_ros.backends.engines import Engines
from edgevl_ros.backends.reporter import LogReporter
from edgevl_ros.backends.tensorrt_library import load_library
from edgevl_ros.core.bundle import Bundle
engines = Engines(load_library('tensorrt_rtx'), Target((8, 6)), EngineCache(Path(sys.argv[1])))
bundle = Bundle.open(sys.argv[2])
print('ready', flush=True)
sys.stdin.readline()
engine = engines.get(bundle, 'tensorrt', LogReporter(print))
print('built' if engine.built else 'loaded', len(engine.content), flush=True)
"""


def start_builder(folder, bundle):
    """Start a process that gets the engine when it is told to."""
    process = subprocess.Popen(
        [sys.executable, '-c', BUILD, folder, bundle.path], text=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == 'ready\n'
    return process


def test_of_two_nodes_that_start_at_once_one_builds(bundle, tmp_path):
    processes = [start_builder(tmp_path / 'engines', bundle) for _ in range(2)]
    for process in processes:
        process.stdin.write('go\n')
        process.stdin.flush()
    said = [process.communicate(timeout=120)[0].splitlines() for process in processes]
    kinds, sizes = zip(*(lines[-1].split() for lines in said))
    assert sorted(kinds) == ['built', 'loaded']
    assert sizes[0] == sizes[1]


def test_the_builder_ends_with_the_process_that_asked_for_it(tmp_path):
    bundle = Bundle.open(STARTER)
    process = start_builder(tmp_path / 'engines', bundle)
    process.stdin.write('go\n')
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while not (children := psutil.Process(process.pid).children()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def test_the_builder_leaves_time_and_memory_to_those_who_label(library, tiny):
    seen, before = [], threading.active_count()

    def look(_):
        for process in builders():
            with contextlib.suppress(psutil.Error, OSError):
                place = Path(f'/proc/{process.pid}/oom_score_adj').read_text()
                seen.append((process.nice(), os.sched_getscheduler(process.pid), int(place)))

    build_in_process(library.name, tiny, RECIPE, AMPERE, report=look)
    assert seen[-1] == (min(19, os.nice(0) + 10), os.SCHED_BATCH, 1000)
    assert threading.active_count() == before


def test_the_builder_imports_nothing_from_where_the_node_was_started(
        library, tiny, tmp_path, monkeypatch):
    (tmp_path / 'json.py').write_text("open('imported', 'w').close()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend('')
    with pytest.raises(BackendError, match='has changed meanwhile'):
        build_in_process(library.name, replace(tiny, sha256='ab'), RECIPE, AMPERE)
    assert [path.name for path in tmp_path.iterdir()] == ['json.py']


READ_ONLY = """
from pathlib import Path
import subprocess, sys
sys.path.insert(0, sys.argv[3])
from edgevl_ros.backends.engine_cache import EngineCache
from edgevl_ros.backends.engine_recipe import Target
from edgevl_ros.backends.engines import Engines
from edgevl_ros.backends.tensorrt_library import load_library
from edgevl_ros.core.bundle import Bundle
from support.build_notes import Notes
bundle, cache = Bundle.open(sys.argv[2]), EngineCache(Path(sys.argv[1]))
library, notes = load_library('tensorrt_rtx'), Notes()
subprocess.run(['mount', '-o', 'remount,ro', sys.argv[1]], check=True)
for target in (Target((8, 6)), Target((8, 9))):
    print(Engines(library, target, cache).get(bundle, 'tensorrt', notes).built)
print(*notes.lines, sep='\\n')
"""


def test_on_a_disk_that_is_read_only_engines_are_loaded_and_built(int8_engines, bundle, tmp_path):
    """A real one, as robots have: mounted for this test alone."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    mount = (
        'mount -t tmpfs -o size=16m,mode=700 none "$1" && cp "$2"/* "$1" && shift 2 && exec "$@"')
    command = ['unshare', '-Urm', 'sh', '-c', mount, 'sh', folder, int8_engines.folder]
    try:
        subprocess.run([*command, 'true'], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f'no file system can be mounted here: {error}')
    done = subprocess.run(
        [*command, sys.executable, '-c', READ_ONLY, folder, bundle.path,
         Path(__file__).parents[1]],
        stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))})
    loaded, built, *lines = done.stdout.splitlines()
    assert (loaded, built) == ('False', 'True')
    assert 'other processes may build the same engine' in lines[0]
    assert 'Read-only file system' in lines[0] and 'used but not kept' in lines[-1]


def test_the_worker_is_part_of_the_package():
    assert Path(sys.modules[build_in_process.__module__].__file__).with_name(
        'engine_worker.py').is_file()
