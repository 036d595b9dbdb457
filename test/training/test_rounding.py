# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rounding that looks at the inputs keeps a layer's outputs better than rounding to nearest."""

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is not installed: training extra')


def layer_outputs_error(weights, wanted, inputs):
    """Give the mean squared error of a layer's outputs."""
    return float((((weights - wanted) @ inputs.T) ** 2).mean())


def test_columns_make_up_for_each_other():
    """On correlated inputs the error is a fraction of that of rounding to nearest."""
    from edgevl_training.rounding import _round_columns

    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(4000, 6)) @ rng.normal(size=(6, 24)) + 0.1 * rng.normal(
        size=(4000, 24)
    )
    inputs = torch.from_numpy(np.c_[inputs, np.ones(4000)])
    weights = torch.from_numpy(rng.normal(size=(8, 25)))
    scale = weights[:, :-1].abs().amax(1) / 7
    rounded = _round_columns(weights[None], (inputs.T @ inputs)[None], scale[None], 7)[0]
    nearest = weights.clone()
    nearest[:, :-1] = torch.round(weights[:, :-1] / scale[:, None]) * scale[:, None]
    steps = rounded[:, :-1] / scale[:, None]
    torch.testing.assert_close(steps, steps.round(), atol=1e-9, rtol=0)
    assert steps.abs().max() <= 7
    careful = layer_outputs_error(rounded, weights, inputs)
    assert careful < 0.3 * layer_outputs_error(nearest, weights, inputs)


def test_logit_scale_finds_the_temperature_that_made_the_beliefs():
    """Beliefs made with a scale of 20 over the same cosines give 20 back, nearly."""
    from edgevl_training.calibrate import fit_logit_scale

    rng = np.random.default_rng(0)
    names = rng.normal(size=(1000, 16))
    names /= np.linalg.norm(names, axis=1, keepdims=True)
    images = rng.normal(size=(1000, 16))
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    beliefs = np.exp(20 * images @ names.T)
    beliefs /= beliefs.sum(1, keepdims=True)
    found = fit_logit_scale(beliefs, images, names, 500, rng)
    assert found == pytest.approx(20, rel=0.15)


def test_patches_hold_what_a_convolution_sums():
    """Weights times patches is the convolution, with asymmetric padding and groups."""
    from edgevl_training.students.conse_lite import ConvUnit

    torch.manual_seed(0)
    conv = torch.nn.Conv2d(6, 12, 3, stride=2, groups=6, bias=False)
    norm = torch.nn.BatchNorm2d(12).eval()
    unit = ConvUnit('unit', conv, norm, relu6=False, size=10)
    assert unit.padding == (0, 1)
    x = torch.randn(2, 6, 10, 10)
    weight = unit.weight.reshape(6, 2, -1)
    summed = torch.einsum('gok,bgkp->bgop', weight, unit.patches(x)).reshape(2, 12, 5, 5)
    torch.testing.assert_close(
        summed + unit.bias[:, None, None], unit.convolve(x), atol=1e-5, rtol=1e-5
    )
