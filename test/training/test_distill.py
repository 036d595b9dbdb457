# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb distill: a student learns both modalities, and everything about it is written down."""
from __future__ import annotations

import json

import cv2
from edgevl_ros.core.errors import EdgeVLError
from edgevl_ros.core.files import sha256_of
from edgevl_ros.core.preprocess import ColorSpec, PreprocessSpec
import numpy as np
import pytest

pytest.importorskip('accelerate', reason='accelerate is not installed')
torch = pytest.importorskip('torch', reason='torch is not installed')
pytest.importorskip('timm', reason='timm is not installed')

from edgevl_training.curated_split import CuratedSplit  # noqa: E402, I100
from edgevl_training.dataset import SecondModality  # noqa: E402
from edgevl_training.distill import preprocess_of, run  # noqa: E402
from edgevl_training.errors import OutputError, RecipeError, TrainingError  # noqa: E402
from edgevl_training.output import read_manifest  # noqa: E402
from edgevl_training.students.student import load_student, open_student  # noqa: E402
from edgevl_training.training_data import batches_of, BatchPlan  # noqa: E402
from edgevl_training.training_loop import Trainer  # noqa: E402
from edgevl_training.training_stage import learned_by  # noqa: E402
from support.curated_folder import make_curated  # noqa: E402
from support.distilling import arguments, make_data, metrics_of  # noqa: E402

FIXED = ('--student', 'timm:vit_tiny_patch16_224', '--image-size', '32')
GREY = ColorSpec((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Give a small curated data set."""
    return make_data(tmp_path_factory.mktemp('data') / 'curated')


@pytest.fixture(scope='module')
def distilled(data, tmp_path_factory):
    """Give the output of a short run."""
    out = tmp_path_factory.mktemp('out') / 'stage1'
    assert run(arguments(data, out, '--epochs', '6')) == 0
    return out


def test_the_student_learns_both_modalities(distilled):
    metrics = metrics_of(distilled)
    assert [epoch['epoch'] for epoch in metrics] == [1, 2, 3, 4, 5, 6]
    for name in ('rgb', 'depth'):
        assert metrics[-1][f'train_{name}'] < 0.8 * metrics[0][f'train_{name}']
        assert metrics[-1][f'cosine_{name}'] > metrics[0][f'cosine_{name}']
    for epoch in metrics:
        assert epoch['train_loss'] == pytest.approx(epoch['train_rgb'] + epoch['train_depth'])
        assert epoch['agreement'] == pytest.approx(
            (epoch['cosine_rgb'] + epoch['cosine_depth']) / 2)
    rates = [epoch['learning_rate'] for epoch in metrics]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(5e-6)


def test_the_student_is_the_one_of_the_best_epoch(distilled, data):
    """Embed the validation pairs with what the folder holds, and find the numbers told."""
    manifest = read_manifest(distilled, 'distill')
    spec = PreprocessSpec.from_yaml((distilled / 'preprocess.yaml').read_text())
    student = load_student(distilled / 'student.safetensors').eval()
    [batch] = batches_of(CuratedSplit(data, 'validation'), spec, BatchPlan(4))
    with torch.inference_mode():
        for name, inputs in (('rgb', batch.rgb), ('depth', batch.depth)):
            rows = student(torch.from_numpy(inputs)).numpy()
            cosine = float(np.sum(rows * batch.teacher, 1).mean())
            assert cosine == pytest.approx(manifest['best'][f'cosine_{name}'], abs=1e-5)
    metrics = metrics_of(distilled)
    best = max(metrics, key=lambda epoch: (epoch['pseudo_labels'], epoch['agreement']))
    assert manifest['best']['epoch'] == best['epoch']


def test_the_manifest_tells_what_was_made_of_what(distilled, data):
    manifest = read_manifest(distilled, 'distill')
    assert manifest['data'] == {'manifest_sha256': sha256_of(data / 'manifest.json')}
    assert manifest['teacher'] == {'id': 'made by a test', 'dim': 6, 'logit_scale': 10.0}
    assert manifest['student']['name'] == 'timm:test_vit'
    assert manifest['student']['parameters'] > 3e5
    assert manifest['student']['image_size'] == 16
    assert manifest['weights'] == {'from': 'none'}
    assert manifest['counts'] == {'train': 14, 'validation': 4}
    assert manifest['preprocess'] == (distilled / 'preprocess.yaml').read_text()
    assert manifest['recipe']['seed'] == 0
    assert 'out' not in manifest['recipe']
    for file in manifest['files']:
        assert sha256_of(distilled / file['name']) == file['sha256']
    assert {path.name for path in distilled.iterdir()} == {
        'curves.png', 'manifest.json', 'metrics.jsonl', 'preprocess.yaml', 'student.safetensors',
        'tensorboard'}
    curves = cv2.imread(str(distilled / 'curves.png'))
    assert curves.shape[1] > 1000
    assert len(np.unique(curves.reshape(-1, 3), axis=0)) > 50


def test_tensorboard_has_a_point_an_epoch(distilled):
    event_accumulator = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator',
        reason='TensorBoard is not installed')
    events = event_accumulator.EventAccumulator(str(distilled / 'tensorboard')).Reload()
    assert {'train/loss', 'cosine/depth', 'agreement'} <= set(events.Tags()['scalars'])
    points = events.Scalars('cosine/depth')
    assert [point.step for point in points] == [1, 2, 3, 4, 5, 6]
    assert [point.value for point in points] == pytest.approx(
        [epoch['cosine_depth'] for epoch in metrics_of(distilled)])


def test_the_same_command_again_does_nothing_and_another_is_refused(distilled, data, capsys):
    before = sha256_of(distilled / 'student.safetensors')
    assert run(arguments(data, distilled, '--epochs', '6')) == 0
    assert 'nothing to do' in capsys.readouterr().out
    assert sha256_of(distilled / 'student.safetensors') == before
    with pytest.raises(OutputError, match=r'recipe\.epochs: there 6, asked 7'):
        run(arguments(data, distilled, '--epochs', '7'))


def test_the_same_seed_gives_the_same_student_and_threads_have_no_say(data, tmp_path):
    for name, more in (('a', ()), ('b', ('--threads', '3')), ('c', ('--seed', '1'))):
        run(arguments(data, tmp_path / name, '--epochs', '1', *more))
    a, b, c = (sha256_of(tmp_path / name / 'student.safetensors') for name in 'abc')
    assert a == b
    assert a != c


def test_accumulated_batches_give_the_losses_of_whole_ones(data, tmp_path):
    """Let a network without batch norm take half batches, of which pairs one has no depth."""
    run(arguments(data, tmp_path / 'whole'))
    run(arguments(data, tmp_path / 'halves', '--accumulate', '2'))
    whole, halves = metrics_of(tmp_path / 'whole'), metrics_of(tmp_path / 'halves')
    for one, other in zip(whole, halves, strict=True):
        # Each half is a mean of its own, so the pair without depth shifts the weights a little.
        assert other['train_rgb'] == pytest.approx(one['train_rgb'], rel=0.02)
        assert other['agreement'] == pytest.approx(one['agreement'], abs=0.02)


def test_training_on_a_smaller_size_leaves_the_robots_size(data, tmp_path):
    """A convolutional student learns on small crops, and is measured and deployed as before."""
    convolutional = ('--student', 'timm:test_resnet', '--image-size', '48', '--epochs', '1')
    for name, more in (('whole', ()), ('small', ('--train-size', '32'))):
        assert run(arguments(data, tmp_path / name, *convolutional, *more)) == 0
    whole, small = (tmp_path / name for name in ('whole', 'small'))
    assert (small / 'preprocess.yaml').read_text() == (whole / 'preprocess.yaml').read_text()
    assert load_student(small / 'student.safetensors').image_size == 48
    [of_whole], [of_small] = metrics_of(whole), metrics_of(small)
    assert of_whole['train_rgb'] != of_small['train_rgb']


def test_a_student_of_one_size_is_not_trained_on_another(data, tmp_path):
    with pytest.raises(TrainingError, match='--train-size 48: expected a student that takes'):
        run(arguments(data, tmp_path / 'out', *FIXED, '--train-size', '48'))


def test_no_epoch_gives_the_student_as_it_begins(data, tmp_path):
    """Where training in one stage begins: the weights that a first epoch moves."""
    for name, more in (('a', ('0',)), ('b', ('0', '--seed', '1')), ('c', ('1',))):
        run(arguments(data, tmp_path / name, '--epochs', *more))
    [epoch] = metrics_of(tmp_path / 'a')
    assert epoch['epoch'] == 0
    assert {'cosine_rgb', 'cosine_depth', 'agreement'} <= set(epoch)
    assert not [name for name in epoch if name.startswith('train')]
    a, b, c = (sha256_of(tmp_path / name / 'student.safetensors') for name in 'abc')
    assert len({a, b, c}) == 3
    torch.manual_seed(0)
    first = open_student('timm:test_vit', 6, weights=None, image_size=16).state_dict()
    found = load_student(tmp_path / 'a' / 'student.safetensors').state_dict()
    assert all(torch.equal(first[name], found[name]) for name in first)


@pytest.mark.parametrize(('modality', 'other'), [('rgb', 'depth'), ('depth', 'rgb')])
def test_one_modality_alone(data, tmp_path, modality, other):
    run(arguments(data, tmp_path / 'o', '--modalities', modality, '--epochs', '1'))
    [epoch] = metrics_of(tmp_path / 'o')
    assert f'train_{modality}' in epoch
    assert f'cosine_{modality}' in epoch
    assert not [name for name in epoch if name.endswith(other)]
    counts = read_manifest(tmp_path / 'o', 'distill')['counts']
    assert counts['train'] == (14 if modality == 'rgb' else 13)


def test_pairs_without_a_second_picture_give_a_student_of_colour_alone(tmp_path, capsys):
    """So that no bundle of it claims depth, and no robot fuses what was never trained."""
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 256, (6, 20, 24, 3), np.uint8))
    data = make_curated(
        tmp_path / 'data', pictures, np.eye(6), splits=['train'] * 4 + ['validation'] * 2)
    assert run(arguments(data, tmp_path / 'o', '--epochs', '1')) == 0
    manifest = read_manifest(tmp_path / 'o', 'distill')
    assert manifest['recipe']['modalities'] == 'both' and learned_by(manifest) == 'rgb'
    assert 'train_depth' not in metrics_of(tmp_path / 'o')[0]
    assert 'no pair has a depth picture: it learns colour alone' in capsys.readouterr().out


def test_a_refused_option_does_not_keep_the_folder(data, tmp_path):
    for more, message in (
        (('--student', 'timm:test_vitt'), 'test_vit'),
        ((*FIXED, '--train-size', '48'), '--train-size 48: expected a student that takes'),
    ):
        with pytest.raises(EdgeVLError, match=message):
            run(arguments(data, tmp_path / 'o', *more))
    assert run(arguments(data, tmp_path / 'o', '--epochs', '1')) == 0


def test_a_step_that_does_not_fit_into_the_gpu_is_told_with_a_remedy(data, tmp_path, monkeypatch):
    def full(*_):
        raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB\nmore')

    monkeypatch.setattr(Trainer, '_features', full)
    with pytest.raises(TrainingError, match='a step on 4 pairs .*2 GiB; .*--accumulate'):
        run(arguments(data, tmp_path / 'o'))


def test_weights_from_a_file_are_known_by_their_content(data, tmp_path):
    from safetensors.torch import save_file
    import timm

    network = timm.create_model('test_vit', num_classes=0)
    for path in (tmp_path / 'one.safetensors', tmp_path / 'other.safetensors'):
        save_file(network.state_dict(), path)
    run(arguments(
        data, tmp_path / 'o', '--epochs', '1', '--image-size', '160', '--weights',
        str(tmp_path / 'one.safetensors'), '--batch-size', '14'))
    found = read_manifest(tmp_path / 'o', 'distill')['weights']
    assert found == {'from': 'file', 'sha256': sha256_of(tmp_path / 'one.safetensors')}
    assert run(arguments(
        data, tmp_path / 'o', '--epochs', '1', '--image-size', '160', '--weights',
        str(tmp_path / 'other.safetensors'), '--batch-size', '14')) == 0


def test_a_loss_that_is_not_finite_names_the_pairs_and_keeps_the_checkpoint(tmp_path):
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 256, (8, 20, 20, 3), dtype=np.uint8))
    embeddings = np.eye(8)
    embeddings[5] = np.nan
    data = make_curated(
        tmp_path / 'data', pictures, embeddings, splits=['train'] * 6 + ['validation'] * 2)
    out = tmp_path / 'out'
    with pytest.raises(TrainingError) as failure:
        run(arguments(data, out, '--batch-size', '2', '--modalities', 'rgb'))
    message = str(failure.value)
    assert 'epoch 1, batch' in message
    assert 'bag/0/5000000000' in message
    assert 'rgb nan' in message
    assert '--learning-rate' in message
    assert json.loads((out / 'in_progress.json').read_text())['verb'] == 'distill'


@pytest.mark.parametrize(('more', 'message'), [
    (('--batch-size', '5', '--accumulate', '2'), '--batch-size: expected a multiple of'),
    (('--final-learning-rate', '1'), '--final-learning-rate: expected at most'),
    (('--near', '3', '--far', '2'), '--near: expected less than --far'),
    # All at once.
    (('--near', '3', '--far', '2', '--accumulate', '3'), 'multiple of .*; --near: expected less'),
    (('--far', 'nan'), '--far'),
    (('--weights', 'no/such/file.pth'), '--weights: expected imagenet, none or a file'),
    (('--precision', 'int8'), '--precision'),
])
def test_wrong_options_are_named(data, tmp_path, more, message):
    with pytest.raises(RecipeError, match=message):
        run(arguments(data, tmp_path / 'o', *more))
    assert not (tmp_path / 'o').exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')
@pytest.mark.parametrize('more', [('--device', 'cuda'), ('--precision', 'bf16')])
def test_without_a_gpu_what_needs_one_is_refused(data, tmp_path, more):
    with pytest.raises(TrainingError, match='expected a CUDA GPU, found none'):
        run(arguments(data, tmp_path / 'o', *more))


def test_more_accumulated_batches_than_pairs_are_refused(data, tmp_path):
    more = ('--batch-size', '16', '--accumulate', '16')
    with pytest.raises(TrainingError, match='expected at least 16 pairs to train on'):
        run(arguments(data, tmp_path / 'o', *more))


def test_the_range_of_the_second_modality():
    depth = preprocess_of(GREY, 32, SecondModality(), 'squash')
    assert (depth.depth.near_m, depth.depth.far_m) == (0.0, 10.0)
    swir = preprocess_of(GREY, 32, SecondModality('swir'), 'squash', far=0.5)
    assert (swir.depth.near_m, swir.depth.far_m) == (0.0, 0.5)
    assert preprocess_of(GREY, 32, SecondModality(), 'shortest_side').resize.size == 32
    with pytest.raises(RecipeError, match='--near, --far'):
        preprocess_of(GREY, 32, SecondModality(), 'squash', near=11)
