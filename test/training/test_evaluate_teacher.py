# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Teachers beside students, and as the only judge where nobody knows what is right."""

import re
from types import SimpleNamespace

from edgevl_ros.backends import open_backend
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.preprocess import DepthSpec
from edgevl_training import evaluate
from edgevl_training.errors import DatasetError
from edgevl_training.evaluation.pairs import select_pairs
from edgevl_training.evaluation.runners import as_photograph
from edgevl_training.evaluation.task import Task
import numpy as np
import pytest
from support import evaluating
from support.evaluating import COLOURS, make_colours, metrics_of, predictions_of
from support.exported_folder import make_exported
from support.taught_folder import make_taught
from support.tiny_bundle import TEACHER

RED = list(COLOURS).index('red')


@pytest.fixture(name='unlabelled', scope='module')
def fixture_unlabelled(tmp_path_factory):
    return make_colours(
        tmp_path_factory.mktemp('data') / 'pairs', truths=[None] * evaluating.PAIRS)


def says(bundle, index):
    """Give what the teacher of this test makes of a pair: red ones are red, others are blue."""
    if index == evaluating.BROKEN_COLOUR:
        return None
    label = 'red' if index % 3 == RED else 'blue'
    words = bundle.phrases.vocabulary(['red', 'blue'])
    return words.embeddings[words.labels.index(label)]


def taught_by(folder, pairs, bundle, **more):
    rows = [says(bundle, index) for index in range(evaluating.PAIRS)]
    teacher = {'id': TEACHER, 'dim': 8, 'logit_scale': 20.0, **more}
    return make_taught(folder, pairs, rows, teacher)


def test_without_labels_agreement_is_measured_and_called_so(
    tmp_path, unlabelled, tiny_bundle, capsys
):
    """With what teach has left, and so without torch."""
    taught = taught_by(tmp_path / 'taught', unlabelled, Bundle.open(tiny_bundle))
    out = tmp_path / 'out'
    assert evaluate.run([
        '--pairs', str(unlabelled), '--taught', str(taught), '--out', str(out),
        '--models', f'int8={tiny_bundle}',
    ]) == 0
    metrics = metrics_of(out)
    assert metrics['truth'] is False and metrics['measure'] == 'agreement'
    assert metrics['reference'] == f'what {TEACHER} says of the colour picture'
    # The bundle's own words, as nothing else names any.
    assert metrics['vocabulary'] == ['red', 'green', 'blue']
    assert metrics['results']['teacher']['modalities'].keys() == {'rgb'}
    assert metrics['results']['teacher']['modalities']['rgb']['top1'] == 1
    # One modality has no mean of both.
    assert metrics['results']['teacher']['mean_top1'] is None
    assert metrics['results']['teacher']['mean_mean_class'] is None
    assert metrics['results']['int8']['mean_top1'] > 0
    # The student tells all three colours apart, its teacher takes green for blue.
    student = metrics['results']['int8']['modalities']['rgb']
    assert student['count'] == evaluating.PAIRS - 1
    assert student['top1'] == pytest.approx(16 / 23, abs=1e-5)
    assert metrics['counts']['without_label'] == 1
    row = predictions_of(out, 'int8', 'rgb')['bag/0/1000000000']
    assert (row['truth'], row['reference'], row['predicted']) == (None, 'blue', 'green')
    shown = capsys.readouterr().out
    assert 'top-1 agreement' in shown and 'accuracy' not in shown
    html = re.sub('src="[^"]*"', '', (out / 'report.html').read_text())
    assert 'agreement with the teacher' in html and 'nobody knows what is right' in html
    assert not re.search('accuracy|mistakes of int8|label of the data set', html)


def test_what_a_teacher_said_of_more_than_whole_pictures_is_not_called_the_teacher(
    tmp_path, unlabelled, tiny_bundle
):
    taught = taught_by(
        tmp_path / 'taught', unlabelled, Bundle.open(tiny_bundle), views=['whole', 'center'])
    out = tmp_path / 'out'
    assert evaluate.run([
        '--pairs', str(unlabelled), '--taught', str(taught), '--out', str(out),
        '--models', f'int8={tiny_bundle}',
    ]) == 0
    assert set(metrics_of(out)['results']) == {'taught', 'int8'}


@pytest.mark.parametrize(('whole', 'phrase', 'first'), [
    (True, {}, 'teacher'), (False, {'a': 'a room'}, 'teacher'), (False, {}, 'taught'),
])
def test_without_labels_all_are_held_against_what_has_taught(whole, phrase, first):
    """Whether that teacher is run too or not: agreement stays comparable between runs."""
    run = SimpleNamespace(choice=SimpleNamespace(id='T'))
    taught = SimpleNamespace(id='T', whole=whole)
    task = Task(None, None, (), {'teacher': run}, taught, (), phrase)
    assert next(iter(task.teacher_ids)) == first
    assert task.teacher_ids['teacher'] == 'T'


def test_embeddings_of_other_pairs_are_refused(tmp_path, unlabelled, tiny_bundle):
    other = make_colours(tmp_path / 'other')
    taught = taught_by(tmp_path / 'taught', other, Bundle.open(tiny_bundle))
    with pytest.raises(DatasetError, match='those of other pairs'):
        evaluate.run([
            '--pairs', str(unlabelled), '--taught', str(taught), '--out', str(tmp_path / 'out'),
            '--models', f'int8={tiny_bundle}',
        ])


def test_a_second_picture_becomes_a_grey_photograph():
    """Three equal channels over the range of the student; no reading is black."""
    depth = DepthSpec(near_m=1.0, far_m=5.0, missing=0.0, mean=0.5, std=0.5)
    values = np.array([[np.nan, 0.5, 1.0], [3.0, 5.0, 9.0]], np.float32)
    found = as_photograph(values, depth)
    assert found.dtype == np.uint8 and found.shape == (2, 3, 3)
    assert found[..., 0].tolist() == [[0, 0, 0], [128, 255, 255]]
    assert (found == found[..., :1]).all()


@pytest.mark.parametrize('has_taught', [False, True])
def test_a_teacher_is_run_on_both_modalities_and_gives_the_words(tmp_path, has_taught):
    """Held against OpenCLIP itself, called by hand; also where teach has shown it more views."""
    for package in ('torch', 'open_clip'):
        pytest.importorskip(package, reason=f'{package} is not installed: training extra')
    from edgevl_training.frames import color_of
    from edgevl_training.teachers.teacher import open_teacher
    from support.untrained_clip import MODEL, write_checkpoint

    name = f'open_clip:{MODEL}@{write_checkpoint(tmp_path)}'
    teacher = open_teacher(name, 'cpu')
    facts = {'id': teacher.id, 'name': name, 'dim': teacher.dim, 'logit_scale': 1.0}
    pairs = make_colours(tmp_path / 'pairs')
    student = make_exported(tmp_path / 'exported', dim=teacher.dim, teacher=facts)
    out, more = tmp_path / 'out', []
    if has_taught:
        nonsense = [np.eye(teacher.dim)[index] for index in range(evaluating.PAIRS)]
        views = {**facts, 'views': ['whole', 'center']}
        more = ['--taught', str(make_taught(tmp_path / 'taught', pairs, nonsense, views, name))]
    assert evaluate.run([
        '--pairs', str(pairs), '--out', str(out), '--models', f'int8={student}',
        '--teacher', f'clip={name}', '--device', 'cpu', *more,
    ]) == 0
    results = metrics_of(out)['results']
    assert set(results) == {'clip', 'int8'}
    assert results['clip']['kind'] == 'teacher' and results['clip']['latency_ms'] is None
    assert set(results['clip']['modalities']) == {'rgb', 'depth', 'fused'}
    assert results['clip']['parameters'] == sum(
        numbers.numel() for numbers in teacher.model.visual.parameters())
    words = teacher.embed_texts(['blue', 'green', 'red'])
    depth = DepthSpec(near_m=0.0, far_m=10.0, missing=0.0, mean=0.5, std=0.5)
    for row in select_pairs(pairs).rows[[0, 5, 23]].tolist():
        stored = stored_pair(pairs, row)
        grey = np.full((30, 40), 0.5 + 0.3 * row, np.float32)
        for modality, picture in (
            ('rgb', color_of(stored['color'])), ('depth', as_photograph(grey, depth))
        ):
            image = teacher.embed_images(teacher.preprocess(picture)[np.newaxis])[0]
            logits = teacher.logit_scale * (words @ image)
            shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
            found = predictions_of(out, 'clip', modality)[stored['pair_id']]
            assert found['predicted'] == ['blue', 'green', 'red'][int(shares.argmax())]
            assert found['probability'] == pytest.approx(shares.max(), rel=1e-3)


def stored_pair(pairs, row):
    from edgevl_training.dataset import read_batches

    rows = [one for path in sorted(pairs.glob('*.parquet'))
            for batch in read_batches(path) for one in batch.to_pylist()]
    return rows[row]


def test_the_robots_session_is_what_is_measured(tiny_bundle):
    """Same class, same settings, same answer as the backend that the node opens."""
    from edgevl_training.evaluation.students import open_student

    bundle = Bundle.open(tiny_bundle)
    mine = open_student('int8', tiny_bundle).backend(threads=2)
    robots = open_backend('auto', bundle, threads=2)
    assert type(mine) is type(robots) and mine.name == robots.name
    images = np.random.default_rng(0).normal(size=(3, *mine.input_spec.shape[1:]))
    images = images.astype(np.float32)
    np.testing.assert_array_equal(mine.embed(images), robots.embed(images))
