# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb contrast: a student becomes INT8 and learns from pseudo-labels."""
from __future__ import annotations

from dataclasses import replace

from edgevl_ros.core.files import sha256_of
from edgevl_ros.core.frame import Modality
from edgevl_ros.core.preprocess import PreprocessSpec
import numpy as np
import pytest

pytest.importorskip('accelerate', reason='accelerate is not installed')
torch = pytest.importorskip('torch', reason='torch is not installed')
pytest.importorskip('timm', reason='timm is not installed')
pytest.importorskip('modelopt', reason='nvidia-modelopt is not installed')

from edgevl_training.contrast import run  # noqa: E402, I100
from edgevl_training.contrast_training import Objective  # noqa: E402
from edgevl_training.curated_split import CuratedSplit, UNSURE  # noqa: E402
from edgevl_training.distill import run as distil  # noqa: E402
from edgevl_training.errors import DatasetError, OutputError, RecipeError  # noqa: E402
from edgevl_training.fake_quant import activation_scales, load_quantized  # noqa: E402
from edgevl_training.losses import distillation, semi_hard_triplets  # noqa: E402
from edgevl_training.output import read_manifest  # noqa: E402
from edgevl_training.training_data import batches_of, BatchPlan  # noqa: E402
from edgevl_training.training_measures import Features  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from support.contrasting import (  # noqa: E402
    arguments,
    DIM,
    LABELS,
    make_data,
    make_stage1,
    NETWORK,
)
from support.distilling import metrics_of  # noqa: E402

BOTH = (Modality.RGB, Modality.DEPTH)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Give a small curated data set of three kinds of pictures."""
    return make_data(tmp_path_factory.mktemp('data') / 'curated')


@pytest.fixture(scope='module')
def stage1(data, tmp_path_factory):
    """Give a student of stage 1."""
    return make_stage1(data, tmp_path_factory.mktemp('stage1') / 'out')


@pytest.fixture(scope='module')
def contrasted(data, stage1, tmp_path_factory):
    """Give the output of a short run."""
    out = tmp_path_factory.mktemp('stage2') / 'out'
    assert run(arguments(data, stage1, out)) == 0
    return out


@pytest.fixture(scope='module')
def calibrated(data, stage1, tmp_path_factory):
    """Give the output of calibration alone."""
    out = tmp_path_factory.mktemp('ptq') / 'out'
    assert run(arguments(data, stage1, out, '--ptq')) == 0
    return out


def features_of(seed, count=12):
    """Return features of a batch, one of whose pairs has no second picture."""
    torch.manual_seed(seed)
    rows = torch.nn.functional.normalize(torch.randn(3 * count, DIM), dim=1)
    has_depth = torch.arange(count) != 3
    return Features(
        rows[:count].requires_grad_(), rows[count:2 * count - 1].requires_grad_(),
        rows[2 * count:], torch.arange(count) % 3, has_depth, 1.0)


def test_the_student_is_the_int8_one_of_the_best_epoch(contrasted, data):
    """Embed the validation pairs with what the folder holds, and find the numbers told."""
    manifest = read_manifest(contrasted, 'contrast')
    spec = PreprocessSpec.from_yaml((contrasted / 'preprocess.yaml').read_text())
    student = load_quantized(contrasted / 'student.safetensors').eval()
    validation = CuratedSplit(data, 'validation')
    texts = np.load(data / 'superset.npz')['embeddings']
    [batch] = batches_of(validation, spec, BatchPlan(6))
    with torch.inference_mode():
        for name, inputs in (('rgb', batch.rgb), ('depth', batch.depth)):
            rows = student(torch.from_numpy(inputs)).numpy()
            cosine = float(np.sum(rows * batch.teacher, 1).mean())
            # Not to the last digit: the memory format in training is another.
            assert cosine == pytest.approx(manifest['best'][f'cosine_{name}'], abs=2e-3)
            right = [
                LABELS[best] == validation.label_names[label]
                for best, label in zip((rows @ texts.T).argmax(1), batch.labels)]
            assert np.mean(right) == pytest.approx(manifest['best'][f'pseudo_labels_{name}'])
    metrics = metrics_of(contrasted)
    best = max(metrics, key=lambda epoch: (epoch['pseudo_labels'], epoch['agreement']))
    assert manifest['best']['epoch'] == best['epoch']
    assert len(metrics) == 4


def test_the_manifest_tells_what_was_made_of_what(contrasted, data, stage1):
    manifest = read_manifest(contrasted, 'contrast')
    assert manifest['data'] == {'manifest_sha256': sha256_of(data / 'manifest.json')}
    assert manifest['stage1'] == {'manifest_sha256': sha256_of(stage1 / 'manifest.json')}
    assert manifest['teacher']['id'] == 'made by a test'
    assert manifest['student'] == read_manifest(stage1, 'distill')['student']
    assert manifest['recipe']['calibration'] == 'mse'
    assert manifest['recipe']['weight_bits'] == '7'
    assert manifest['counts'] == {'train': 16, 'validation': 6}
    preprocess = [(folder / 'preprocess.yaml').read_bytes() for folder in (stage1, contrasted)]
    assert preprocess[0] == preprocess[1]
    for file in manifest['files']:
        assert sha256_of(contrasted / file['name']) == file['sha256']
    assert {path.name for path in contrasted.iterdir()} == {
        'curves.png', 'manifest.json', 'metrics.jsonl', 'preprocess.yaml', 'student.safetensors',
        'tensorboard'}


def test_the_same_command_again_does_nothing_and_another_is_refused(
        contrasted, data, stage1, capsys):
    for more in ((), ('--modalities', 'both')):
        assert run(arguments(data, stage1, contrasted, *more)) == 0
        assert 'nothing to do' in capsys.readouterr().out
    with pytest.raises(OutputError, match=r'recipe\.mining: there .intra., asked .cross.'):
        run(arguments(data, stage1, contrasted, '--mining', 'cross'))


def test_calibration_alone_leaves_the_weights(calibrated, stage1):
    before = load_file(stage1 / 'student.safetensors')
    after = load_file(calibrated / 'student.safetensors')
    assert set(after) - set(before) == {
        f'{name}.input_quantizer._amax'
        for name in activation_scales(load_quantized(calibrated / 'student.safetensors'))}
    assert all(torch.equal(before[name], after[name]) for name in before)
    [epoch] = metrics_of(calibrated)
    assert epoch['epoch'] == 0
    assert read_manifest(calibrated, 'contrast')['best'] == {**epoch, 'seconds': 0.0}


def test_training_keeps_the_scales_and_moves_the_weights(calibrated, contrasted):
    before = load_file(calibrated / 'student.safetensors')
    after = load_file(contrasted / 'student.safetensors')
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) == name.endswith('_amax'), name


def test_only_training_pairs_calibrate(calibrated, data, tmp_path):
    """Let the validation pictures be others: no scale may know."""
    other = make_data(tmp_path / 'curated', other_seed=7)
    # The same student, as if it were of these pairs.
    stage1 = make_stage1(data, tmp_path / 'stage1')
    run(arguments(other, stage1, tmp_path / 'o', '--ptq', 'true'))
    one = load_file(calibrated / 'student.safetensors')
    two = load_file(tmp_path / 'o' / 'student.safetensors')
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert metrics_of(calibrated) != metrics_of(tmp_path / 'o')
    # That pictures have a say at all:
    run(arguments(
        make_data(tmp_path / 'more', seed=1), stage1, tmp_path / 'm', '--ptq', 'true'))
    three = load_file(tmp_path / 'm' / 'student.safetensors')
    assert not all(torch.equal(one[name], three[name]) for name in one)


@pytest.mark.parametrize(('more', 'terms'), [
    ((), {'rgb', 'depth', 'triplet_rgb', 'triplet_depth', 'triplet_share'}),
    (('--loss', 'distillation'), {'rgb', 'depth'}),
    (('--loss', 'triplets'), {'triplet_rgb', 'triplet_depth', 'triplet_share'}),
    (('--mining', 'cross'), {'rgb', 'depth', 'triplet_cross', 'triplet_share'}),
])
def test_ablations_switch_terms_off(data, stage1, tmp_path, more, terms):
    run(arguments(data, stage1, tmp_path / 'o', '--epochs', '1', *more))
    [epoch] = metrics_of(tmp_path / 'o')
    found = {name.removeprefix('train_') for name in epoch if name.startswith('train_')}
    assert found == terms | {'loss'}
    if 'triplet_share' in terms:
        assert epoch['train_triplet_share'] > 0


def test_mining_goes_by_pseudo_labels(stage1, tmp_path):
    """Give all pairs one pseudo-label: then there is no negative."""
    alike = make_data(tmp_path / 'curated', labels=1)
    run(arguments(alike, stage1, tmp_path / 'o', '--epochs', '1'))
    [epoch] = metrics_of(tmp_path / 'o')
    assert epoch['train_triplet_share'] == 0
    assert epoch['train_triplet_rgb'] == 0


def test_the_loss_is_the_weighted_sum_of_the_paper():
    features = features_of(0)
    objective = Objective(BOTH, True, 0.25)
    terms = objective(features)
    loss = sum(objective.weights[name] * terms[name] for name in terms)
    of_depth = features.labels[features.has_depth]
    wanted = (
        0.25 * distillation(features.rgb, features.teacher)
        + 0.25 * distillation(features.depth, features.teacher[features.has_depth])
        + semi_hard_triplets(features.rgb, features.labels, 0.3, 3).loss
        + semi_hard_triplets(features.depth, of_depth, 0.3, 3).loss)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert terms['triplet_rgb'] > 0
    loss.backward()
    assert features.rgb.grad.abs().sum(1).min() > 0


def test_cross_modal_mining_pools_the_modalities():
    features = features_of(1)
    found = Objective(BOTH, True, 0.0, 'cross')(features)
    rows = torch.cat([features.rgb, features.depth])
    labels = torch.cat([features.labels, features.labels[features.has_depth]])
    wanted = semi_hard_triplets(rows, labels, 0.3, 3)
    assert found['triplet_cross'].item() == pytest.approx(wanted.loss.item(), rel=1e-5)
    assert set(found) == {'triplet_cross', 'triplet_share'}


def test_unsure_pairs_have_no_say_in_the_triplets():
    features = features_of(3)
    sure = torch.arange(12) % 4 != 1
    doubtful = replace(features, labels=features.labels.where(sure, UNSURE))
    for mining in ('intra', 'cross'):
        objective = Objective(BOTH, True, 0.0, mining)
        alone = Features(
            features.rgb[sure], features.depth[sure[features.has_depth]], features.teacher[sure],
            features.labels[sure], features.has_depth[sure], 1.0)
        found, wanted = objective(doubtful), objective(alone)
        assert {name: term.item() for name, term in found.items()} == pytest.approx(
            {name: term.item() for name, term in wanted.items()})
        nobody = objective(replace(features, labels=torch.full((12,), UNSURE)))
        assert not torch.stack(list(nobody.values())).any()


def test_a_batch_without_second_pictures_has_the_same_terms():
    features = features_of(2)
    colour_only = Features(
        features.rgb, features.depth[:0], features.teacher, features.labels,
        torch.zeros_like(features.has_depth), 0.0)
    for mining in ('intra', 'cross'):
        objective = Objective(BOTH, True, 1.0, mining)
        assert set(objective(colour_only)) == set(objective(features))
        assert torch.stack(list(objective(colour_only).values())).isfinite().all()


def test_a_student_of_one_modality(data, tmp_path):
    distil([
        '--data', str(data), '--out', str(tmp_path / 's'), '--student', NETWORK, '--weights',
        'none', '--image-size', '16', '--epochs', '1', '--modalities', 'depth', '--device', 'cpu'])
    run(arguments(data, tmp_path / 's', tmp_path / 'o', '--epochs', '1'))
    [epoch] = metrics_of(tmp_path / 'o')
    assert not [name for name in epoch if name.endswith('rgb')]
    assert read_manifest(tmp_path / 'o', 'contrast')['modalities'] == 'depth'


def test_a_student_of_colour_goes_on_with_depth_alone(data, tmp_path):
    """Colour has no say in its weights; in the scales where it is asked for, as in CQD."""
    distil([
        '--data', str(data), '--out', str(tmp_path / 's'), '--student', NETWORK, '--weights',
        'none', '--image-size', '16', '--epochs', '1', '--modalities', 'rgb', '--device', 'cpu'])
    more = ('--epochs', '1', '--loss', 'distillation', '--modalities', 'depth')
    run(arguments(data, tmp_path / 's', tmp_path / 'o', *more))
    [epoch] = metrics_of(tmp_path / 'o')
    assert {name for name in epoch if name.startswith('train_')} == {'train_loss', 'train_depth'}
    manifest = read_manifest(tmp_path / 'o', 'contrast')
    assert manifest['modalities'] == 'depth'
    # One training pair has no second picture.
    assert manifest['counts']['train'] == 15
    run(arguments(data, tmp_path / 's', tmp_path / 'p', '--ptq', 'true'))
    run(arguments(data, tmp_path / 's', tmp_path / 'q', '--ptq', 'true', '--modalities', 'depth'))
    run(arguments(data, tmp_path / 's', tmp_path / 'b', '--ptq', 'true', '--modalities', 'depth',
                  '--calibration-modalities', 'both'))
    kept = [load_quantized(tmp_path / name / 'student.safetensors') for name in 'opqb']
    of_run, of_colour, of_depth, of_both = (activation_scales(student) for student in kept)
    assert of_run == of_depth
    assert of_run != of_colour
    assert of_both not in (of_colour, of_depth)
    assert read_manifest(tmp_path / 'p', 'contrast')['modalities'] == 'rgb'


def test_learned_scales_are_trained_and_kept_as_any_other(calibrated, data, stage1, tmp_path):
    more = ('--loss', 'distillation', '--epochs', '2', '--activation-scales')
    run(arguments(data, stage1, tmp_path / 'f', *more, 'fixed'))
    run(arguments(data, stage1, tmp_path / 'l', *more, 'learned'))
    before, fixed, learned = (
        load_file(folder / 'student.safetensors')
        for folder in (calibrated, tmp_path / 'f', tmp_path / 'l'))
    assert set(learned) == set(fixed) == set(before)
    scales = [name for name in before if name.endswith('_amax')]
    assert all(torch.equal(before[name], fixed[name]) for name in scales)
    moved = [name for name in scales if not torch.equal(before[name], learned[name])]
    assert len(moved) > 0.9 * len(scales)
    assert all(learned[name] > 0.3 * before[name] for name in scales)
    one, two = (read_manifest(tmp_path / name, 'contrast')['student'] for name in 'fl')
    assert one == two


def test_what_only_training_reads_does_not_make_another_calibration(
        calibrated, data, stage1, capsys):
    more = ('--ptq', 'true', '--epochs', '9', '--loss', 'distillation', '--batch-size', '4')
    assert run(arguments(data, stage1, calibrated, *more)) == 0
    assert 'nothing to do' in capsys.readouterr().out
    with pytest.raises(OutputError, match='recipe.calibration: there .mse., asked .max.'):
        run(arguments(data, stage1, calibrated, '--ptq', 'true', '--calibration', 'max'))


def test_a_student_of_another_teacher_is_refused(data, stage1, tmp_path):
    manifest = (data / 'manifest.json').read_text()
    other = make_data(tmp_path / 'curated')
    (other / 'manifest.json').write_text(manifest.replace('made by a test', 'another'))
    with pytest.raises(DatasetError, match='expected a student for the same teacher'):
        run(arguments(other, stage1, tmp_path / 'o'))
    assert not (tmp_path / 'o').exists()


def test_a_superset_without_the_pseudo_labels_is_refused(stage1, tmp_path):
    data = make_data(tmp_path / 'curated')
    known = dict(np.load(data / 'superset.npz'))
    np.savez(data / 'superset.npz', labels=known['labels'][:2], embeddings=known['embeddings'][:2])
    with pytest.raises(DatasetError, match="none for .'office'"):
        run(arguments(data, stage1, tmp_path / 'o'))
    (data / 'superset.npz').unlink()
    with pytest.raises(DatasetError, match='expected the phrases that "edgevl curate" writes'):
        run(arguments(data, stage1, tmp_path / 'p'))


@pytest.mark.parametrize(('more', 'message'), [
    (('--batch-size', '5', '--accumulate', '2'), '--batch-size: expected a multiple of'),
    (('--final-learning-rate', '1'), '--final-learning-rate: expected at most'),
    (('--loss', 'triplets', '--distillation-weight', '1'), '--distillation-weight: expected none'),
    (('--loss', 'triplet'), '--loss'),
    (('--weight-bits', '4'), '--weight-bits'),
    (('--ptq', '--activation-scales', 'learned'), '--activation-scales: expected fixed with --p'),
])
def test_wrong_options_are_named(data, stage1, tmp_path, more, message):
    with pytest.raises(RecipeError, match=message):
        run(arguments(data, stage1, tmp_path / 'o', *more))
    assert not (tmp_path / 'o').exists()
