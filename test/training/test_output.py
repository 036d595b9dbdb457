# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Output is whole or absent, goes on where it stopped, and is never written over."""
from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys

from edgevl_training import output
from edgevl_training.errors import DatasetError, OtherOutputError, OutputError
from edgevl_training.output import (
    atomic,
    IN_PROGRESS,
    MANIFEST,
    OutputFolder,
    PARTIAL,
    read_manifest,
    write_json,
    write_text,
)
import pytest

PURPOSE = {'recipe': {'rate': 2.0, 'out': Path('x')}, 'sources': [{'name': 'a'}]}

# Writes ten files and dies by SIGKILL at a given call of a given function of the file system.
WORKER = """
import os, pathlib, signal, sys
from edgevl_training.output import OutputFolder, write_text

folder, function, deadly = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
calls = 0

def count(event, arguments):
    global calls
    if event == function and str(folder) in str(arguments[0]):
        calls += 1
        if calls == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
with OutputFolder(folder, 'brew', {'recipe': {'cups': 10}}) as work:
    if not work.finished:
        for number in range(10):
            path = folder / f'cup{number}.txt'
            if not path.exists():
                print(number, flush=True)
                write_text(path, f'{number}' * 1000)
        work.finish({'cups': 10})
"""


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'file.txt'
    write_text(path, 'old')
    with pytest.raises(ValueError, match='stop'):
        with atomic(path) as temporary:
            temporary.write_text('half')
            assert path.read_text() == 'old'
            raise ValueError('stop')
    assert [item.name for item in tmp_path.iterdir()] == ['file.txt']
    assert path.read_text() == 'old'
    write_text(path, 'new')
    assert path.read_text() == 'new'


def test_the_content_is_on_disk_before_the_name_is(tmp_path, monkeypatch):
    path = tmp_path / 'file.txt'
    synced = []
    monkeypatch.setattr(output.os, 'fsync', lambda number: synced.append(
        (os.fstat(number).st_size, path.exists())))
    write_text(path, 'four')
    assert synced == [(4, False)]


def test_a_run_claims_a_folder_and_its_manifest_closes_it(tmp_path):
    folder = tmp_path / 'deep' / 'out'
    with OutputFolder(folder, 'brew', PURPOSE) as work:
        assert not work.finished
        assert json.loads((folder / IN_PROGRESS).read_text()) == {
            'verb': 'brew', 'recipe': {'rate': 2.0, 'out': 'x'}, 'sources': [{'name': 'a'}]}
        work.finish({'counts': {'cups': 3}})
        assert work.finished
    assert [item.name for item in folder.iterdir()] == [MANIFEST]
    manifest = read_manifest(folder, 'brew')
    assert manifest['counts'] == {'cups': 3}
    assert manifest['recipe'] == {'rate': 2.0, 'out': 'x'}
    assert manifest['schema'] == 1
    assert manifest['created'].endswith('+00:00')
    assert {'python', 'numpy'} <= set(manifest['tools'])


def test_the_same_command_goes_on_and_sweeps_what_is_half_written(tmp_path):
    with pytest.raises(RuntimeError):
        with OutputFolder(tmp_path, 'brew', PURPOSE):
            write_text(tmp_path / 'shard.txt', 'whole')
            (tmp_path / f'next.txt{PARTIAL}').write_text('half')
            (tmp_path / 'pictures').mkdir()
            (tmp_path / 'pictures' / f'a.png{PARTIAL}').write_text('half')
            raise RuntimeError
    with OutputFolder(tmp_path, 'brew', PURPOSE) as work:
        assert not work.finished
        assert (tmp_path / 'shard.txt').read_text() == 'whole'
        assert not list(tmp_path.rglob(f'*{PARTIAL}'))


def test_a_folder_that_nothing_but_a_refusal_came_of_is_free_again(tmp_path):
    """A mistyped option must not stand in the way of the right one."""
    with pytest.raises(DatasetError):
        with OutputFolder(tmp_path, 'brew', {'recipe': {'rate': 'fsat'}}):
            raise DatasetError('no such rate')
    with pytest.raises(DatasetError):
        with OutputFolder(tmp_path, 'brew', PURPOSE):
            write_text(tmp_path / 'shard.txt', 'work')
            raise DatasetError('a damaged shard')
    with pytest.raises(OtherOutputError):
        OutputFolder(tmp_path, 'brew', {'recipe': {'rate': 'fsat'}}).__enter__()


def test_a_finished_folder_is_left_as_it_is(tmp_path):
    with OutputFolder(tmp_path, 'brew', PURPOSE) as work:
        work.finish({})
    before = (tmp_path / MANIFEST).read_bytes()
    with OutputFolder(tmp_path, 'brew', PURPOSE) as work:
        assert work.finished
    assert [item.name for item in tmp_path.iterdir()] == [MANIFEST]
    assert (tmp_path / MANIFEST).read_bytes() == before


@pytest.mark.parametrize('finished', [False, True])
def test_the_output_of_another_command_is_refused_with_what_differs(tmp_path, finished):
    with OutputFolder(tmp_path, 'brew', PURPOSE) as work:
        if finished:
            work.finish({})
    before = {item: item.read_bytes() for item in tmp_path.iterdir()}
    other = {**PURPOSE, 'recipe': {'rate': 5.0, 'out': 'x', 'hash': 3}}
    with pytest.raises(OutputError) as refusal:
        OutputFolder(tmp_path, 'grind', other).__enter__()
    message = str(refusal.value)
    assert 'holds the output of another command; name another --out' in message
    assert message.splitlines()[1:] == [
        "  verb: there 'brew', asked 'grind'", '  recipe.rate: there 2.0, asked 5.0',
        '  recipe.hash: there nothing, asked 3']
    assert {item: item.read_bytes() for item in tmp_path.iterdir()} == before


def test_lists_that_differ_are_told_by_name(tmp_path):
    def named(*names, path='x'):
        return [{'name': name, 'path': path, 'size_bytes': 3} for name in names]

    with OutputFolder(tmp_path, 'brew', {'sources': named('a', 'b'), 'files': ['x']}):
        pass
    for sources, said in (
        (named('b', 'c'), 'only there a; only asked c'), (named('b', 'a'), 'in another order'),
        (named('a', 'b', path='y'), 'changed a (path), b (path)'),
    ):
        with pytest.raises(OutputError) as refusal:
            OutputFolder(tmp_path, 'brew', {'sources': sources, 'files': []}).__enter__()
        assert str(refusal.value).splitlines()[1:] == [
            f'  sources: {said}', '  files: there x, asked nothing']


def test_a_list_of_what_gave_nothing_does_not_stop_another_try(tmp_path):
    write_text(tmp_path / 'skipped.csv', 'item,reason')
    with OutputFolder(tmp_path, 'brew', PURPOSE) as work:
        assert not work.finished


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    (tmp_path / 'x.partial').write_text('mine')
    with pytest.raises(OutputError, match="an empty folder, found 'thesis.tex' and more"):
        OutputFolder(tmp_path, 'brew', PURPOSE).__enter__()
    assert sorted(item.name for item in tmp_path.iterdir()) == ['thesis.tex', 'x.partial']


def test_a_file_or_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match='expected a folder or nothing, found a file'):
        OutputFolder(tmp_path / 'file', 'brew', PURPOSE).__enter__()
    with pytest.raises(OutputError, match='Not a directory; name another --out'):
        OutputFolder(tmp_path / 'file' / 'below', 'brew', PURPOSE).__enter__()


@pytest.mark.parametrize('name', [MANIFEST, IN_PROGRESS])
@pytest.mark.parametrize('content', [b'', b'{"verb', b'[]', b'\xff'])
def test_a_damaged_record_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=f'{name}: expected .*JSON.*; make that folder anew'):
        OutputFolder(tmp_path, 'brew', PURPOSE).__enter__()


def test_two_at_once_do_not_write_to_one_folder(tmp_path):
    with OutputFolder(tmp_path, 'brew', PURPOSE):
        (tmp_path / f'shard{PARTIAL}').write_text('being written')
        with pytest.raises(OutputError, match='another edgevl brew is writing there; wait'):
            OutputFolder(tmp_path, 'brew', PURPOSE).__enter__()
        assert (tmp_path / f'shard{PARTIAL}').exists()
    with OutputFolder(tmp_path, 'brew', PURPOSE):
        pass


@pytest.mark.parametrize(('function', 'deadly'), [
    ('open', 1), ('open', 2), ('open', 3), ('open', 6), ('open', 15),
    ('open', 23), ('open', 24), ('os.rename', 1), ('os.rename', 2), ('os.rename', 7),
    ('os.rename', 12), ('os.remove', 1), ('os.remove', 2),
])
def test_work_killed_at_any_moment_is_taken_up_again(tmp_path, function, deadly):
    folder = tmp_path / 'out'
    root = Path(output.__file__).parents[1]

    def run(last):
        return subprocess.run(
            [sys.executable, '-c', WORKER, folder, function, str(last)], cwd=root,
            stdout=subprocess.PIPE, text=True)

    killed = run(deadly)
    assert killed.returncode == -9
    whole = {path.name: path.stat().st_mtime_ns for path in folder.glob('cup*.txt')}
    done = run(0)
    assert done.returncode == 0
    for number in range(10):
        assert (folder / f'cup{number}.txt').read_text() == f'{number}' * 1000
    assert len(done.stdout.split()) == 10 - len(whole)
    assert all((folder / name).stat().st_mtime_ns == when for name, when in whole.items())
    assert {item.name for item in folder.iterdir()} == {
        MANIFEST, *(f'cup{number}.txt' for number in range(10))}


def test_only_the_finished_output_of_the_right_verb_is_read(tmp_path):
    with pytest.raises(DatasetError, match='finished output of "edgevl brew", found none; run'):
        read_manifest(tmp_path, 'brew')
    with OutputFolder(tmp_path, 'brew', PURPOSE) as work:
        with pytest.raises(DatasetError, match='found an unfinished one'):
            read_manifest(tmp_path, 'brew')
        work.finish({})
    with pytest.raises(DatasetError, match='output of "edgevl grind" with schema 1, found verb '):
        read_manifest(tmp_path, 'grind')
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    write_json(tmp_path / MANIFEST, {**manifest, 'schema': 2})
    with pytest.raises(DatasetError, match="found verb 'brew' with schema 2"):
        read_manifest(tmp_path, 'brew')
