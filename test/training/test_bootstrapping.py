# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Targets in which the student of stage 1 has a say."""
from __future__ import annotations

from edgevl_ros.core.frame import Modality
from edgevl_ros.core.preprocess import PreprocessSpec
import numpy as np
import pytest

accelerate = pytest.importorskip('accelerate', reason='accelerate is not installed')
torch = pytest.importorskip('torch', reason='torch is not installed')
pytest.importorskip('timm', reason='timm is not installed')
pytest.importorskip('modelopt', reason='nvidia-modelopt is not installed')

from edgevl_training.bootstrapping import bootstrap  # noqa: E402, I100
from edgevl_training.contrast import run  # noqa: E402
from edgevl_training.curated_split import BOTH, CuratedSplit, UNSURE  # noqa: E402
from edgevl_training.distill import run as distil  # noqa: E402
from edgevl_training.errors import DatasetError  # noqa: E402
from edgevl_training.students.student import load_student  # noqa: E402
from edgevl_training.training_data import batches_of, BatchPlan  # noqa: E402
from edgevl_training.training_plan import Training  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from support.contrasting import (  # noqa: E402
    arguments,
    make_data,
    make_stage1,
    NETWORK,
    WITHOUT_DEPTH,
)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Give a small curated data set and a student that has learned nothing, so disagrees."""
    data = make_data(tmp_path_factory.mktemp('data') / 'curated')
    return data, make_stage1(data, tmp_path_factory.mktemp('stage1') / 'out', epochs=0)


def bootstrapped(folders, weight, modalities=BOTH):
    """Return the split as it was, with what the student says of it, and as it has become."""
    data, stage1 = folders
    spec = PreprocessSpec.from_yaml((stage1 / 'preprocess.yaml').read_text())
    student = load_student(stage1 / 'student.safetensors')
    before, split = (CuratedSplit(data, 'train', modalities) for _ in range(2))
    training = Training(1, 1e-3, 1e-4, 0.0, 8, 0.5, modalities=modalities)
    changed = bootstrap(split, student, spec, training, weight, accelerate.Accelerator(cpu=True))
    [batch] = batches_of(before, spec, BatchPlan(100, modalities=modalities))
    with torch.inference_mode():
        said = [student(torch.from_numpy(part)).numpy() for part in (batch.rgb, batch.depth)]
    return before, said, split, changed


def targets_of(split):
    return np.array([split.pair(number).teacher for number in range(len(split))])


def units(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_teacher_and_student_speak_together(folders):
    before, (rgb, depth), split, changed = bootstrapped(folders, 0.7)
    depth[WITHOUT_DEPTH] = 0
    wanted = units(targets_of(before) + 0.7 * units(rgb + depth))
    np.testing.assert_allclose(targets_of(split), wanted, atol=1e-5)
    np.testing.assert_allclose(split.pair(5).teacher, wanted[5], atol=1e-5)
    texts = np.load(folders[0] / 'superset.npz')['embeddings']
    assert split.labels.tolist() == (wanted @ texts.T).argmax(1).tolist()
    names = [[of.label_names[label] for label in of.labels] for of in (before, split)]
    assert changed == pytest.approx(np.mean([a != b for a, b in zip(*names)]))


def test_a_student_that_outweighs_the_teacher_gives_the_labels(folders):
    _, (rgb, depth), split, changed = bootstrapped(folders, 100)
    depth[WITHOUT_DEPTH] = 0
    texts = np.load(folders[0] / 'superset.npz')['embeddings']
    assert split.labels.tolist() == (units(rgb + depth) @ texts.T).argmax(1).tolist()
    assert changed > 0.2


def test_only_what_it_was_distilled_on_has_a_say(folders):
    before, (_, depth), split, _ = bootstrapped(folders, 1.0, (Modality.DEPTH,))
    assert len(split) == 15
    wanted = units(targets_of(before) + units(depth))
    np.testing.assert_allclose(targets_of(split), wanted, atol=1e-5)


def test_a_student_has_no_say_about_what_it_has_not_learned(folders, tmp_path):
    data, _ = folders
    distil([
        '--data', str(data), '--out', str(tmp_path / 'rgb'), '--student', NETWORK, '--weights',
        'none', '--image-size', '16', '--epochs', '0', '--modalities', 'rgb', '--device', 'cpu'])
    more = ('--modalities', 'both', '--bootstrap', '1')
    with pytest.raises(DatasetError, match='--bootstrap: expected a student .* on both, found'):
        run(arguments(data, tmp_path / 'rgb', tmp_path / 'out', *more))


def test_confidence_follows_so_that_doubtful_labels_are_left_out(folders):
    _, _, split, _ = bootstrapped(folders, 100)
    texts = np.load(folders[0] / 'superset.npz')['embeddings']
    likely = targets_of(split) @ texts.T
    scale = split.manifest['teacher']['logit_scale']
    confidence = (np.exp(scale * likely) / np.exp(scale * likely).sum(1, keepdims=True)).max(1)
    split.keep_labels(0.5)
    assert set(np.flatnonzero(split.labels == UNSURE)) == set(np.argsort(confidence)[:8])


def test_stage_2_trains_with_it(folders, tmp_path, capsys):
    run(arguments(*folders, tmp_path / 'without', '--epochs', '1'))
    assert 'pseudo-labels\n' not in capsys.readouterr().out
    run(arguments(*folders, tmp_path / 'with', '--epochs', '1', '--bootstrap', '2'))
    assert 'of the pseudo-labels\n' in capsys.readouterr().out
    one, other = (load_file(tmp_path / name / 'student.safetensors') for name in (
        'without', 'with'))
    assert any(not torch.equal(one[name], other[name]) for name in one)
