# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of engines: what is kept there, what is trusted, and what two processes do."""
from __future__ import annotations

from dataclasses import fields, replace
import json
import os
from pathlib import Path
import subprocess
import sys
import time

from edgevl_ros.backends.engine_cache import (
    ABANDONED_S,
    default_folder,
    ENGINE,
    EngineCache,
    EngineCacheError,
    MOST_ENGINES,
)
from edgevl_ros.backends.engine_recipe import BuildCancelled, EngineKey
import pytest
from support.engine_key import KEY

CONTENT = b'engine\n' * 1000


@pytest.fixture(name='cache')
def fixture_cache(tmp_path):
    return EngineCache(tmp_path / 'engines')


def refusals(cache, key=KEY):
    """Load an engine that should not be trusted; return what is said of it."""
    said = []
    assert cache.load(key, said.append) == b''
    return said


def test_what_was_stored_is_loaded(cache):
    assert refusals(cache) == []
    path = cache.store(KEY, CONTENT)
    assert cache.load(KEY) == CONTENT
    assert [p.name for p in cache.folder.iterdir()] == [path.name]


def test_folder_and_files_are_the_users_alone(cache):
    cache.store(KEY, CONTENT)
    cache.store_timing(KEY, b'measured')
    cache.store_note('choice', {'a': 1})
    modes = {p.stat().st_mode & 0o777 for p in cache.folder.iterdir()}
    assert modes == {0o600}
    assert cache.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize('name', [field.name for field in fields(EngineKey)])
def test_every_part_of_the_key_is_another_engine(cache, name):
    part = getattr(KEY, name)
    other = replace(part, precision='fp16') if name == 'recipe' else part + type(part)(1)
    cache.store(KEY, CONTENT)
    assert cache.load(replace(KEY, **{name: other})) == b''


@pytest.mark.parametrize('change', [
    {'precision': 'fp16'}, {'input_size': 225}, {'usual_batch': 2}, {'max_batch': 8},
    {'workspace_bytes': 1}, {'input_name': 'pixels'}])
def test_every_choice_of_the_recipe_is_another_engine(change):
    assert replace(KEY, recipe=replace(KEY.recipe, **change)).digest != KEY.digest


def test_an_engine_under_a_foreign_name_is_refused(cache):
    """As when somebody copies the folder of another device over this one's names."""
    foreign = replace(KEY, gpu='Xavier')
    cache.store(foreign, CONTENT).rename(cache.folder / (KEY.digest + ENGINE))
    (said,) = refusals(cache)
    assert 'expected an engine of this graph, TensorRT and GPU' in said


@pytest.mark.parametrize('damage', [
    lambda content: content[:-1],
    lambda content: content[:100],
    lambda content: content + b'x',
    lambda content: content[:-5] + b'X' + content[-4:],
    lambda content: content.partition(b'\n')[2],
    lambda _: b'',
    lambda _: b'[' * 5000 + b'\n',
    lambda _: b'{"schema": 2}\n',
    lambda _: b'\xff\xfe\n',
    lambda _: b'{}' + b' ' * (1 << 15) + b'\n',
], ids=['cut', 'header cut', 'longer', 'bit', 'no header', 'empty', 'nested', 'schema', 'bytes',
        'long header'])
def test_a_damaged_engine_is_refused_and_can_be_stored_again(cache, damage):
    path = cache.store(KEY, CONTENT)
    path.write_bytes(damage(path.read_bytes()))
    (said,) = refusals(cache)
    assert str(path) in said and 'built anew' in said
    cache.store(KEY, CONTENT)
    assert cache.load(KEY) == CONTENT


@pytest.mark.parametrize('mode', [0o620, 0o602, 0o666])
def test_an_engine_that_others_may_change_is_refused(cache, mode):
    cache.store(KEY, CONTENT).chmod(mode)
    (said,) = refusals(cache)
    assert 'only its owner' in said


def test_a_link_is_refused(cache, tmp_path):
    path = cache.store(KEY, CONTENT)
    path.rename(tmp_path / 'elsewhere')
    path.symlink_to(tmp_path / 'elsewhere')
    assert refusals(cache) != []


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_at_once(cache, make):
    make(cache.folder / (KEY.digest + ENGINE))
    assert refusals(cache) != []


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a file away')
def test_an_engine_of_another_user_is_refused(cache):
    os.chown(cache.store(KEY, CONTENT), 12345, 12345)
    (said,) = refusals(cache)
    assert 'only its owner' in said


@pytest.mark.parametrize('mode', [0o770, 0o707, 0o777])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path, mode):
    folder = tmp_path / 'open'
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(EngineCacheError, match='chmod 700'):
        EngineCache(folder)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / 'file').write_text('')
    for folder in (tmp_path / 'file', tmp_path / 'file' / 'below'):
        with pytest.raises(EngineCacheError, match='expected a folder'):
            EngineCache(folder)


@pytest.mark.parametrize(('given', 'expected'), [
    ('/somewhere', '/somewhere/edgevl_ros/engines'),
    ('', '/home/robot/.cache/edgevl_ros/engines'),
    ('relative', '/home/robot/.cache/edgevl_ros/engines')])
def test_the_users_own_folder_is_where_xdg_says(monkeypatch, given, expected):
    monkeypatch.setenv('XDG_CACHE_HOME', given)
    monkeypatch.setenv('HOME', '/home/robot')
    assert default_folder() == Path(expected)


def test_timing_caches_are_for_a_gpu_and_a_version(cache):
    assert cache.timing(KEY) == b''
    cache.store_timing(KEY, b'measured')
    assert cache.timing(replace(KEY, onnx_sha256='cd' * 32)) == b'measured'
    for change in ({'gpu': 'Xavier'}, {'version': '10.4.0'}, {'capability': '8.6'},
                   {'multiprocessors': 16}, {'memory_bytes': 1 << 34}):
        assert cache.timing(replace(KEY, **change)) == b''


def test_notes_come_back_and_damaged_ones_do_not(cache):
    assert cache.note('choice') == {}
    cache.store_note('choice', {'backend': 'tensorrt'})
    assert cache.note('choice') == {'backend': 'tensorrt'}
    for text in ('', '[]', '{"a":', '\0'):
        (cache.folder / 'choice.json').write_text(text)
        assert cache.note('choice') == {}


def test_the_longest_unused_engines_are_dropped(cache):
    keys = [replace(KEY, gpu=str(i)) for i in range(MOST_ENGINES + 2)]
    for age, key in enumerate(keys[:MOST_ENGINES]):
        path = cache.store(key, CONTENT)
        os.utime(path, (time.time() - 1000 + age,) * 2)
    # Loading is using.
    assert cache.load(keys[0])
    for key in keys[MOST_ENGINES:]:
        cache.store(key, CONTENT)
    kept = [key for key in keys if cache.load(key)]
    assert kept == [keys[0], *keys[3:]]


def test_what_a_killed_process_left_behind_is_swept(cache):
    old, new = cache.folder / 'old.partial', cache.folder / 'new.partial'
    for path in (old, new):
        path.write_bytes(b'half')
    os.utime(old, (time.time() - 2 * ABANDONED_S,) * 2)
    cache.store(KEY, CONTENT)
    assert (old.exists(), new.exists()) == (False, True)


def test_the_newest_engine_stays_on_a_robot_without_a_clock(cache):
    """It was started in 1970, as it thinks, and all that it finds is from the future."""
    for i in range(MOST_ENGINES):
        path = cache.store(replace(KEY, gpu=str(i)), CONTENT)
        os.utime(path, (time.time() + 1000 + i,) * 2)
    cache.store(KEY, CONTENT)
    assert cache.load(KEY) == CONTENT
    assert len(list(cache.folder.glob('*.engine'))) == MOST_ENGINES


def test_what_nobody_asked_for_in_months_is_swept_but_not_what_is_in_use(cache, holder):
    cache.store_timing(KEY, b'measured')
    cache.store_note('choice', {'a': 1})
    with cache.alone('unused', lambda: False, pytest.fail):
        pass
    for path in cache.folder.iterdir():
        os.utime(path, (time.time() - 1e8,) * 2)
    cache.store_note('choice of today', {'a': 1})
    cache.store(KEY, CONTENT)
    left = sorted(path.name for path in cache.folder.iterdir() if path.suffix != ENGINE)
    assert left == ['choice of today.json', 'tiny.lock']
    assert holder.poll() is None


HOLD = """
from pathlib import Path
import sys
sys.path.insert(0, sys.argv[2])
from test_engine_cache import KEY, EngineCache
with EngineCache(Path(sys.argv[1])).alone('tiny', lambda: False, lambda: None):
    print('held', flush=True)
    sys.stdin.read()
"""


@pytest.fixture(name='holder')
def fixture_holder(cache):
    """Let another process hold the lock; it lets go when its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, '-c', HOLD, cache.folder, Path(__file__).parent], env=environment(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'held\n'
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def environment():
    """Let another process import what this one does."""
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}


def test_only_one_process_builds_an_engine_at_a_time(cache, holder):
    told = []

    def waiting():
        told.append(holder.poll())
        holder.stdin.close()

    with cache.alone('tiny', lambda: False, waiting):
        pass
    assert told == [None]


def test_another_engine_need_not_wait(cache, holder):
    with cache.alone('other', lambda: False, pytest.fail):
        assert holder.poll() is None


def test_a_lock_goes_with_its_process(cache, holder):
    with cache.alone('tiny', lambda: False, holder.kill):
        assert holder.wait(10) != 0


def test_waiting_for_another_process_can_be_cancelled(cache, holder):
    with pytest.raises(BuildCancelled), cache.alone('tiny', lambda: True, pytest.fail):
        pytest.fail('built all the same')
    assert holder.poll() is None


FILL = """
from pathlib import Path
import sys
from dataclasses import replace
sys.path.insert(0, sys.argv[2])
from test_engine_cache import KEY, EngineCache, EngineCacheError
cache = EngineCache(Path(sys.argv[1]))
cache.store(KEY, b'small')
try:
    cache.store(replace(KEY, gpu='large'), bytes(1 << 20))
except EngineCacheError as error:
    print(error)
assert cache.load(KEY) == b'small'
print(sorted(path.suffix for path in cache.folder.iterdir()))
"""


def test_a_full_disk_is_told_and_leaves_nothing_half(tmp_path):
    """A real one: a file system of 256 kB, mounted for this test alone."""
    folder = tmp_path / 'full'
    folder.mkdir()
    mount = 'mount -t tmpfs -o size=256k,mode=700 none "$1" && shift && exec "$@"'
    command = ['unshare', '-Urm', 'sh', '-c', mount, 'sh', folder]
    try:
        subprocess.run([*command, 'true'], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f'no file system can be mounted here: {error}')
    done = subprocess.run(
        [*command, sys.executable, '-c', FILL, folder, Path(__file__).parent],
        stdout=subprocess.PIPE, text=True, check=True, env=environment())
    error, left = done.stdout.splitlines()
    assert 'No space left on device' in error and 'make room or set engine_cache' in error
    assert left == "['.engine']"


def test_the_header_can_be_read_by_people(cache):
    header = cache.store(KEY, CONTENT).read_bytes().partition(b'\n')[0]
    assert json.loads(header)['key']['gpu'] == 'Orin'
