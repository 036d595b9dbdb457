# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The tables of an ablation: what goes into a row, and how it is told."""
from __future__ import annotations

import csv
import dataclasses
import io
import json
import statistics

import cv2
import numpy as np
import pytest

pytest.importorskip('pydantic', reason='pydantic is not installed')
pytest.importorskip('pyarrow', reason='pyarrow is not installed')
pytest.importorskip('matplotlib', reason='matplotlib is not installed')

from edgevl_training.ablate import AblateRecipe, run  # noqa: E402, I100
from edgevl_training.ablation.earlier import read_earlier  # noqa: E402
from edgevl_training.ablation.experiments import EXPERIMENTS, ROWS, TABLES  # noqa: E402
from edgevl_training.ablation.report import draw_chart, report_page  # noqa: E402
from edgevl_training.ablation.scores import Line, scores_of  # noqa: E402
from edgevl_training.ablation.smaller import CLIP_B, smaller_than  # noqa: E402
from edgevl_training.ablation.sources import Sources  # noqa: E402
from edgevl_training.ablation.tables import Ablation, as_csv, as_json, markdown  # noqa: E402
from edgevl_training.contrast import ContrastRecipe  # noqa: E402
from edgevl_training.distill import DistillRecipe  # noqa: E402
from edgevl_training.errors import DatasetError, RecipeError, TeacherError  # noqa: E402
from edgevl_training.recipe import parse  # noqa: E402

# Of the rows that are not of both.
MODALITIES = {
    'rgb_stage1': 'rgb', 'depth_stage1': 'depth', 'rgb_only': 'rgb', 'depth_only': 'depth',
    'cqd': 'depth',
}


def result(rgb, depth, size=4_000_000, latency_ms=2.5):
    """Give what evaluate says of a model with some top-1 shares."""
    return {
        'modalities': {
            'rgb': {'top1': rgb, 'mean_class': rgb / 2},
            'depth': {'top1': depth, 'mean_class': depth / 2},
        }, 'bytes': size, 'latency_ms': latency_ms,
    }


@pytest.fixture
def ablation():
    """Give lines of both tables, over two seeds, one of which failed."""
    one, two = (
        scores_of({'rgb': found, 'depth': found})
        for found in (result(0.4, 0.3), result(0.5, 0.32, latency_ms=2.6)))
    lines = (
        Line('teacher', ROWS['teacher'], {None: scores_of({'rgb': {
            'modalities': {'rgb': {'top1': 0.38, 'mean_class': 0.2}}}})}, asked=(None,),
            precision='FP16'),
        Line('qat', ROWS['qat'], {}, 'seed 0: no | space left', asked=(0, 1)),
        Line('stage2', ROWS['stage2'], {0: one, 1: two}, asked=(0, 1)),
        Line('depth_only', ROWS['depth_only'], {0: one}, 'seed 1: killed', asked=(0, 1)),
    )
    return Ablation(lines, (0, 1), 'swir', 'All 8 pairs of the test split.', 'abc')


def test_the_scores_of_a_student_on_both_modalities():
    found = scores_of(dict.fromkeys(('rgb', 'depth'), result(0.4, 0.3)))
    assert found == {
        'rgb_top1': 0.4, 'depth_top1': 0.3, 'mean_top1': pytest.approx(0.35),
        'rgb_mean_class': 0.2, 'depth_mean_class': 0.15, 'mean_mean_class': pytest.approx(0.175),
        'bytes': 4e6, 'latency_ms': 2.5,
    }


def test_two_students_are_measured_each_on_its_own():
    found = scores_of({
        'rgb': result(0.4, 0.01, 3_000_000, 2.0), 'depth': result(0.02, 0.3, 5_000_000, 4.0)})
    assert (found['rgb_top1'], found['depth_top1']) == (0.4, 0.3)
    assert (found['bytes'], found['latency_ms']) == (8e6, 3.0)


def test_a_teacher_has_neither_size_nor_latency():
    teacher = {'modalities': {'rgb': {'top1': 0.4, 'mean_class': None}}, 'bytes': None}
    assert scores_of({'rgb': teacher, 'depth': teacher}) == {'rgb_top1': 0.4}


def test_the_tables_in_markdown(ablation):
    text = markdown(ablation)
    assert 'All 8 pairs of the test split.' in text
    first, second = text.split('## Table 2')
    assert '| Teacher, zero-shot | FP16 | \u2013 | 38.0 | \u2013 |' in first
    assert '| EdgeVL | INT8 | 31.0 ± 1.4 | 45.0 ± 7.1 | 38.0 ± 4.2 |' in first
    assert '| + Stage 2 (EdgeVL) | INT8 | 31.0 ± 1.4 |' in second
    assert '| 4.0 | 2.55 |' in second
    # Of one seed there is no deviation.
    assert '| swir only (1 of 2 seeds) | INT8 | 30.0 | 40.0 | 35.0 |' in second
    assert '| + QAT | INT8 | \u2013 |' in second
    without, partly = second.split('## Without numbers')[1].split('## Failed in part')
    assert without.strip() == '- qat: seed 0: no \\| space left'
    assert partly.strip() == '- depth_only: seed 1: killed'
    tables = [line for line in text.splitlines() if line.startswith('|')]
    assert len({line.count(' | ') for line in tables}) == 1


def test_the_tables_for_programs(ablation):
    rows = {(row['table'], row['row']): row for row in csv.DictReader(
        io.StringIO(as_csv(ablation)))}
    assert set(rows) == {('1', 'teacher'), ('1', 'stage2'), ('2', 'qat'), ('2', 'stage2'),
                         ('2', 'depth_only')}
    mean = float(rows['2', 'stage2']['rgb_top1'])
    assert mean == pytest.approx(0.45)
    deviation = float(rows['2', 'stage2']['rgb_top1_deviation'])
    assert deviation == pytest.approx(statistics.stdev([0.4, 0.5]))
    assert rows['2', 'qat']['problem'] == 'seed 0: no | space left'
    content = as_json(ablation)
    assert content['rows']['stage2']['by_seed']['1']['rgb_top1'] == 0.5
    assert content['rows']['stage2']['mean']['mean_top1'] == pytest.approx(0.38)
    assert content['rows']['teacher']['by_seed'] == {
        'every': {'rgb_top1': 0.38, 'rgb_mean_class': 0.2}}
    assert content['rows']['depth_only']['deviation'] == {}
    tried = rows['2', 'depth_only']
    assert (tried['seeds'], tried['seeds_asked']) == ('1', '2')
    assert content['rows']['teacher']['precision'] == rows['1', 'teacher']['precision'] == 'FP16'


def test_rows_of_an_earlier_run_stay(ablation, tmp_path):
    (tmp_path / 'tables.json').write_text(json.dumps(as_json(ablation)))
    earlier = read_earlier(tmp_path / 'tables.json', 'abc')
    assert set(earlier.lines) == {'teacher', 'stage2', 'depth_only'}
    assert earlier.measured == ablation.measured
    better = dict.fromkeys(('rgb', 'depth'), result(0.6, 0.6))
    joined = {line.name: line for line in earlier.joined((
        Line('stage2', ROWS['stage2'], {}, 'seed 0: killed', asked=(0,)),
        Line('depth_only', ROWS['depth_only'], {1: scores_of(better)}, asked=(1,)),
        Line('lsq', ROWS['lsq'], {1: scores_of(better)}, asked=(1,)),
    ))}
    assert list(joined) == ['teacher', 'lsq', 'stage2', 'depth_only']
    # A row that fails now keeps what it had, and says that it failed.
    assert joined['stage2'].by_seed == ablation.lines[2].by_seed
    assert joined['stage2'].problem == 'seed 0: killed'
    assert joined['depth_only'].by_seed[0] == ablation.lines[3].by_seed[0]
    assert joined['depth_only'].mean('rgb_top1') == pytest.approx(0.5)
    assert joined['teacher'] == ablation.lines[0]
    # Measured otherwise, numbers cannot stand in one table.
    assert read_earlier(tmp_path / 'tables.json', 'other').lines == {}
    assert read_earlier(tmp_path / 'none.json', 'abc').lines == {}


def test_the_page_and_the_chart(ablation):
    chart = draw_chart(ablation)
    page = report_page(ablation, chart)
    assert all(f'Table {number}: {title}' in page for number, title in TABLES.items())
    assert 'no | space left' in page
    assert 'http' not in page.replace('http-equiv', '')
    picture = cv2.imdecode(np.frombuffer(chart, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] > 800
    # No bar where nothing was measured, which would look like none right.
    other = {**result(0.38, 0.0), 'bytes': None}
    zero = Line('teacher', ROWS['teacher'], {None: scores_of({'rgb': other, 'depth': other})})
    assert draw_chart(dataclasses.replace(ablation, lines=(zero, *ablation.lines[1:]))) != chart
    assert draw_chart(Ablation((), (0,), 'depth', ''))


def test_every_row_names_experiments_and_options_that_there_are(tmp_path):
    """And what a recipe says cannot make another row of it."""
    (tmp_path / 'r.yaml').write_text(
        'distill: {epochs: 8, learning_rate: 0.001, modalities: rgb}\ncontrast: {epochs: 4, '
        'learning_rate: 1e-5, loss: triplets, modalities: depth, activation_scales: learned}')
    sources = Sources(tmp_path, tmp_path, tmp_path, tmp_path / 'r.yaml')
    budgets = sources.budgets()
    for row in ROWS.values():
        assert set(row.students.values()) <= set(EXPERIMENTS)
    for name, experiment in EXPERIMENTS.items():
        words = [*sources.words, '--data', '.', '--out', '.']
        words += [option.format(**budgets) for option in experiment.options]
        if experiment.verb == 'distill':
            assert experiment.base is None
            recipe = parse(DistillRecipe, 'distill', words, ['distill', 'contrast'])
        else:
            assert EXPERIMENTS[experiment.base].verb == 'distill'
            words += ['--student', '.']
            recipe = parse(ContrastRecipe, 'contrast', words, ['distill', 'contrast'])
        if name == 'single_stage':
            assert recipe.epochs == 8 + 4
            assert recipe.learning_rate == 1e-3
            assert recipe.final_learning_rate == pytest.approx(1e-6)
        if name in ('qat', 'lsq', 'stage2', 'rgb_only'):
            assert recipe.epochs == 4
        if name == 'cqd':
            assert (recipe.epochs, recipe.learning_rate) == (8, 1e-3)
            assert recipe.calibration_modalities == 'both'
        assert recipe.modalities == MODALITIES.get(name, 'both')
        if experiment.verb == 'contrast':
            assert recipe.ptq is (name == 'ptq')
            alone = name in ('qat', 'lsq', 'cqd')
            assert name == 'ptq' or recipe.loss == ('distillation' if alone else 'both')
        if name in ('ptq', 'qat', 'lsq', 'cqd', 'single_stage'):
            learned = name in ('lsq', 'single_stage')
            assert recipe.activation_scales == ('learned' if learned else 'fixed')


def test_a_smaller_teacher_of_the_same_family():
    pytest.importorskip('open_clip', reason='open_clip_torch is not installed')
    assert smaller_than('open_clip:ViT-g-14/laion2b_s34b_b88k') == CLIP_B
    assert smaller_than('open_clip:ViT-L-14@weights.safetensors') == CLIP_B
    assert smaller_than('open_clip/ViT-L-14/openai') == CLIP_B
    # One classifier is smaller than two.
    for teacher in ('conse', 'conse:tf_efficientnet_lite0+tf_efficientnet_lite2',
                    'conse/tf_efficientnet_lite2+all-MiniLM-L6-v2'):
        assert smaller_than(teacher) == 'conse:tf_efficientnet_lite0'
    # Of a ResNet or of timm's networks nobody says here how large they are.
    for teacher in ('open_clip:ViT-B-16/openai', 'open_clip:ViT-B-32/laion2b_s34b_b79k',
                    'open_clip:RN50/openai', 'open_clip:ViT-L-16-SigLIP-256/webli',
                    'conse:tf_efficientnet_lite0',
                    'conse/tf_efficientnet_lite0+all-MiniLM-L6-v2'):
        with pytest.raises(TeacherError, match='--small-teacher'):
            smaller_than(teacher)


def test_without_folders_it_refuses(tmp_path):
    out = ['--out', str(tmp_path / 'o')]
    with pytest.raises(RecipeError, match='--pairs, --curated: expected these folders, or --work'):
        run([*out, '--taught', str(tmp_path)])
    with pytest.raises(RecipeError, match='--rows'):
        run([*out, '--work', str(tmp_path), '--rows', 'stage3'])
    with pytest.raises(DatasetError, match=r'expected the work folder of .* recipe\.yaml'):
        run([*out, '--work', str(tmp_path)])
    with pytest.raises(RecipeError, match='--config: expected a file or one of'):
        run([*out, '--work', str(tmp_path), '--config', 'no-such'])
    assert not (tmp_path / 'o').exists()


def test_all_rows_are_asked_for_unless_some_are():
    recipe = AblateRecipe(out='o', work='w')
    assert set(recipe.rows) == set(ROWS)
    assert {number for row in ROWS.values() for number in row.tables} == set(TABLES)
    assert recipe.folders['curated'].as_posix() == 'w/curated'
