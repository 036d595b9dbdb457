# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb evaluate on small real students: what it measures, writes, says and refuses."""

import csv
from dataclasses import replace
import json
import re
import shutil
import subprocess
import sys

import cv2
from edgevl_ros.backends import open_backend
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.errors import BadImage, EdgeVLError
from edgevl_ros.core.files import sha256_of
from edgevl_ros.core.frame import Frame
from edgevl_ros.core.perception import Perception
from edgevl_ros.core.settings import Settings
from edgevl_training import evaluate
from edgevl_training.ablation.sources import Sources
from edgevl_training.curation.write import DECISIONS
from edgevl_training.dataset import read_batches, SecondModality, shards_of
from edgevl_training.errors import DatasetError, OutputError, RecipeError
from edgevl_training.evaluation.choice_of_words import words_for
from edgevl_training.evaluation.pairs import select_pairs
from edgevl_training.evaluation.recipe import EvaluateRecipe
from edgevl_training.evaluation.students import open_student
from edgevl_training.evaluation.task import open_task
from edgevl_training.evaluation.words import embed_words
from edgevl_training.frames import color_of, second_of
from edgevl_training.output import OutputFolder, read_manifest
from edgevl_training.prompts import TEMPLATES
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import evaluating
from support.evaluating import make_colours, metrics_of, predictions_of
from support.exported_folder import make_exported
from support.source_tree import ROOT
from support.taught_folder import make_taught
from support.tiny_bundle import TEACHER

SWIR = SecondModality('swir', 'reflectance', 0.0001, (0,))


@pytest.fixture(name='pairs', scope='module')
def fixture_pairs(tmp_path_factory):
    return make_colours(tmp_path_factory.mktemp('data') / 'pairs')


@pytest.fixture(name='exported', scope='module')
def fixture_exported(tmp_path_factory):
    """Export a float student whose weights are not quite those of the tiny bundle."""
    return make_exported(
        tmp_path_factory.mktemp('models') / 'fp32', noise=0.6, precision='fp32'
    )


@pytest.fixture(name='out', scope='module')
def fixture_out(tmp_path_factory, pairs, exported, tiny_bundle):
    """Evaluate once."""
    out = tmp_path_factory.mktemp('out') / 'report'
    assert run(pairs, out, f'fp32={exported}', f'int8={tiny_bundle}') == 0
    return out


def run(pairs, out, *models, more=()):
    return evaluate.run(words(pairs, out, *models, more=more))


def words(pairs, out, *models, more=()):
    named = ['--models', *models] if models else []
    return ['--pairs', str(pairs), '--out', str(out), *named, *map(str, more)]


def stored_rows(pairs):
    manifest = read_manifest(pairs, 'extract')
    return [
        row for shard in shards_of(pairs, manifest)
        for batch in read_batches(pairs / shard.name) for row in batch.to_pylist()
    ]


def as_the_robot_sees(row):
    """Decode a stored pair; None for what cannot be used."""
    def decoded(decode, *stored):
        try:
            return None if stored[0] is None else decode(*stored)
        except BadImage:
            return None

    return decoded(color_of, row['color']), decoded(second_of, row['depth'], SecondModality())


@pytest.mark.parametrize('modality', ['rgb', 'depth', 'fused'])
def test_predictions_are_those_of_the_robot(pairs, out, tiny_bundle, modality):
    """Held against the node's own perception, frame by frame."""
    bundle = Bundle.open(tiny_bundle)
    settings = Settings(
        modality={'fused': 'both'}.get(modality, modality), vocabulary=('blue', 'green', 'red'))
    robot = Perception(bundle, open_backend('onnxruntime', bundle, 1), settings)
    found = predictions_of(out, 'int8', modality)
    seen = 0
    for row in stored_rows(pairs):
        rgb, depth = as_the_robot_sees(row)
        has = {'rgb': rgb is not None, 'depth': depth is not None and np.isfinite(depth).any()}
        has['fused'] = has['rgb'] and has['depth']
        if not has[modality]:
            assert row['pair_id'] not in found
            continue
        best = robot.perceive(Frame(0, '', rgb, depth)).hypotheses[0]
        assert found[row['pair_id']]['predicted'] == best.label
        assert found[row['pair_id']]['probability'] == pytest.approx(best.probability, rel=1e-3)
        seen += 1
    assert seen == len(found) >= 20
    robot.close()


def test_scores_follow_from_the_predictions(out):
    """Counted anew from the file, in plain Python."""
    metrics = metrics_of(out)
    for name in ('fp32', 'int8'):
        for modality, score in metrics['results'][name]['modalities'].items():
            rows = [r for r in predictions_of(out, name, modality).values() if r['counted']]
            right = [row['predicted'] == row['reference'] for row in rows]
            assert score['count'] == len(rows)
            assert score['top1'] == pytest.approx(sum(right) / len(rows), abs=1e-5)
            low, high = score['top1_interval_95']
            assert low < score['top1'] <= high
            by_label = {
                label: [hit for hit, row in zip(right, rows) if row['reference'] == label]
                for label in {row['reference'] for row in rows}
            }
            shares = [sum(hits) / len(hits) for hits in by_label.values()]
            assert score['mean_class'] == pytest.approx(np.mean(shares), abs=1e-5)
            assert score['angle_deg'] == pytest.approx(np.mean([r['angle'] for r in rows]), 1e-4)
            assert score['mean_confidence'] == pytest.approx(
                np.mean([row['probability'] for row in rows]), 1e-4)
        shares = metrics['results'][name]['modalities']
        assert metrics['results'][name]['mean_top1'] == pytest.approx(
            (shares['rgb']['top1'] + shares['depth']['top1']) / 2, abs=1e-5)


def test_only_pairs_with_a_label_and_a_picture_count(out):
    metrics = metrics_of(out)
    assert metrics['vocabulary'] == ['blue', 'green', 'red']
    assert metrics['pairs'] == evaluating.PAIRS
    assert metrics['truth'] is True and metrics['measure'] == 'accuracy'
    assert metrics['counts']['without_label'] == len(evaluating.UNKNOWN)
    counts = {k: s['count'] for k, s in metrics['results']['int8']['modalities'].items()}
    # Colour: one broken, two without a label. Depth: one broken, one empty, one missing too.
    assert counts == {'rgb': 21, 'depth': 19, 'fused': 18}
    # All colours are told apart, but for the two that bear a wrong label.
    assert metrics['results']['int8']['modalities']['rgb']['top1'] == pytest.approx(19 / 21, 1e-4)


def test_damaged_pictures_are_listed_and_not_fatal(out):
    with (out / 'skipped.csv').open(newline='') as stream:
        rows = [(row['item'], row['reason'].split(':')[0]) for row in csv.DictReader(stream)]
    assert rows == [
        (f'bag/0/{index * 10**9}', modality) for index, modality in (
            (evaluating.BROKEN_COLOUR, 'colour'), (evaluating.BROKEN_DEPTH, 'depth'),
            (evaluating.EMPTY_DEPTH, 'depth'))
    ]
    assert metrics_of(out)['counts']['skipped_pictures'] == 3
    assert metrics_of(out)['counts']['with_second_picture'] == evaluating.PAIRS - 1


def test_models_are_compared_pair_by_pair(out):
    paired = {one['modality']: one for one in metrics_of(out)['paired']}
    assert set(paired) == {'rgb', 'depth', 'fused'}
    for modality, one in paired.items():
        assert (one['model'], one['against']) == ('int8', 'fp32')
        right = [
            {k for k, r in predictions_of(out, name, modality).items()
             if r['counted'] and r['predicted'] == r['reference']}
            for name in ('int8', 'fp32')
        ]
        assert one['both'] == len(right[0] & right[1])
        assert one['only_first'] == len(right[0] - right[1])
        assert one['only_second'] == len(right[1] - right[0])
        assert 0 < one['p_value'] <= 1


def test_size_and_latency_are_those_of_the_deployed_file(out, exported, tiny_bundle):
    results = metrics_of(out)['results']
    assert results['fp32']['bytes'] == (exported / 'student.fp32.onnx').stat().st_size
    assert results['int8']['bytes'] == (tiny_bundle / 'student.cpu.onnx').stat().st_size
    assert all(0 < results[name]['latency_ms'] < 1000 for name in results)
    assert results['fp32']['precision'] == 'fp32' and results['int8']['precision'] == 'int8'


def test_the_report_stands_alone_and_shows_everything(out):
    html = (out / 'report.html').read_text()
    assert set(re.findall(r'(?:src|href)="([^";#]{0,10})', html)) == {'data:image', ''}
    for text in ('int8', 'fp32', 'colour', 'depth', 'both fused', '95 %', 'McNemar', 'theta_3',
                 'Surest mistakes of int8 by colour', 'blue'):
        assert text in html, text
    assert 'agreement' not in html.lower()
    names = {path.stem for path in (out / 'report').glob('*.png')}
    assert {'result', 'angle', 'calibration', 'map', 'mistakes_rgb', 'mistakes_depth'} <= names
    assert {f'confusion_{m}_{k}' for m in ('int8', 'fp32') for k in ('rgb', 'depth', 'fused')} \
        <= names
    for path in (out / 'report').glob('*.png'):
        assert cv2.imread(str(path)) is not None


def test_finished_work_is_kept_and_never_overwritten(pairs, out, exported, tiny_bundle, capsys):
    before = (out / 'metrics.json').stat().st_mtime_ns
    models = (f'fp32={exported}', f'int8={tiny_bundle}')
    assert run(pairs, out, *models) == 0
    shown = capsys.readouterr().out
    assert 'nothing to do' in shown and 'colour' in shown
    assert (out / 'metrics.json').stat().st_mtime_ns == before
    with pytest.raises(OutputError, match='vocabulary'):
        run(pairs, out, *models, more=['--vocabulary', 'red', 'green'])
    with pytest.raises(OutputError, match='models'):
        run(pairs, out, models[1])


def test_a_bundle_is_measured_without_torch(tmp_path, tiny_bundle):
    """On a split that curate has made, with another second modality and words of one's own."""
    swir = make_colours(tmp_path / 'swir', modality=SWIR)
    curated = decide(tmp_path / 'curated', swir)
    arguments = words(
        swir, tmp_path / 'out', f'int8={tiny_bundle}',
        more=['--curated', curated, '--vocabulary', 'red', 'blue', 'forest', 'street'])
    code = (
        'import sys\nfrom edgevl_training import evaluate\n'
        f'assert evaluate.run({arguments}) == 0\n'
        "assert not {'torch', 'timm', 'open_clip'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT, stdout=subprocess.PIPE)
    metrics = metrics_of(tmp_path / 'out')
    assert metrics['vocabulary'] == ['red', 'blue', 'forest', 'street']
    # Ten pairs of the split; one lies too near to another split, two are seen in training.
    assert metrics['pairs'] == 7 and metrics['counts']['near_split_border'] == 1
    assert metrics['counts']['near_duplicates_of_training'] == 2
    assert '2 pairs nearly the same as a picture that training saw' in (
        tmp_path / 'out' / 'report.html').read_text()
    assert set(metrics['counts']['labels_not_in_vocabulary']) == {'green'}
    assert metrics['second_modality'] == 'swir'
    assert set(metrics['results']['int8']['modalities']) == {'rgb', 'depth', 'fused'}
    html = (tmp_path / 'out' / 'report.html').read_text()
    shown = re.sub('(src|href|id)="[^"]*"|rgb depth', '', html)
    assert 'by swir' in shown and 'depth' not in shown


def decide(folder, pairs):
    """Write what curate would decide: the last ten pairs are for testing."""
    manifest = read_manifest(pairs, 'extract')
    ids = [row['pair_id'] for row in stored_rows(pairs)]
    first = len(ids) - 10
    rows = [
        {
            'pair_id': pair_id, 'bag': 'bag', 'item': '', 'color_stamp_ns': 0,
            'split': 'train' if index < first else 'test', 'kept': False,
            'reason': {
                0: 'near a split border', 1: 'near-duplicate of a training pair',
                2: 'near-duplicate of a training pair',
            }.get(index - first, 'below tau'),
        }
        for index, pair_id in enumerate(ids)
    ]
    digest = sha256_of(pairs / 'manifest.json')
    purpose = {'pairs': {'manifest_sha256': digest}, 'recipe': {'prompts': 'indoor'}}
    with OutputFolder(folder, 'curate', purpose) as output:
        pq.write_table(pa.Table.from_pylist(rows, DECISIONS), folder / 'decisions.parquet')
        output.finish({
            'second_modality': manifest['second_modality'], 'shards': [],
            'counts': {'classes': {'kitchen': {}, 'cafe': {}}},
        })
    return folder


def test_words_are_those_of_the_data_set_and_of_the_bundle(tmp_path, tiny_bundle):
    """Whatever the split; in the sentences that curate put around them, and pack will."""
    truths = ['AnnualCrop', *['red', 'blue'] * (evaluating.PAIRS // 2)][:evaluating.PAIRS]
    pairs = make_colours(tmp_path / 'pairs', truths=truths)
    curated = decide(tmp_path / 'curated', pairs)
    task = open_task(EvaluateRecipe(
        pairs=pairs, out=tmp_path / 'out', models=(f'int8={tiny_bundle}',), curated=curated))
    assert 'AnnualCrop' not in task.pairs.truth
    assert task.vocabulary == ('annual crop', 'blue', 'red')
    asked = []

    class Listener:
        id = TEACHER  # noqa: A003 (the field's own word)
        logit_scale = 20.0

        def embed_texts(self, phrases, templates):
            asked.append((phrases, templates))
            return np.eye(len(phrases), 8, dtype=np.float32)

    results, names = {'teacher': TEACHER, 'int8': TEACHER}, {TEACHER: TEACHER}
    words = embed_words(
        ['annualcrop', 'red'], results, names, {TEACHER: Listener}, task.students, None,
        task.templates)
    assert asked == [(['annual crop', 'red'], TEMPLATES['indoor'])]
    assert words['int8'].labels == words['teacher'].labels == ('annualcrop', 'red')
    # What the robot compares with counts where there is all of it, whoever is run beside.
    words = embed_words(
        ['blue', 'red'], results, names, {TEACHER: Listener}, task.students, None,
        task.templates)
    bank = Bundle.open(tiny_bundle).phrases.vocabulary(['blue', 'red'])
    for name in results:
        np.testing.assert_array_equal(words[name].embeddings, bank.embeddings)
    assert len(asked) == 1


def test_every_bundle_is_measured_with_the_words_of_its_own_robot(tiny_bundle):
    new = open_student('new', tiny_bundle)
    rows = np.ascontiguousarray(np.eye(2, 8, dtype=np.float32)[::-1])
    other = replace(new.bank, index={'blue': 0, 'red': 1}, embeddings=rows)
    old = replace(new, name='old', bank=other)
    results = dict.fromkeys(('teacher', 'old', 'new', 'exported'), TEACHER)
    exported = replace(new, name='exported', bank=None)

    def first_words(*students):
        words = embed_words(
            ['blue', 'red'], results, {TEACHER: TEACHER}, {}, students, None)
        return {name: words[name].embeddings[0].argmax() for name in results}

    ours = new.bank.vocabulary(['blue', 'red']).embeddings[0].argmax()
    assert ours != 1
    # What has no words of its own goes by those of the deployed student, which comes last.
    assert first_words(old, exported, new) == {
        'teacher': ours, 'old': 1, 'new': ours, 'exported': ours}
    assert first_words(new, exported, old) == {
        'teacher': 1, 'old': 1, 'new': ours, 'exported': 1}


def test_words_of_other_sentences_are_not_those_of_the_deployed_student(tiny_bundle):
    old = open_student('old', tiny_bundle)
    new = replace(old, name='new', bank=None, prompts='things')

    class Listener:
        id = TEACHER  # noqa: A003 (the field's own word)
        logit_scale = 20.0

        def embed_texts(self, phrases, templates):
            assert templates == TEMPLATES['things']
            return np.eye(len(phrases), 8, dtype=np.float32)

    words = embed_words(
        ['blue', 'red'], {'new': TEACHER, 'old': TEACHER}, {TEACHER: 'named'}, {}, (old, new),
        {'named': Listener()}.get, TEMPLATES['things'])
    np.testing.assert_array_equal(words['new'].embeddings, np.eye(2, 8))
    bank = old.bank.vocabulary(['blue', 'red']).embeddings
    np.testing.assert_array_equal(words['old'].embeddings, bank)


@pytest.mark.parametrize(('verbs', 'wanted'), [
    ([{'verb': 'distill', 'recipe': {}}, {'verb': 'curate', 'recipe': {'prompts': 'things'}}],
     TEMPLATES['things']),
    ([{'verb': 'curate', 'recipe': {'prompts': None}}], None),
    ([{'verb': 'curate', 'recipe': {'prompts': 'of a later version'}}], None),
    (['junk'], None), (None, None),
])
def test_without_the_curated_folder_a_student_says_which_sentences(tmp_path, verbs, wanted):
    exported = make_exported(tmp_path / 'exported')
    manifest = json.loads((exported / 'manifest.json').read_text())
    (exported / 'manifest.json').write_text(json.dumps({**manifest, 'lineage': verbs}))
    task = open_task(EvaluateRecipe(
        pairs=make_colours(tmp_path / 'pairs'), out=tmp_path / 'out',
        models=(f'int8={exported}',)))
    assert task.templates == wanted


def test_where_labels_do_not_say_words_are_those_that_the_robot_begins_with(tmp_path):
    truths = [None] * (evaluating.PAIRS - 1)
    pairs = make_colours(tmp_path / 'pairs', truths=[*truths, 'HomeOffice'])
    curated = decide(tmp_path / 'curated', pairs)
    file = tmp_path / 'rooms.txt'
    file.write_text('# mine\nHome Office\nWork shop\n')
    measured = select_pairs(pairs, curated)
    assert words_for(measured, curated, [str(file)]) == ('home office', 'work shop')
    assert words_for(measured, curated, ['Cold-Store', 'attic']) == (
        'cold store', 'attic', 'home office')
    assert words_for(measured, curated) == ('cafe', 'kitchen', 'home office')
    both = make_colours(tmp_path / 'both', truths=[*truths[1:], 'attic', 'HomeOffice'])
    assert words_for(select_pairs(both), curated, [str(file)]) == ()


def test_an_ablation_sees_what_it_can_measure_before_it_trains(tmp_path):
    pairs = make_colours(tmp_path / 'pairs', truths=[None] * evaluating.PAIRS)
    curated = decide(tmp_path / 'curated', pairs)
    taught = make_taught(
        tmp_path / 'taught', pairs, [np.eye(8)[0]] * evaluating.PAIRS,
        {'id': TEACHER, 'dim': 8, 'logit_scale': 20.0})
    recipe = tmp_path / 'recipe.yaml'
    recipe.write_text('distill: {far: 4}\nevaluate: {device: cpu}')
    sources = Sources(pairs, taught, curated, recipe)
    settled = sources.settled()
    assert settled.vocabulary == ('cafe', 'kitchen')
    assert settled.measure != replace(sources, vocabulary=('red', 'blue')).settled().measure
    # Where teachers run changes nothing, and they are shown the depth that students see.
    assert settled.measure == replace(sources, device='auto').settled().measure
    words = ['--out', '.', *settled.words_to_measure]
    assert evaluate._range_of(open_task(sources.parsed('evaluate', words))).far_m == 4
    recipe.write_text('evaluate: {split: validation}')
    with pytest.raises(DatasetError, match="split 'validation', found none"):
        sources.settled()


def test_decisions_on_other_pairs_are_refused(tmp_path, pairs, tiny_bundle):
    other = make_colours(tmp_path / 'other')
    curated = decide(tmp_path / 'curated', other)
    with pytest.raises(DatasetError, match='other pairs'):
        run(pairs, tmp_path / 'out', f'int8={tiny_bundle}', more=['--curated', curated])
    with pytest.raises(DatasetError, match="split 'validation', found none"):
        run(other, tmp_path / 'out', f'int8={tiny_bundle}',
            more=['--curated', curated, '--split', 'validation'])


def unfinished(folder):
    folder.mkdir()
    (folder / 'in_progress.json').write_text('{}')
    return folder


def of_verb(folder, verb):
    folder.mkdir()
    (folder / 'manifest.json').write_text(json.dumps({'schema': 1, 'verb': verb}))
    return folder


def altered(folder):
    make_exported(folder)
    with (folder / 'student.cpu.onnx').open('ab') as stream:
        stream.write(b'\0')
    return folder


@pytest.mark.parametrize(('make', 'problem'), [
    (lambda folder: folder, 'no such folder'),
    (unfinished, 'an unfinished folder; give the command that makes it once more'),
    (lambda folder: of_verb(folder, 'contrast'), 'run "edgevl export --student .*model"'),
    (lambda folder: of_verb(folder, 'curate'), 'output of "edgevl curate"'),
    (altered, 'another student.cpu.onnx than its manifest lists'),
    (lambda folder: make_exported(folder, dim=9), 'expected embeddings of 8 dimensions'),
    (lambda folder: make_exported(folder, modality=SWIR), 'found one of colour and swir'),
    (lambda folder: make_exported(folder, teacher={'id': 'nobody/x', 'dim': 8}), "'nobody/x'"),
])
def test_a_model_that_does_not_fit_is_named_with_a_remedy(
    tmp_path, pairs, tiny_bundle, make, problem
):
    path = make(tmp_path / 'model')
    with pytest.raises(EdgeVLError, match=problem):
        run(pairs, tmp_path / 'out', f'good={tiny_bundle}', f'bad={path}')


@pytest.mark.parametrize(('models', 'more', 'problem'), [
    (['int8'], [], 'expected NAME=PATH'),
    (['int8=a', 'int8=b'], [], 'expected every name once, found int8 twice'),
    (['teacher=a'], ['--teacher', 'conse'], 'found teacher twice'),
    ([], [], 'expected at least one'),
    (['a=b'], ['--vocabulary', 'red', 'Red'], "found 'red' twice"),
    (['a=b'], ['--vocabulary', 'red'], 'at least two'),
    (['a=b'], ['--vocabulary', 'nowhere.txt'], 'nowhere.txt: expected a text file'),
])
def test_a_wrong_recipe_is_told_before_anything_is_read(tmp_path, models, more, problem):
    with pytest.raises(RecipeError, match=problem):
        run(tmp_path / 'nothing', tmp_path / 'out', *models, more=more)


def test_a_phrase_that_no_bundle_knows_is_named_with_the_remedy(tmp_path, tiny_bundle):
    truths = ['moon', 'red'] * (evaluating.PAIRS // 2)
    pairs = make_colours(tmp_path / 'pairs', truths=truths)
    with pytest.raises(EdgeVLError) as caught:
        run(pairs, tmp_path / 'out', f'int8={tiny_bundle}')
    assert "'moon'" in str(caught.value) and f'--teacher {TEACHER}' in str(caught.value)


def test_labels_can_be_given_other_words(tmp_path, tiny_bundle):
    """In a file, which then is the vocabulary."""
    truths = ['TheMoon', 'red'] * (evaluating.PAIRS // 2)
    pairs = make_colours(tmp_path / 'pairs', truths=truths)
    file = tmp_path / 'words.txt'
    file.write_text('# of the data set\nthe moon = bright\nred\n\nblue\n')
    recipe = EvaluateRecipe(
        pairs=pairs, out=tmp_path / 'out', models=(f'int8={tiny_bundle}',),
        vocabulary=(str(file),))
    task = open_task(recipe)
    assert task.vocabulary == ('bright', 'red', 'blue')
    assert task.phrase == {'TheMoon': 'bright', 'red': 'red'}


def test_without_labels_a_teacher_is_asked_for(tmp_path, tiny_bundle):
    pairs = make_colours(tmp_path / 'pairs', truths=[None] * evaluating.PAIRS)
    with pytest.raises(RecipeError, match='no labels to measure by; give --teacher'):
        run(pairs, tmp_path / 'out', f'int8={tiny_bundle}')


def test_nothing_to_measure_is_an_exit_status(tmp_path, tiny_bundle, capsys):
    """When every picture is damaged; the report says so."""
    whole = make_colours(tmp_path / 'whole')
    pairs = shutil.copytree(whole, tmp_path / 'pairs')
    manifest = json.loads((pairs / 'manifest.json').read_text())
    for entry in manifest['shards']:
        table = pq.read_table(pairs / entry['name'])
        for name in ('color', 'depth'):
            broken = pa.array([b'broken'] * table.num_rows, pa.binary())
            table = table.set_column(
                table.schema.get_field_index(name), table.schema.field(name), broken)
        pq.write_table(table, pairs / entry['name'])
    assert run(pairs, tmp_path / 'out', f'int8={tiny_bundle}') == 1
    assert 'no picture could be measured' in capsys.readouterr().err
    assert 'No picture could be measured' in (tmp_path / 'out' / 'report.html').read_text()
