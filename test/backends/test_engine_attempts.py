# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An engine whose loading ends the process is not loaded for ever; nothing else counts."""
from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

from edgevl_ros.backends.engine_attempts import attempting, forgive, MOST_ATTEMPTS
from edgevl_ros.backends.engine_cache import EngineCache
from edgevl_ros.core.errors import BackendError
import pytest
from support.engine_key import KEY


@pytest.fixture(name='cache')
def fixture_cache(tmp_path):
    return EngineCache(tmp_path / 'engines')


def trying(cache, key=KEY):
    return attempting(cache, key, lambda: False, lambda: None)


def notes(cache):
    return list(cache.folder.glob('attempt-*.json'))


TRY = """
from pathlib import Path
import os, sys, threading, time
sys.path.insert(0, sys.argv[2])
from test_engine_attempts import EngineCache, forgive, trying
cache = EngineCache(Path(sys.argv[1]))
if sys.argv[3] == 'daemon':
    entered = threading.Event()
    def try_long():
        with trying(cache):
            entered.set()
            time.sleep(60)
    threading.Thread(target=try_long, daemon=True).start()
    entered.wait(30)
    sys.exit(0)
with trying(cache):
    print('in', flush=True)
    if sys.argv[3] == 'crash':
        os.abort()
    if sys.argv[3] == 'leave':
        forgive()
        os._exit(0)
    time.sleep(0.2)
print('out', flush=True)
"""


def start(cache, how):
    """Let another process try the engine."""
    return subprocess.Popen(
        [sys.executable, '-c', TRY, cache.folder, Path(__file__).parent, how], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))})


def end_of(process):
    said, _ = process.communicate(timeout=60)
    return process.returncode, said.split()


def test_an_engine_that_ends_the_process_twice_is_left_alone(cache):
    """Else a node that is started anew whenever it dies would never label."""
    with trying(cache):
        assert len(notes(cache)) == 1
    assert notes(cache) == []
    for _ in range(MOST_ATTEMPTS):
        status, said = end_of(start(cache, 'crash'))
        assert status < 0 and said == ['in']
    with pytest.raises(BackendError, match='2 attempts.*remove') as refused:
        with trying(cache):
            pytest.fail('tried a third time')
    (path,) = notes(cache)
    assert str(path) in str(refused.value)
    path.unlink()
    with trying(cache):
        pass


def test_nodes_that_start_at_once_all_get_in(cache):
    """Three cameras are three nodes with one bundle."""
    processes = [start(cache, 'wait') for _ in range(3)]
    assert [end_of(process) for process in processes] == [(0, ['in', 'out'])] * 3
    assert notes(cache) == []


def test_who_is_ended_on_purpose_is_forgiven(cache):
    """A second Ctrl-C, or a node that is told to stop while the engine loads."""
    for _ in range(MOST_ATTEMPTS):
        assert end_of(start(cache, 'leave')) == (0, ['in'])
    with trying(cache):
        forgive()
        assert notes(cache) == []
    with trying(cache):
        pass


def test_an_interpreter_that_ends_in_order_is_forgiven(cache):
    """Its daemon threads stop where they are."""
    assert end_of(start(cache, 'daemon')) == (0, [])
    assert notes(cache) == []


def test_ends_before_this_machine_was_started_do_not_count(cache, monkeypatch, tmp_path):
    """They may have been power cuts."""
    for _ in range(MOST_ATTEMPTS):
        end_of(start(cache, 'crash'))
    (tmp_path / 'boot').write_text('another one')
    monkeypatch.setattr('edgevl_ros.backends.engine_attempts._BOOT', tmp_path / 'boot')
    with trying(cache):
        pass


def test_an_attempt_that_merely_fails_is_not_counted(cache):
    for _ in range(2 * MOST_ATTEMPTS):
        with pytest.raises(BackendError, match='no GPU today'):
            with trying(cache):
                raise BackendError('no GPU today')


def test_a_folder_that_cannot_be_written_to_keeps_nobody_from_trying(cache):
    cache.folder.rmdir()
    tried = []
    with trying(cache):
        tried.append(1)
    assert tried


@pytest.mark.parametrize('text', ['{"failed": "x"}', '{"failed": [2]}', '[]', ''])
def test_a_mark_that_says_nothing_does_not_count(cache, text):
    cache.note_path(f'attempt-{KEY.digest}').write_text(text)
    with trying(cache):
        pass
