# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb teach, with a small OpenCLIP model: what it writes, resumes, shares and refuses."""

import csv
import os
from pathlib import Path
import shutil
import signal
import socket
import subprocess
import sys
import time

import cv2
from edgevl_ros.core.files import sha256_of
from edgevl_training import teach
from edgevl_training.dataset import read_batches, shards_of, taught_schema
from edgevl_training.errors import DatasetError, OutputError, RecipeError
from edgevl_training.output import read_manifest
import numpy as np
import pyarrow.parquet as pq
import pytest
from support.pairs_folder import make_pairs
from support.untrained_clip import MODEL, write_checkpoint

for package in ('torch', 'open_clip'):
    pytest.importorskip(package, reason=f'{package} is not installed: training extra')

ROOT = Path(__file__).resolve().parents[2]
PICTURES = 22
BROKEN = {3: b'', 9: b'\xff\xd8\xff no jpeg', 14: 'cut', 20: 'strip'}


@pytest.fixture(autouse=True, scope='module')
def fixture_single_thread():
    """Compute in one thread, here and in processes: on busy cores, two wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('OMP_NUM_THREADS', '1')
        yield
    torch.set_num_threads(threads)


@pytest.fixture(name='teacher', scope='module')
def fixture_teacher(tmp_path_factory):
    """Write random weights once; give the name of the teacher they make."""
    return f'open_clip:{MODEL}@{write_checkpoint(tmp_path_factory.mktemp("weights"))}'


@pytest.fixture(name='pairs', scope='module')
def fixture_pairs(tmp_path_factory):
    """Make pairs in six shards, some with pictures that nobody can read."""
    return make_pairs(tmp_path_factory.mktemp('data') / 'pairs', pictures())


@pytest.fixture(name='taught', scope='module')
def fixture_taught(tmp_path_factory, pairs, teacher):
    """Teach once, in this process."""
    out = tmp_path_factory.mktemp('data') / 'taught'
    assert run(pairs, out, teacher) == 0
    return out


def pictures():
    """Make readable pictures, and those of `BROKEN`."""
    rng = np.random.default_rng(0)
    made = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(PICTURES)]
    broken = dict(BROKEN)
    broken[14] = cv2.imencode('.jpg', made[14])[1].tobytes()[:-200]
    broken[20] = np.zeros((2, 100, 3), np.uint8)
    return [broken.get(index, picture) for index, picture in enumerate(made)]


def arguments(pairs, out, teacher, *more):
    return ['--pairs', str(pairs), '--out', str(out), '--teacher', teacher, '--device', 'cpu',
            '--batch-size', '3', *more]


def run(pairs, out, teacher, *more):
    return teach.run(arguments(pairs, out, teacher, *more))


def hashes(folder):
    return {path.name: sha256_of(path) for path in sorted(folder.glob('*.parquet'))}


def rows_of(folder, verb, columns):
    manifest = read_manifest(folder, verb)
    return [
        row for shard in shards_of(folder, manifest)
        for batch in read_batches(folder / shard.name, columns) for row in batch.to_pylist()
    ]


def test_every_pair_gets_the_teachers_embedding_row_for_row(pairs, taught, teacher):
    """Null where the picture cannot be read; else OpenCLIP's, to half precision."""
    from edgevl_training.teachers.teacher import open_teacher

    opened = open_teacher(teacher, 'cpu')
    rows = rows_of(taught, 'teach', ['pair_id', 'teacher_embedding'])
    wanted = rows_of(pairs, 'extract', ['pair_id'])
    assert [row['pair_id'] for row in rows] == [row['pair_id'] for row in wanted]
    assert {i for i, row in enumerate(rows) if row['teacher_embedding'] is None} == set(BROKEN)
    readable = [i for i in range(PICTURES) if i not in BROKEN]
    images = np.stack([opened.preprocess(pictures()[i]) for i in readable])
    found = np.array([rows[i]['teacher_embedding'] for i in readable], np.float32)
    assert np.sum(found * opened.embed_images(images), axis=1).min() > 0.9999
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-3)


def test_several_views_count_by_their_mean(pairs, taught, teacher, tmp_path):
    """The embedding is the unit mean over the views, row for row, wherever batches are cut."""
    from edgevl_training.teachers.teacher import open_teacher

    out, views = tmp_path / 'out', ['whole', 'lower_left']
    assert run(pairs, out, teacher, '--views', *views) == 0
    opened = open_teacher(teacher, 'cpu')
    rows = rows_of(out, 'teach', ['teacher_embedding'])
    assert {i for i, row in enumerate(rows) if row['teacher_embedding'] is None} == set(BROKEN)
    readable = [i for i in range(PICTURES) if i not in BROKEN]
    wanted = sum(
        opened.embed_images(np.stack([opened.preprocess(part(pictures()[i])) for i in readable]))
        for part in (lambda picture: picture, lambda picture: picture[12:, :48])
    )
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    found = np.array([rows[i]['teacher_embedding'] for i in readable], np.float32)
    assert np.sum(found * wanted, axis=1).min() > 0.9999
    manifest = read_manifest(out, 'teach')
    assert manifest['teacher']['views'] == views
    assert manifest['speed']['images'] == 2 * (PICTURES - len(BROKEN))
    assert read_manifest(taught, 'teach')['teacher']['views'] is None
    with pytest.raises(OutputError, match='teacher.views'):
        run(pairs, out, teacher, '--views', 'whole')
    with pytest.raises(RecipeError, match='each view once'):
        run(pairs, out, teacher, '--views', 'whole', 'whole')


def test_the_shards_have_the_columns_of_the_design(pairs, taught):
    names = [shard.name for shard in shards_of(pairs, read_manifest(pairs, 'extract'))]
    assert [shard.name for shard in shards_of(taught, read_manifest(taught, 'teach'))] == names
    for name in names:
        assert pq.read_schema(taught / name).equals(taught_schema(256))


def test_the_manifest_says_what_was_done_and_how_fast(pairs, taught, teacher):
    manifest = read_manifest(taught, 'teach')
    assert manifest['pairs']['manifest_sha256'] == sha256_of(pairs / 'manifest.json')
    assert (taught / manifest['pairs']['path']).resolve() == pairs.resolve()
    assert manifest['teacher']['name'] == teacher
    assert manifest['teacher']['id'].startswith(f'open_clip/{MODEL}@sha256:')
    assert manifest['teacher']['dim'] == 256 and manifest['teacher']['logit_scale'] > 1
    assert manifest['teacher']['precision'] == 'fp32'
    assert manifest['counts']['pairs'] == PICTURES
    assert manifest['counts']['embedded'] == PICTURES - len(BROKEN)
    assert sum(manifest['counts']['skipped'].values()) == len(BROKEN)
    assert manifest['speed']['images'] == PICTURES - len(BROKEN)
    assert manifest['speed']['images_per_second'] > 0
    assert 0 < manifest['speed']['busy_share'] <= 1


def test_unreadable_pictures_are_listed_with_the_reason(pairs, taught):
    ids = [row['pair_id'] for row in rows_of(pairs, 'extract', ['pair_id'])]
    with (taught / 'skipped.csv').open(newline='') as stream:
        listed = {row['item']: row['reason'] for row in csv.DictReader(stream)}
    assert set(listed) == {ids[index] for index in BROKEN}
    assert 'JPEG' in listed[ids[9]] and 'truncated' in listed[ids[14]]
    assert '2:100' in listed[ids[20]]


def test_finished_work_is_kept_and_never_overwritten(pairs, taught, teacher, tmp_path, capsys):
    before = hashes(taught)
    assert run(pairs, taught, teacher) == 0
    assert 'nothing to do' in capsys.readouterr().out
    assert hashes(taught) == before
    other = make_pairs(tmp_path / 'other', pictures()[:2])
    with pytest.raises(OutputError, match='manifest_sha256'):
        run(other, taught, teacher)
    with pytest.raises(OutputError, match='teacher.id'):
        run(pairs, taught, 'conse')


def test_a_finished_output_is_checked(pairs, taught, teacher, tmp_path):
    harmed = shutil.copytree(taught, tmp_path / 'taught')
    shard = sorted(harmed.glob('*.parquet'))[1]
    os.truncate(shard, 100)
    with pytest.raises(DatasetError, match=f'{shard.name}: .*anew with "edgevl teach"'):
        run(pairs, harmed, teacher)


def test_a_killed_run_goes_on_to_the_same_result(tmp_path, pairs, taught, teacher):
    """Kill -9 in the middle; the shards that were finished stay as they are."""
    killed = tmp_path / 'killed'
    process = start(['-m', 'edgevl_training.cli', 'teach', *arguments(pairs, killed, teacher)])
    wait_for(lambda: (killed / 'shard-00000.parquet').exists(), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (killed / 'manifest.json').exists()
    (killed / 'shard-00099.parquet.partial').write_bytes(b'half')
    first = (killed / 'shard-00000.parquet').stat().st_mtime_ns
    assert run(pairs, killed, teacher) == 0
    assert (killed / 'shard-00000.parquet').stat().st_mtime_ns == first
    assert read_manifest(killed, 'teach')['speed']['kept_shards'] >= 1
    assert hashes(killed) == hashes(taught)
    assert (killed / 'skipped.csv').read_text() == (taught / 'skipped.csv').read_text()
    assert not list(killed.glob('*.partial'))


def test_two_processes_give_the_same_as_one(tmp_path, pairs, taught, teacher):
    out = tmp_path / 'out'
    process = start([
        '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2',
        '-m', 'edgevl_training.cli', 'teach', *arguments(pairs, out, teacher),
    ])
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    assert hashes(out) == hashes(taught)
    assert (out / 'skipped.csv').read_text() == (taught / 'skipped.csv').read_text()
    manifest = read_manifest(out, 'teach')
    assert manifest['speed']['processes'] == 2
    assert manifest['counts'] == read_manifest(taught, 'teach')['counts']


def test_a_process_that_fails_does_not_keep_the_others_waiting(tmp_path, pairs, teacher):
    """Even where nobody watches over them, as torchrun would."""
    broken = Path(shutil.copytree(pairs, tmp_path / 'pairs'))
    cut(broken / 'shard-00003.parquet')  # that of the second process
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    command = ['-m', 'edgevl_training.cli', 'teach', *arguments(broken, tmp_path / 'o', teacher)]
    group = {'WORLD_SIZE': '2', 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port)}
    processes = [start(command, RANK=str(rank), **group) for rank in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [2, 2], outputs
    assert 'shard-00003.parquet' in outputs[1]
    assert 'another process of this run has ended' in outputs[0]
    assert not (tmp_path / 'o' / 'manifest.json').exists()


@pytest.mark.parametrize('damage', ['cut', 'flip', 'swap', 'remove'])
def test_a_damaged_shard_is_named(tmp_path, pairs, teacher, damage):
    broken = Path(shutil.copytree(pairs, tmp_path / 'pairs'))
    path = broken / 'shard-00001.parquet'
    if damage == 'cut':
        cut(path)
    elif damage == 'flip':
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
    elif damage == 'swap':
        shutil.copy(broken / 'shard-00002.parquet', path)
    else:
        path.unlink()
    with pytest.raises(DatasetError, match='shard-00001.parquet'):
        run(broken, tmp_path / 'out', teacher)


def test_what_lies_under_a_shards_name_is_not_taken_for_one(tmp_path, pairs, taught, teacher):
    out = Path(shutil.copytree(taught, tmp_path / 'out'))
    (out / 'manifest.json').rename(out / 'in_progress.json')
    shutil.copy(pairs / 'shard-00000.parquet', out)
    with pytest.raises(DatasetError, match='remove it'):
        run(pairs, out, teacher)


def test_no_usable_picture_at_all_is_status_one(tmp_path, teacher, capsys):
    pairs = make_pairs(tmp_path / 'pairs', [b'', b'junk'])
    assert run(pairs, tmp_path / 'out', teacher) == 1
    assert 'no picture could be embedded' in capsys.readouterr().err


def test_pairs_that_are_not_finished_are_refused(tmp_path, teacher):
    with pytest.raises(DatasetError, match='edgevl extract'):
        run(tmp_path, tmp_path / 'out', teacher)


def cut(path):
    path.write_bytes(path.read_bytes()[:-300])


def start(command, **environment):
    """Start Python on a command, with its output in one pipe."""
    return subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**os.environ, 'PYTHONPATH': str(ROOT), **environment},
    )


def wait_for(condition, process, seconds=60):
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline_s, 'waited too long'
        time.sleep(0.002)
