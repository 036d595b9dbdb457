# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What was killed goes on where it was, and many workers do what one does: byte for byte."""
from __future__ import annotations

import json
from pathlib import Path
import signal
import subprocess
import sys
import time

from edgevl_training.cli import main
from edgevl_training.output import read_manifest
import pytest
from support.camera_bag import CameraBag, jpeg, millimetres, PERIOD_NS, picture, png, START_NS
from support.source_tree import ROOT

PAIRS = 120
# Small shards, so that there are many moments to be killed at.
SMALL = ('--shard-mb', '0.05')


def write_troubled(path: Path) -> Path:
    """Write a bag with something to leave out for every reason."""
    with CameraBag(path) as bag:
        for number in range(PAIRS):
            stamp_ns = START_NS + number * PERIOD_NS
            color = jpeg(picture(number // 2))
            bag.color(color[:200] if number % 17 == 0 else color, stamp_ns)
            if number % 13:
                bag.depth(png(millimetres(number)), stamp_ns)
    return path


def content(out: Path) -> dict[str, object]:
    """Give all that a finished folder holds, but for the clock."""
    files = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    manifest = json.loads(files.pop('manifest.json'))
    return {**files, 'manifest': {**manifest, 'created': '', 'speed': ''}}


def start(out: Path, *options: str | Path) -> subprocess.Popen[bytes]:
    """Start the command as a process of its own, in a session of its own."""
    command = [sys.executable, '-m', 'edgevl_training.cli', 'extract', '--out', out, *options]
    return subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def kill_after(out: Path, process: subprocess.Popen[bytes], shards: int) -> None:
    """Kill a process once some shards are there."""
    deadline_s = time.monotonic() + 60
    while len(list(out.glob('shard-*.parquet'))) < shards:
        assert process.poll() is None, process.communicate()[0].decode()
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize('options', [
    (), ('--rate', '8', '--near-duplicates', '1'),
], ids=['on threads', 'one after the other'])
def test_a_killed_run_goes_on_to_the_same_result(tmp_path, options):
    options = ('--bags', str(write_troubled(tmp_path / 'bag')), *SMALL, *options)
    assert main(['extract', '--out', str(tmp_path / 'whole'), *options]) == 0
    out = tmp_path / 'killed'
    process = start(out, *options)
    kill_after(out, process, 3)
    assert not (out / 'manifest.json').exists()
    journal = json.loads((out / 'work' / 'source-00000.json').read_text())
    assert 0 < journal['events'] < PAIRS and not journal['finished']
    shard = out / journal['shards'][0]['name']
    written_ns = shard.stat().st_mtime_ns
    # What a crash may leave besides: half a file, and a list that is ahead of the journal.
    (out / 'shard-00000-00099.parquet.partial').write_bytes(b'half')
    with (out / 'work' / 'source-00000.csv').open('a') as skipped:
        skipped.write('bag,ahead,of the journal,\n')
    assert main(['extract', '--out', str(out), *options]) == 0
    assert shard.stat().st_mtime_ns == written_ns
    assert content(out) == content(tmp_path / 'whole')
    reasons = read_manifest(out, 'extract')['counts']['skipped']
    assert reasons['lone colour'] and reasons['unusable colour']


def test_finished_sources_are_not_read_again(tmp_path):
    bags = [write_troubled(tmp_path / name) for name in ('a', 'b')]
    options = ('--bags', *map(str, bags), *SMALL)
    assert main(['extract', '--out', str(tmp_path / 'whole'), *options]) == 0
    out = tmp_path / 'killed'
    first = sum(1 for _ in (tmp_path / 'whole').glob('shard-00000-*'))
    kill_after(out, start(out, *options), first + 2)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob('shard-00000-*')}
    journal = json.loads((out / 'work' / 'source-00000.json').read_text())
    assert journal['finished']
    assert main(['extract', '--out', str(out), *options]) == 0
    after = {path.name: path.stat().st_mtime_ns for path in out.glob('shard-00000-*')}
    assert before == after
    assert content(out) == content(tmp_path / 'whole')


def test_two_workers_do_what_one_does(tmp_path):
    bags = [write_troubled(tmp_path / name) for name in ('a', 'b', 'c')]
    options = ('--bags', *map(str, bags), '--shard-mb', '0.2')
    assert main(['extract', '--out', str(tmp_path / 'one'), *options]) == 0
    assert main(['extract', '--out', str(tmp_path / 'two'), *options, '--workers', '2']) == 0
    assert content(tmp_path / 'one') == content(tmp_path / 'two')


def children_of(pid: int) -> set[int]:
    """Give the processes that a process has started."""
    children = set()
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = stat.read_text().rpartition(')')[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            children.add(int(stat.parent.name))
    return children


@pytest.mark.skipif(sys.platform != 'linux', reason='processes are looked up in /proc')
@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_command(tmp_path, number):
    bags = [write_troubled(tmp_path / name) for name in ('a', 'b')]
    options = ('--bags', *bags, '--shard-mb', '0.01', '--workers', '2')
    out = tmp_path / 'out'
    process = start(out, *options)
    while len(list(out.glob('shard-*.parquet'))) < 2:
        assert process.poll() is None, process.communicate()[0].decode()
        time.sleep(0.001)
    children = children_of(process.pid)
    assert len(children) >= 2
    process.send_signal(number)
    said = process.communicate(timeout=20)[0].decode()
    assert 'Traceback' not in said
    deadline_s = time.monotonic() + 10
    while any(Path(f'/proc/{child}').exists() for child in children):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert not (out / 'manifest.json').exists()


def test_a_journal_that_somebody_changed_is_not_believed(tmp_path, capsys):
    options = ('--bags', str(write_troubled(tmp_path / 'bag')), *SMALL)
    out = tmp_path / 'out'
    kill_after(out, start(out, *options), 2)
    (out / 'work' / 'source-00000.json').write_text('{}')
    assert main(['extract', '--out', str(out), *options]) == 2
    assert 'start again' in capsys.readouterr().err
