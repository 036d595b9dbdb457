# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learned step sizes: the published gradient, one step for one tensor, and scales for export."""
from __future__ import annotations

import math

from edgevl_ros.core.preprocess import ColorSpec
import pytest

torch = pytest.importorskip('torch', reason='torch is not installed')
pytest.importorskip('timm', reason='timm is not installed')
pytest.importorskip('modelopt', reason='nvidia-modelopt is not installed')

from edgevl_training import checkpoint  # noqa: E402, I100
from edgevl_training.fake_quant import (  # noqa: E402
    activation_scales,
    calibrate,
    float_twin,
    insert_quantizers,
    Int8Quantizer,
    load_quantized,
    save_quantized,
)
from edgevl_training.learned_scales import (  # noqa: E402
    LearnedQuantizer,
    with_fixed_scales,
    with_learned_scales,
)
from edgevl_training.students.backbones import Backbone  # noqa: E402
from edgevl_training.students.student import open_student, Student  # noqa: E402
from torch import nn  # noqa: E402

GREY = ColorSpec((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
NETWORKS = [('efficientnet_lite0', 32), ('timm:vit_tiny_patch16_224', 16), ('dat_t', 64)]


def calibrated(name, side):
    """Build a calibrated student with random weights; give it and pictures."""
    torch.manual_seed(0)
    student = insert_quantizers(open_student(name, 12, weights=None, image_size=side).eval())
    pictures = torch.randn(3, 3, side, side)
    calibrate(student, [pictures])
    return student, pictures


def quantizer_of(scale):
    """Build the learned quantizer of a layer's input, with a step size."""
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    student = insert_quantizers(Student('plain', Backbone(module, 4, 8, GREY), 5))
    calibrate(student, [torch.randn(2, 3, 8, 8)])
    quantizer = with_learned_scales(student).backbone[0].input_quantizer
    with torch.no_grad():
        quantizer.step.fill_(scale)
    return quantizer


def test_the_gradient_is_the_published_one():
    """Compute equation 3 by hand, for two pictures of four numbers each."""
    quantizer = quantizer_of(0.1)
    x = torch.tensor([[0.26, -0.1, 30.0, -40.0], [0.02, 12.69, -0.44, 0.0]], requires_grad=True)
    upstream = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    rounded = quantizer(x)
    assert rounded.tolist() == [
        pytest.approx([0.3, -0.1, 12.7, -12.8]), pytest.approx([0.0, 12.7, -0.4, 0.0])]
    (rounded * upstream).sum().backward()
    of_each = [3 - 2.6, 0, 127, -128, 0 - 0.2, 127 - 126.9, -4 + 4.4, 0]
    wanted = sum(a * b for a, b in zip(of_each, upstream.flatten().tolist()))
    # Four numbers a picture, 127 positive levels.
    assert quantizer.step.grad.item() == pytest.approx(wanted / math.sqrt(4 * 127), rel=1e-4)
    # What was clipped has no say in the weights before it.
    assert (x.grad != 0).tolist() == [[True, True, False, False], [True, True, True, True]]


def test_a_step_goes_where_the_error_falls():
    quantizer = quantizer_of(0.5)
    torch.manual_seed(1)
    x = torch.randn(64, 100)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.01)
    errors = []
    for _ in range(60):
        loss = ((quantizer(x) - x) ** 2).mean()
        errors.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert errors[-1] < 0.2 * errors[0]


@pytest.mark.parametrize(('name', 'side'), NETWORKS)
def test_learned_scales_begin_as_the_calibrated_ones_and_are_kept(name, side, tmp_path):
    student, pictures = calibrated(name, side)
    scales = activation_scales(student)
    with torch.no_grad():
        before = student(pictures)
        assert torch.allclose(with_learned_scales(student)(pictures), before, atol=1e-6)
    assert activation_scales(student) == pytest.approx(scales)
    student(pictures)[:, 0].sum().backward()
    steps = {id(q.step): q.step for q in student.modules() if isinstance(q, LearnedQuantizer)}
    assert all(step.grad is not None for step in steps.values())
    with torch.no_grad():
        for step in steps.values():
            step.mul_(1.25)
        moved = student(pictures)
    assert not torch.allclose(moved, before, atol=1e-4)
    twin = float_twin(student)
    with_fixed_scales(student)
    assert activation_scales(student) == pytest.approx(
        {key: 1.25 * scale for key, scale in scales.items()})
    assert not [m for m in student.modules() if isinstance(m, LearnedQuantizer)]
    assert [key for key, _ in twin.named_parameters()] == [
        key for key, _ in student.named_parameters()]
    save_quantized(student, tmp_path / 'student.safetensors')
    loaded = load_quantized(tmp_path / 'student.safetensors').eval()
    assert activation_scales(loaded) == activation_scales(student)
    with torch.no_grad():
        assert torch.allclose(loaded(pictures), moved, atol=1e-6)


def test_a_checkpoint_brings_steps_and_their_moments_back(tmp_path):
    """Go on in a student that nobody calibrated, as a run does that was killed."""
    student, pictures = calibrated('efficientnet_lite0', 32)
    again = insert_quantizers(open_student('efficientnet_lite0', 12, weights=None, image_size=32))
    found = []
    for one in (student, again.eval()):
        optimizer = torch.optim.AdamW(with_learned_scales(one).parameters(), lr=1e-3)
        if one is student:
            step_down(student, pictures, optimizer)
            checkpoint.save(tmp_path / 'c', student, optimizer, {'epochs': []})
        else:
            checkpoint.load(tmp_path / 'c', again, optimizer)
        step_down(one, pictures, optimizer)
        found.append((activation_scales(one), one(pictures)))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


def step_down(student, pictures, optimizer):
    student(pictures)[:, 0].sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_what_is_one_tensor_on_the_robot_has_one_step():
    student, _ = calibrated('efficientnet_lite0', 32)
    with_learned_scales(student)
    block = student.backbone.blocks[1][1]
    assert block.input_quantizer.step is block.conv_pw.input_quantizer.step
    assert block.drop_path.input_quantizer.step is not block.input_quantizer.step
    every = [m for m in student.modules() if isinstance(m, Int8Quantizer) and m.axis is None]
    alike = {id(q.step): float(q.scale) for q in every}
    residual = [m for m in student.backbone.modules() if getattr(m, 'has_skip', False)]
    assert len(alike) == len(every) - len(residual)
