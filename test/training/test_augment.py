# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Crops and flips show the same part of both pictures of a pair."""
from __future__ import annotations

from edgevl_training.augment import random_view, View, WHOLE
from hypothesis import given, settings, strategies
import numpy as np
import pytest


@settings(deadline=None)
@given(seed=strategies.integers(0, 10_000), smallest=strategies.floats(0.01, 1))
def test_a_view_lies_inside_and_has_the_area_asked_for(seed, smallest):
    view = random_view(np.random.default_rng(seed), smallest)
    assert view.left >= 0
    assert view.top >= 0
    assert view.left + view.width <= 1 + 1e-9
    assert view.top + view.height <= 1 + 1e-9
    assert smallest - 1e-9 <= view.width * view.height <= 1 + 1e-9
    assert 0.74 < view.width / view.height < 1.34


@settings(deadline=None)
@given(
    seed=strategies.integers(0, 10_000), rows=strategies.integers(1, 40),
    columns=strategies.integers(1, 40))
def test_at_least_a_pixel_is_left_of_any_picture(seed, rows, columns):
    view = random_view(np.random.default_rng(seed), 0.01)
    assert 0 not in view.of(np.zeros((rows, columns, 3), np.uint8)).shape


def test_the_whole_view_changes_nothing():
    picture = np.arange(24, dtype=np.float32).reshape(4, 6)
    np.testing.assert_array_equal(WHOLE.of(picture), picture)


def test_a_mirrored_view_is_cut_first():
    picture = np.arange(8).reshape(2, 4)
    part = View(0.5, 0.0, 0.5, 1.0, mirrored=True).of(picture)
    np.testing.assert_array_equal(part, [[3, 2], [7, 6]])
    assert part.flags.c_contiguous


@pytest.mark.parametrize('seed', range(5))
def test_pictures_of_two_sizes_are_cut_alike(seed):
    """Cut a picture whose pixels say where they are, and one of half its size."""
    across = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (48, 1))
    view = random_view(np.random.default_rng(seed), 0.3)
    large, small = view.of(across), view.of(across[::2, ::2])
    assert large.mean() == pytest.approx(small.mean(), abs=0.03)
    assert (large[0, 0] < large[0, -1]) == (not view.mirrored)


def test_views_differ_and_half_of_them_are_mirrored():
    rng = np.random.default_rng(0)
    views = [random_view(rng, 0.5) for _ in range(200)]
    assert len({view.left for view in views}) > 150
    assert 70 < sum(view.mirrored for view in views) < 130
