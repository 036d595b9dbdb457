# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""INT8 rounding in training, against a definition of its own and on the networks it is for."""
from __future__ import annotations

from edgevl_ros.core.preprocess import ColorSpec
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is not installed')
pytest.importorskip('timm', reason='timm is not installed')
pytest.importorskip('modelopt', reason='nvidia-modelopt is not installed')

from edgevl_training.fake_quant import (  # noqa: E402, I100
    activation_scales,
    calibrate,
    float_twin,
    insert_quantizers,
    load_quantized,
    save_quantized,
    weight_levels,
    weight_scales,
)
from edgevl_training.students.backbones import Backbone  # noqa: E402
from edgevl_training.students.folding import fold_batch_norm  # noqa: E402
from edgevl_training.students.student import (  # noqa: E402
    load_student,
    open_student,
    save_student,
    Student,
)
from edgevl_training.students.weights import StudentError  # noqa: E402
from torch import nn  # noqa: E402

SIDE = 16
GREY = ColorSpec((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
LITE, VIT = 'efficientnet_lite0', 'timm:vit_tiny_patch16_224'


def images(count=6, side=SIDE, seed=0):
    """Return random images, float32 (count, 3, side, side)."""
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def plain(*layers, features=8):
    """Build a student on layers of torch."""
    torch.manual_seed(0)
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Student('plain', Backbone(module, features, SIDE, GREY), 5)


def opened(name, side):
    """Build a student with random weights."""
    torch.manual_seed(0)
    return open_student(name, 12, weights=None, image_size=side)


@pytest.fixture(scope='module', params=[(LITE, 32), (VIT, 16)], ids=['lite0', 'vit'])
def quantized(request):
    """Give a calibrated student, and what its float twin had for embeddings."""
    name, side = request.param
    student = opened(name, side).eval()
    with torch.no_grad():
        before = student(images(side=side))
    insert_quantizers(student)
    calibrate(student, [images(side=side)])
    return student, before, images(side=side)


def rounded(values, scale, least, most):
    """Round to INT8 and back, in numpy."""
    return np.clip(np.rint(values / scale), least, most) * scale


def rounded_weight(weight, levels):
    """Round a weight, output channels first, to symmetric integers."""
    largest = np.abs(weight).reshape(len(weight), -1).max(1)
    scale = (largest / levels).reshape(-1, *[1] * (weight.ndim - 1))
    return rounded(weight, scale, -levels, levels)


@pytest.mark.parametrize(('groups', 'bits', 'levels'), [(1, 7, 63), (1, 8, 127), (8, 7, 127)])
def test_a_convolution_is_that_of_rounded_numbers(groups, bits, levels):
    student = plain(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=groups)).eval()
    insert_quantizers(student, bits)
    calibrate(student, [images()])
    conv = student.backbone[1]
    # Wider than the calibrated range, so that some are clipped.
    x = 2 * torch.randn(2, 8, 7, 7, generator=torch.Generator().manual_seed(3))
    scale = activation_scales(student)['backbone.1']
    x_int8 = rounded(x.numpy(), scale, -128, 127)
    assert np.abs(x_int8).max() == pytest.approx(128 * scale)
    weight = rounded_weight(conv.state_dict()['weight'].numpy(), levels)
    wanted = nn.functional.conv2d(
        torch.from_numpy(x_int8).double(), torch.from_numpy(weight).double(),
        conv.bias.double(), groups=groups)
    np.testing.assert_allclose(conv(x).detach(), wanted.detach(), atol=1e-5)
    assert weight_levels(student)['backbone.1'] == levels


def test_a_linear_layer_is_that_of_rounded_numbers():
    student = insert_quantizers(plain(nn.Conv2d(3, 8, 3)).eval())
    calibrate(student, [images()], 'max')
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(4))
    scale = activation_scales(student)['projection']
    layer = student.projection
    weight = rounded_weight(layer.state_dict()['weight'].numpy(), 63)
    wanted = rounded(x.numpy(), scale, -128, 127) @ weight.T + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(x).detach(), wanted, atol=1e-5)
    np.testing.assert_allclose(
        weight_scales(student)['projection'],
        np.abs(layer.state_dict()['weight'].numpy()).max(1) / 63, rtol=1e-6)


def test_gradients_pass_where_nothing_is_clipped():
    student = insert_quantizers(plain(nn.Conv2d(3, 8, 3)).eval())
    calibrate(student, [images()], 'max')
    quantizer = student.projection.input_quantizer
    largest = float(quantizer.amax)
    x = (torch.tensor([-1.2, -0.9, 0.0, 0.3, 1.2]) * largest).requires_grad_()
    quantizer(x).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_rounding_changes_little_and_every_layer_is_rounded(quantized):
    student, before, x = quantized
    with torch.no_grad():
        after = student(x)
    cosines = (before * after).sum(1)
    assert cosines.min() > 0.9
    assert not torch.equal(before, after)
    layers = [
        name for name, module in student.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))]
    assert set(layers) == set(weight_scales(student))
    assert set(layers) <= set(activation_scales(student))
    assert all(scale > 0 for scale in activation_scales(student).values())
    assert not [m for m in student.modules() if isinstance(m, nn.BatchNorm2d)]


def test_a_saved_student_comes_back_bit_for_bit(quantized, tmp_path):
    student, _, x = quantized
    save_quantized(student, tmp_path / 'student.safetensors')
    loaded = load_quantized(tmp_path / 'student.safetensors').eval()
    with torch.no_grad():
        assert torch.equal(loaded(x), student(x))
    assert activation_scales(loaded) == activation_scales(student)
    assert weight_levels(loaded) == weight_levels(student)
    assert (loaded.name, loaded.dim, loaded.image_size, loaded.color) == (
        student.name, student.dim, student.image_size, student.color)


def test_every_parameter_is_trained(quantized):
    student, _, x = quantized
    student.zero_grad()
    student(x)[:, 0].sum().backward()
    assert not [name for name, value in student.named_parameters() if value.grad is None]
    student.zero_grad()


def test_the_float_twin_has_the_weights_and_no_rounding(quantized):
    student, before, x = quantized
    twin = float_twin(student)
    with torch.no_grad():
        assert torch.allclose(twin(x), before, atol=1e-4)
    names = dict(twin.named_modules())
    assert set(activation_scales(student)) <= set(names)
    assert not [name for name in names if 'quantizer' in name]


def test_both_summands_of_a_residual_block_are_rounded():
    student = insert_quantizers(opened(LITE, 32).eval())
    calibrate(student, [images(side=32)])
    scales = activation_scales(student)
    block = student.backbone.blocks[1][1]
    seen = {}
    block.drop_path.register_forward_hook(
        lambda _, __, output: seen.update(branch=output.detach()))
    block.conv_pw.register_forward_pre_hook(
        lambda _, inputs: seen.update(shortcut=inputs[0].detach()))
    student(images(side=32))
    for name, part in (('.drop_path', 'branch'), ('', 'shortcut')):
        steps = seen[part] / scales[f'backbone.blocks.1.1{name}']
        assert torch.allclose(steps, steps.round(), atol=1e-3)
        assert steps.abs().max() > 20
    assert scales['backbone.blocks.1.1'] == scales['backbone.blocks.1.1.conv_pw']
    assert 'backbone.global_pool' in scales


def test_the_largest_value_or_the_least_error():
    student = insert_quantizers(plain(nn.Conv2d(3, 8, 1)).eval())
    heavy = images() ** 3
    name = 'backbone.0'
    calibrate(student, [heavy[:3], heavy[3:]], 'max')
    of_max = activation_scales(student)[name]
    assert of_max == pytest.approx(float(heavy.abs().max()) / 127)
    errors = {}
    for method in ('max', 'percentile', 'mse'):
        calibrate(student, [heavy[:3], heavy[3:]], method)
        scale = activation_scales(student)[name]
        errors[method] = float(((rounded(heavy.numpy(), scale, -128, 127) - heavy.numpy()) ** 2)
                               .mean())
        assert scale <= of_max
    assert errors['mse'] < errors['max']
    assert errors['mse'] <= errors['percentile']


def test_without_pictures_there_is_no_calibration():
    student = insert_quantizers(plain(nn.Conv2d(3, 8, 1)))
    with pytest.raises(StudentError, match='expected pictures to calibrate with, found none'):
        calibrate(student, [])


def test_a_channel_of_zeros_has_a_bias_that_fits_int32():
    student = plain(nn.Conv2d(3, 8, 3))
    with torch.no_grad():
        student.backbone[0].weight[2] = 0
        student.backbone[0].bias[2] = 5
    insert_quantizers(student)
    calibrate(student, [images()])
    product = weight_scales(student)['backbone.0'] * activation_scales(student)['backbone.0']
    assert 5 / product[2] < 2**31
    assert torch.isfinite(student(images())).all()


def test_batch_norm_before_a_convolution_is_frozen():
    layers = (nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    student = plain(*layers)
    student(images(seed=5))
    before = student.eval()(images()).detach()
    fold_batch_norm(student).train()
    student(images(seed=6))
    assert torch.allclose(student(images()), before, atol=1e-5)
    assert student.backbone[1].bias.requires_grad
    assert len(student.backbone[2]) == 0


def test_a_layer_that_would_stay_float_is_refused():
    class Attention(nn.Module):

        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2)

        def forward(self, x):
            rows = x.flatten(2).permute(2, 0, 1)
            return self.attention(rows, rows, rows)[0].permute(1, 2, 0)[..., None]

    with pytest.raises(StudentError, match=r'backbone\.1\.attention \(MultiheadAttention\)'):
        insert_quantizers(plain(nn.Conv2d(3, 8, 4, 4), Attention()))


def test_the_two_kinds_of_students_are_not_mistaken(tmp_path):
    student = opened(VIT, 16)
    save_student(student, tmp_path / 'float.safetensors')
    with pytest.raises(StudentError, match='expected a quantized student, found other tensors'):
        load_quantized(tmp_path / 'float.safetensors')
    save_quantized(insert_quantizers(student), tmp_path / 'int8.safetensors')
    with pytest.raises(StudentError):
        load_student(tmp_path / 'int8.safetensors')
