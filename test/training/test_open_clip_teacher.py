# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The teacher from OpenCLIP, held to what OpenCLIP itself computes with the same weights."""

import pickle

from edgevl_training.errors import TeacherError
from edgevl_training.prompts import TEMPLATES
from edgevl_training.teachers.teacher import choose_teacher, open_teacher
import numpy as np
import pytest
from support.untrained_clip import MODEL, untrained_clip, write_checkpoint

for package in ('torch', 'open_clip'):
    pytest.importorskip(package, reason=f'{package} is not installed: training extra')

PHRASES = ['kitchen', 'corridor with lockers']


@pytest.fixture(autouse=True, scope='module')
def fixture_single_thread():
    """Compute in one thread: on busy cores, two wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(name='checkpoint', scope='module')
def fixture_checkpoint(tmp_path_factory):
    """Write random weights once."""
    return write_checkpoint(tmp_path_factory.mktemp('weights'))


@pytest.fixture(name='teacher', scope='module')
def fixture_teacher(checkpoint):
    """Load them as a teacher once."""
    return open_teacher(f'open_clip:{MODEL}@{checkpoint}', device='cpu')


@pytest.fixture(name='original', scope='module')
def fixture_original():
    """Give OpenCLIP's own model with the same weights, and its own transform."""
    return untrained_clip()


def pictures():
    """Make pictures of several shapes: wide, high, square, smaller and larger than the input."""
    rng = np.random.default_rng(0)
    sizes = [(480, 640), (301, 97), (224, 224), (64, 48), (720, 1280)]
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def lowest_cosine(found, expected):
    """Compare rows; both must be of length one."""
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    return float(np.sum(found * expected, axis=1).min())


def test_preprocessing_is_open_clips_own(teacher, original):
    from PIL import Image

    for rgb in pictures():
        found = teacher.preprocess(rgb)
        assert found.dtype == np.float32 and found.shape == (3, 224, 224)
        np.testing.assert_array_equal(found, original[1](Image.fromarray(rgb)).numpy())


def test_image_embeddings_are_open_clips_own(teacher, original):
    import torch

    images = np.stack([teacher.preprocess(rgb) for rgb in pictures()])
    with torch.no_grad():
        expected = original[0].encode_image(torch.from_numpy(images), normalize=True).numpy()
    found = teacher.embed_images(images)
    assert found.dtype == np.float32 and found.shape == (5, teacher.dim)
    assert lowest_cosine(found, expected) > 0.9999


@pytest.mark.parametrize('ensemble', ['plain', 'satellite'])
def test_text_embeddings_are_open_clips_own(teacher, original, ensemble):
    """The same ensembles make the zero-shot classifiers of OpenCLIP."""
    import open_clip

    templates = TEMPLATES[ensemble]
    expected = open_clip.build_zero_shot_classifier(
        original[0], open_clip.get_tokenizer(MODEL), PHRASES, templates
    ).T.numpy()
    found = teacher.embed_texts(PHRASES, templates)
    assert found.dtype == np.float32 and found.shape == (2, teacher.dim)
    assert lowest_cosine(found, expected) > 0.9999


def test_texts_are_captions_unless_told_otherwise(teacher):
    captions = teacher.embed_texts(PHRASES)
    np.testing.assert_allclose(captions, teacher.embed_texts(PHRASES, TEMPLATES['scene']))
    assert np.abs(captions - teacher.embed_texts(PHRASES, TEMPLATES['plain'])).max() > 0.001


def test_the_logit_scale_is_the_models(teacher, original):
    assert teacher.logit_scale == pytest.approx(original[0].logit_scale.detach().exp().item())


def test_other_checkpoint_formats_hold_the_same_weights(tmp_path, teacher):
    path = write_checkpoint(tmp_path, '.pt')
    images = np.stack([teacher.preprocess(rgb) for rgb in pictures()[:2]])
    found = open_teacher(f'open_clip:{MODEL}@{path}', device='cpu')
    np.testing.assert_allclose(found.embed_images(images), teacher.embed_images(images), atol=1e-6)


def test_the_id_names_the_very_weights(tmp_path, checkpoint, teacher):
    from edgevl_ros.core.files import sha256_of

    assert teacher.id == f'open_clip/{MODEL}@sha256:{sha256_of(checkpoint)}'
    other = choose_teacher(f'open_clip:{MODEL}@{write_checkpoint(tmp_path, seed=1)}', 'cpu')
    assert other.id != teacher.id
    tagged = choose_teacher('open_clip:ViT-g-14/laion2b_s34b_b88k', 'cpu')
    assert tagged.id == 'open_clip/ViT-g-14/laion2b_s34b_b88k'
    assert choose_teacher(tagged.id, 'cpu').name == tagged.name


def test_half_precision_stays_close(checkpoint, teacher):
    half = open_teacher(f'open_clip:{MODEL}@{checkpoint}', 'cpu', 'bf16')
    images = np.stack([teacher.preprocess(rgb) for rgb in pictures()[:2]])
    assert lowest_cosine(half.embed_images(images), teacher.embed_images(images)) > 0.995
    texts = (PHRASES[:1], TEMPLATES['plain'])
    assert lowest_cosine(half.embed_texts(*texts), teacher.embed_texts(*texts)) > 0.995


def test_it_cannot_be_trained(teacher):
    """Not by its mode, not by gradients, not by an optimizer; alone or as a part of a module."""
    import torch

    images = np.stack([teacher.preprocess(rgb) for rgb in pictures()[:2]])
    before = teacher.embed_images(images)
    whole = torch.nn.ModuleList([teacher.model]).train()
    whole.train(True)
    teacher.model.visual.train()
    assert not any(part.training for part in teacher.model.modules())
    parameters = list(teacher.model.parameters())
    with pytest.raises(RuntimeError, match='inference'):
        teacher.model.requires_grad_(True)
    assert not any(parameter.requires_grad for parameter in parameters)
    with pytest.raises(RuntimeError, match='inference'):
        teacher.model.encode_image(torch.from_numpy(images).requires_grad_()).sum().backward()
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    with pytest.raises(RuntimeError, match='inference'):
        torch.optim.SGD(parameters, lr=0.1).step()
    for parameter in parameters:
        parameter.grad = None
    np.testing.assert_array_equal(teacher.embed_images(images), before)


@pytest.mark.parametrize(
    ('name', 'found'),
    [
        ('clip', 'open_clip:MODEL/TAG'),
        ('open_clip:ViT-G14/laion2b_s34b_b88k', 'ViT-g-14'),
        ('open_clip:ViT-g-14/laion2b', 'laion2b_s34b_b88k'),
        ('open_clip:ViT-g-14', 'laion2b_s34b_b88k'),
        (f'open_clip:{MODEL}', f'{MODEL}@FILE'),
        ('open_clip:ViT-L-14@{file}', 'open_clip:ViT-L-14/TAG@FILE'),
        ('open_clip:RN50@{file}', 'cannot be read as weights of RN50'),
        ('open_clip:RN50@nowhere.safetensors', 'no such file'),
        ('open_clip:RN50@weights.pkl', '.safetensors'),
        ('open_clip:RN50@sha256:0123', 'name the file'),
    ],
)
def test_what_cannot_be_opened_is_explained(checkpoint, name, found):
    with pytest.raises(TeacherError) as caught:
        open_teacher(name.format(file=checkpoint), device='cpu')
    assert found in str(caught.value)


def test_an_unknown_precision_or_device_is_explained(checkpoint):
    import torch

    name = f'open_clip:{MODEL}@{checkpoint}'
    with pytest.raises(TeacherError, match='fp32, fp16, bf16'):
        choose_teacher(name, 'cpu', 'int8')
    if not torch.cuda.is_available():
        with pytest.raises(TeacherError, match='no CUDA here'):
            choose_teacher(name, 'cuda')


def test_a_checkpoint_that_would_run_code_does_not(tmp_path):
    path, witness = tmp_path / 'evil.pt', tmp_path / 'witness'
    path.write_bytes(pickle.dumps(Evil(witness)))
    with pytest.raises(TeacherError, match=r'evil\.pt'):
        open_teacher(f'open_clip:{MODEL}@{path}', device='cpu')
    assert not witness.exists()


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return (open, (str(self.witness), 'w'))


def test_without_a_hub_the_remedies_are_named(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    with pytest.raises(TeacherError) as caught:
        open_teacher('open_clip:ViT-g-14/laion2b_s34b_b88k', device='cpu')
    assert '--teacher open_clip:ViT-g-14/laion2b_s34b_b88k@FILE' in str(caught.value)
    assert '--teacher conse' in str(caught.value)


def test_templates_put_the_phrase_in_and_nothing_else(teacher):
    with pytest.raises(TeacherError, match="expected '{}'"):
        teacher.embed_texts(PHRASES, ['a photo.'])


def test_a_phrase_with_braces_is_just_a_phrase():
    from edgevl_training.prompts import fill

    assert fill('a photo of a {}.', '{0.__class__} room') == 'a photo of a {0.__class__} room.'
