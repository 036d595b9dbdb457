# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A killed evaluation goes on where it was, and ends as an unbroken one."""

import json
import os
import signal
import subprocess
import sys
import time

from edgevl_training import evaluate
from edgevl_training.evaluation.embeddings import PART_PAIRS
from edgevl_training.evaluation.recipe import EvaluateRecipe
from edgevl_training.evaluation.task import open_task, purpose_of
from edgevl_training.output import OutputFolder
import numpy as np
import pyarrow.parquet as pq
import pytest
from support.exported_folder import make_exported
from support.pairs_folder import make_pairs
from support.source_tree import ROOT

# Two full parts and a small one.
PAIRS = 2 * PART_PAIRS + 40
PATIENCE_S = 120


@pytest.fixture(name='pairs', scope='module')
def fixture_pairs(tmp_path_factory):
    """Make small pairs, some without a picture, in shards that do not end where parts do."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 3, PAIRS)
    pictures = [np.full((4, 5, 3), 40, np.uint8) for _ in kinds]
    for picture, kind in zip(pictures, kinds):
        picture[..., kind] = 220
    pictures[30] = pictures[700] = b'broken'
    depths = [np.full((4, 5), 1000 + 9 * index, np.uint16) for index in range(PAIRS)]
    depths[31] = depths[701] = None
    return make_pairs(
        tmp_path_factory.mktemp('data') / 'pairs', pictures, depths=depths,
        truths=[('red', 'green', 'blue')[kind] for kind in kinds], rows_per_shard=300,
    )


def words(pairs, out, exported, bundle):
    return ['--pairs', str(pairs), '--out', str(out), '--threads', '1',
            '--models', f'fp32={exported}', f'int8={bundle}']


def parts_of(out):
    return sorted(out.glob('embeddings/*/part-*.npz'))


def comparable(out):
    """Read the metrics without what the clock decides."""
    metrics = json.loads((out / 'metrics.json').read_text())
    for result in metrics['results'].values():
        del result['latency_ms']
    return metrics


def test_a_killed_run_goes_on_to_the_same_result(tmp_path, pairs, tiny_bundle):
    exported = make_exported(tmp_path / 'fp32', noise=0.6, precision='fp32')
    killed, whole = tmp_path / 'killed', tmp_path / 'whole'
    process = subprocess.Popen(
        [sys.executable, '-m', 'edgevl_training.cli', 'evaluate',
         *words(pairs, killed, exported, tiny_bundle)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    deadline_s = time.monotonic() + PATIENCE_S
    while not parts_of(killed):
        assert process.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / 'manifest.json').exists()
    # As a power cut might leave them: half a file under another name, and one that is damaged.
    (killed / 'embeddings' / 'fp32' / 'part-00001.npz.partial').write_bytes(b'half')
    first = parts_of(killed)[0]
    kept = first.stat().st_mtime_ns
    damaged = killed / 'embeddings' / 'int8' / 'part-00001.npz'
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_bytes(first.read_bytes()[:-500])

    assert evaluate.run(words(pairs, killed, exported, tiny_bundle)) == 0
    assert first.stat().st_mtime_ns == kept
    assert not list(killed.rglob('*.partial'))
    assert evaluate.run(words(pairs, whole, exported, tiny_bundle)) == 0
    assert comparable(killed) == comparable(whole)
    assert comparable(whole)['results']['int8']['modalities']['rgb']['count'] == PAIRS - 2
    for name in ('skipped.csv', 'report/map.png', 'report/confusion_int8_rgb.png'):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    tables = [pq.read_table(out / 'predictions.parquet') for out in (killed, whole)]
    assert tables[0].equals(tables[1])
    assert [path.name for path in parts_of(killed)] == [path.name for path in parts_of(whole)]
    for path in parts_of(killed):
        with np.load(path) as mine, np.load(whole / path.relative_to(killed)) as other:
            for name in mine.files:
                np.testing.assert_array_equal(mine[name], other[name])


def test_another_process_is_kept_out(tmp_path, pairs, tiny_bundle):
    """Two of the same command do not write to one folder."""
    out = tmp_path / 'out'
    arguments = words(pairs, out, make_exported(tmp_path / 'x'), tiny_bundle)
    recipe = EvaluateRecipe(
        pairs=pairs, out=out, models=tuple(arguments[-2:]), threads=1)
    purpose = purpose_of(open_task(recipe))
    with OutputFolder(out, 'evaluate', purpose):
        done = subprocess.run(
            [sys.executable, '-m', 'edgevl_training.cli', 'evaluate', *arguments],
            cwd=ROOT, capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'},
        )
    assert done.returncode == 2
    assert 'another edgevl evaluate is writing there' in done.stderr
