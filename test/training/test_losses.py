# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The objectives, against loops that are easy to check by eye."""
from __future__ import annotations

from hypothesis import given, settings, strategies
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is not installed')

from edgevl_training.losses import distillation, semi_hard_triplets  # noqa: E402, I100


def unit(rows):
    """Scale rows to length one."""
    return rows / rows.norm(dim=1, keepdim=True)


def random_rows(seed, count, dim=6):
    """Return unit rows, float64, and labels of three kinds."""
    generator = torch.Generator().manual_seed(seed)
    rows = unit(torch.randn(count, dim, generator=generator, dtype=torch.float64))
    return rows, torch.randint(3, (count,), generator=generator)


def looped_triplets(features, labels, margin, negatives):
    """Compute loss and share anchor by anchor."""
    features, labels = features.numpy(), labels.numpy()
    losses = []
    for anchor in range(len(features)):
        distance = [float(np.linalg.norm(features[anchor] - other)) for other in features]
        alike = [i for i in range(len(features)) if labels[i] == labels[anchor] and i != anchor]
        if not alike:
            continue
        nearest = min(distance[i] for i in alike)
        semi_hard = sorted(
            distance[i] for i in range(len(features))
            if labels[i] != labels[anchor] and nearest < distance[i] < nearest + margin)
        if semi_hard:
            losses.append(np.mean([nearest - far + margin for far in semi_hard[:negatives]]))
    return (float(np.mean(losses)) if losses else 0.0), len(losses) / len(features)


@settings(deadline=None, max_examples=60)
@given(
    seed=strategies.integers(0, 10_000), count=strategies.integers(1, 24),
    margin=strategies.sampled_from([0.05, 0.3, 2.0]), negatives=strategies.integers(1, 5),
    twins=strategies.booleans())
def test_triplets_are_those_of_a_plain_loop(seed, count, margin, negatives, twins):
    features, labels = random_rows(seed, count)
    if twins:
        features[count // 2:] = features[0]
    features.requires_grad_()
    found = semi_hard_triplets(features, labels, margin, negatives)
    loss, usable = looped_triplets(features.detach(), labels, margin, negatives)
    assert found.loss.item() == pytest.approx(loss, abs=1e-9)
    assert found.share.item() == pytest.approx(usable)
    found.loss.backward()
    assert features.grad.isfinite().all()
    assert bool(features.grad.any()) == (usable > 0)


def on_a_circle(*degrees):
    """Return unit rows at angles of a circle."""
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float32))
    return torch.stack([angles.cos(), angles.sin()], 1).requires_grad_()


@pytest.mark.parametrize(('degrees', 'labels'), [
    ((0, 20, 40), (0, 1, 2)),  # no positive
    ((0, 20, 40), (0, 0, 0)),  # no negative
    ((0, 40, 20, 21), (0, 0, 1, 1)),  # negatives nearer than the positive
    ((0, 1, 170, 171), (0, 0, 1, 1)),  # negatives beyond the margin
    ((0,), (0,)),
    ((0, 0), (0, 1)),
])
def test_without_a_triplet_the_loss_is_zero_with_a_gradient_of_zero(degrees, labels):
    features = on_a_circle(*degrees)
    found = semi_hard_triplets(features, torch.tensor(labels))
    assert (found.loss.item(), found.share.item()) == (0, 0)
    found.loss.backward()
    assert features.grad.abs().sum() == 0


def test_equal_rows_have_finite_gradients_in_single_precision():
    features = torch.ones(8, 4)
    features[:4, 0] = 1.0001
    features = unit(features).requires_grad_()
    semi_hard_triplets(features, torch.tensor([0, 0, 1, 1, 0, 0, 1, 1])).loss.backward()
    assert features.grad.isfinite().all()


def test_triplets_pull_the_positive_and_push_the_negative():
    features = on_a_circle(0, 10, 15)
    before = semi_hard_triplets(features, torch.tensor([0, 0, 1])).loss
    before.backward()
    moved = unit((features - 0.01 * features.grad).detach())
    assert semi_hard_triplets(moved, torch.tensor([0, 0, 1])).loss < before


def test_distillation_is_the_mean_distance_and_zero_for_no_rows():
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    teacher = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    assert distillation(student, teacher).item() == 1.0
    assert distillation(teacher, teacher).item() == 0.0
    none = distillation(student[:0], teacher[:0])
    none.backward()
    assert none.item() == 0.0
    assert student.grad.abs().sum() == 0
