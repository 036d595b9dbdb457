# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage 1 with a teacher that is asked about every crop."""
from __future__ import annotations

import json
import shutil

from edgevl_ros.core.files import sha256_of
from edgevl_ros.core.frame import Modality
from edgevl_ros.core.preprocess import ColorSpec
import numpy as np
import pytest

pytest.importorskip('accelerate', reason='accelerate is not installed')
pytest.importorskip('torch', reason='torch is not installed')
pytest.importorskip('timm', reason='timm is not installed')
pytest.importorskip('open_clip', reason='open_clip is not installed')

from edgevl_training.curated_split import CuratedSplit  # noqa: E402, I100
from edgevl_training.dataset import SecondModality  # noqa: E402
from edgevl_training.distill import preprocess_of, run  # noqa: E402
from edgevl_training.errors import RecipeError  # noqa: E402
from edgevl_training.output import read_manifest  # noqa: E402
from edgevl_training.teachers.teacher import open_teacher, unit_rows  # noqa: E402
from edgevl_training.teaching.crop_teacher import open_crop_teacher  # noqa: E402
from edgevl_training.training_data import batches_of, BatchPlan  # noqa: E402
from support.curated_folder import make_curated  # noqa: E402
from support.distilling import (  # noqa: E402
    arguments,
    command,
    finish,
    kill_after_an_epoch,
    metrics_of,
)
from support.untrained_clip import MODEL, write_checkpoint  # noqa: E402

TRAIN, VALIDATION = 8, 2
DEPTH = SecondModality('depth', 0.001, (0,))
SPEC = preprocess_of(ColorSpec((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), 32, DEPTH, 'squash')


@pytest.fixture(name='name', scope='module')
def fixture_name(tmp_path_factory):
    """Write a small CLIP of random weights; give its name."""
    return f'open_clip:{MODEL}@{write_checkpoint(tmp_path_factory.mktemp("weights"))}'


@pytest.fixture(name='data', scope='module')
def fixture_data(tmp_path_factory, name):
    """Curate noise; what the data set has stored is the opposite of what the teacher says."""
    teacher = open_teacher(name, 'cpu')
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (40, 48, 3), np.uint8) for _ in range(TRAIN + VALIDATION)]
    said = teacher.embed_images(np.stack([teacher.preprocess(picture) for picture in pictures]))
    depths = [np.full((40, 48), 1000 + 500 * n, np.uint16) for n in range(len(pictures))]
    folder = make_curated(
        tmp_path_factory.mktemp('data') / 'curated', pictures, -said, depths=depths,
        splits=['train'] * TRAIN + ['validation'] * VALIDATION)
    return curated_with(folder, teacher=teacher.id)


def curated_with(folder, teacher=None, views=None, **recipe):
    """Let a manifest name another teacher, its views, or other options."""
    path = folder / 'manifest.json'
    manifest = json.loads(path.read_text())
    manifest['recipe'].update(recipe)
    manifest['teacher']['id'] = teacher or manifest['teacher']['id']
    manifest['views'] = views
    path.write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize('modalities', [(Modality.RGB, Modality.DEPTH), (Modality.DEPTH,)])
def test_the_teacher_sees_the_crops_of_the_student(data, name, modalities):
    asked = open_crop_teacher(name, 'cpu', data, read_manifest(data, 'curate'))
    asked.preprocess, asked.input_shape = SPEC.rgb_input, (3, 32, 32)
    split = CuratedSplit(data, 'train')
    crops = [batch.rgb for batch in batches_of(split, SPEC, BatchPlan(4, smallest_area=0.3))]
    plan = BatchPlan(4, smallest_area=0.3, modalities=modalities, crop_teacher=asked)
    batches = list(batches_of(split, SPEC, plan))
    assert len(batches) == len(crops) == TRAIN / 4
    for batch, crop in zip(batches, crops):
        assert crop.any()
        np.testing.assert_array_equal(batch.teacher_inputs, crop)
        assert batch.rgb.any() == (Modality.RGB in modalities)
    assert all(batch.teacher_inputs is None for batch in batches_of(split, SPEC, BatchPlan(4)))


def test_what_it_says_of_crops_is_what_the_teacher_says(data, name):
    asked = open_crop_teacher(name, 'cpu', data, read_manifest(data, 'curate'))
    teacher = open_teacher(name, 'cpu')
    crop = np.random.default_rng(1).integers(0, 256, (30, 20, 3), np.uint8)
    inputs = asked.preprocess(crop)[np.newaxis]
    assert inputs.shape[1:] == asked.input_shape
    np.testing.assert_allclose(
        asked.embed(inputs), unit_rows(teacher.embed_images(inputs)), atol=1e-6)


@pytest.mark.parametrize('modalities', ['both', 'depth'])
def test_the_student_learns_what_is_said_of_crops(data, name, tmp_path, modalities):
    """The stored embeddings are the opposite: who learns from the crops goes away from them."""
    options = ['--epochs', '4', '--modalities', modalities, '--choose', 'last']
    last = {}
    for how, more in (('stored', []), ('asked', ['--teacher', name])):
        assert run(arguments(data, tmp_path / how, *options, *more)) == 0
        last[how] = metrics_of(tmp_path / how)[-1]['cosine_depth']
    assert last['stored'] > 0.3 and last['asked'] < -0.3
    manifests = [read_manifest(tmp_path / how, 'distill') for how in ('stored', 'asked')]
    assert [one['crop_teacher'] for one in manifests] == [None, open_teacher(name, 'cpu').id]


def test_crops_are_asked_about_alike_after_a_kill_and_in_two_processes(data, name, tmp_path):
    options = ('--teacher', name, '--epochs', '8')
    finish(command(data, tmp_path / 'unbroken', *options))
    unbroken = metrics_of(tmp_path / 'unbroken')
    told = kill_after_an_epoch(command(data, tmp_path / 'killed', *options), tmp_path / 'killed')
    assert 0 < len(told) < len(unbroken)
    finish(command(data, tmp_path / 'killed', *options))
    assert metrics_of(tmp_path / 'killed') == unbroken
    one, other = (tmp_path / how / 'student.safetensors' for how in ('unbroken', 'killed'))
    assert sha256_of(one) == sha256_of(other)
    finish(command(data, tmp_path / 'two', *options, processes=2))
    for alone, together in zip(unbroken, metrics_of(tmp_path / 'two'), strict=True):
        assert together == pytest.approx(alone, rel=1e-3)


def test_another_teacher_is_refused(data, tmp_path):
    with pytest.raises(RecipeError, match='expected open_clip/.*found conse/'):
        run(arguments(data, tmp_path / 'out', '--teacher', 'conse'))


@pytest.mark.parametrize(('options', 'views', 'remedy'), [
    ({'center': 0.5}, None, 'edgevl curate --center 0'),
    ({'agree_seconds': 2.0, 'center': 0.0}, None, 'edgevl curate --agree-seconds 0'),
    ({}, ['whole', 'center'], 'edgevl teach --views whole'),
])
def test_targets_of_more_than_one_whole_picture_are_refused(
    data, name, tmp_path, options, views, remedy
):
    other = curated_with(shutil.copytree(data, tmp_path / 'curated'), views=views, **options)
    with pytest.raises(RecipeError, match=f'anew with {remedy}$'):
        run(arguments(other, tmp_path / 'out', '--teacher', name))
