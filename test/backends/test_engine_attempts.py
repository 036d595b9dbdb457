# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An engine whose loading ends the process is not loaded for ever."""
from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

import pytest

pytest.importorskip('onnx', reason='onnx makes the graphs that are built')
pytest.importorskip(
    'tensorrt_rtx', reason='tensorrt_rtx is not installed', exc_type=ImportError)

from edgevl_ros.backends.engine_cache import EngineCache  # noqa: E402, I100
from edgevl_ros.backends.engine_recipe import Target  # noqa: E402
from edgevl_ros.backends.engines import Engine, Engines  # noqa: E402
from edgevl_ros.backends.tensorrt_library import load_library  # noqa: E402
from edgevl_ros.core.errors import BackendError  # noqa: E402


@pytest.fixture(name='engines')
def fixture_engines(tmp_path):
    return Engines(
        load_library('tensorrt_rtx'), Target((8, 6)), EngineCache(tmp_path / 'engines'))


@pytest.fixture(name='engine')
def fixture_engine(engines, int8_bundle):
    return Engine(engines.key(int8_bundle, 'tensorrt'), b'', built=False)


CRASH = """
from pathlib import Path
import os, sys
from edgevl_ros.backends.engine_cache import EngineCache
from edgevl_ros.backends.engine_recipe import Target
from edgevl_ros.backends.engines import Engine, Engines
from edgevl_ros.backends.tensorrt_library import load_library
from edgevl_ros.core.bundle import Bundle
engines = Engines(load_library('tensorrt_rtx'), Target((8, 6)), EngineCache(Path(sys.argv[1])))
key = engines.key(Bundle.open(sys.argv[2]), 'tensorrt')
with engines.attempting(Engine(key, b'', built=False)):
    os.abort()
"""


def test_an_engine_that_ends_the_process_twice_is_left_alone(engines, engine, int8_bundle):
    """Else a node that is started anew whenever it dies would never label."""
    with engines.attempting(engine):
        assert [path.suffix for path in engines.cache.folder.iterdir()] == ['.json']
    assert list(engines.cache.folder.iterdir()) == []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, '-c', CRASH, engines.cache.folder, int8_bundle.path],
            stderr=subprocess.DEVNULL,
            env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))})
        assert done.returncode < 0
    with pytest.raises(BackendError, match='2 attempts.*remove') as refused:
        with engines.attempting(engine):
            pytest.fail('tried a third time')
    Path(str(refused.value).split()[-4]).unlink()
    with engines.attempting(engine):
        pass


def test_an_attempt_that_merely_fails_is_not_counted(engines, engine):
    for _ in range(4):
        with pytest.raises(BackendError, match='no GPU today'):
            with engines.attempting(engine):
                raise BackendError('no GPU today')
