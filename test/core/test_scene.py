# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ranking, fusion and smoothing, held to arithmetic done by hand."""

from edgevl_ros.core.scene import (
    EmbeddingSmoother,
    fuse,
    Hypothesis,
    rank,
    stable_label,
)
from edgevl_ros.core.vocabulary import Vocabulary
import numpy as np
import pytest

SECOND = 1_000_000_000
EYE = np.eye(3, dtype=np.float32)
WORDS = Vocabulary(('x', 'y', 'z'), EYE, 2.0, 'teacher')


def test_probability_is_the_softmax_of_scaled_cosines():
    embedding = np.array([0.6, 0.8, 0.0], np.float32)
    hypotheses = rank(embedding, WORDS, 3)
    assert [h.label for h in hypotheses] == ['y', 'x', 'z']
    expected = np.exp([1.6, 1.2, 0.0]) / np.exp([1.6, 1.2, 0.0]).sum()
    np.testing.assert_allclose([h.probability for h in hypotheses], expected, rtol=1e-5)
    np.testing.assert_allclose([h.similarity for h in hypotheses], [0.8, 0.6, 0.0], atol=1e-6)


def test_top_k_beyond_the_vocabulary_gives_all_of_it():
    assert len(rank(EYE[0], WORDS, 100)) == 3
    assert len(rank(EYE[0], WORDS, 1)) == 1


def test_a_huge_logit_scale_does_not_overflow():
    sharp = Vocabulary(('x', 'y', 'z'), EYE, 9999.0, 'teacher')
    assert rank(EYE[0], sharp, 1)[0].probability == pytest.approx(1.0)


def test_fusion_is_a_weighted_mean_on_the_unit_sphere():
    fused = fuse(EYE[:2], np.array([1.0, 3.0], np.float32))
    np.testing.assert_allclose(fused, np.array([1, 3, 0]) / np.sqrt(10), rtol=1e-5)
    opposite = np.stack([EYE[0], -EYE[0]])
    np.testing.assert_array_equal(fuse(opposite, np.array([0.5, 0.5], np.float32)), EYE[0])


def test_below_either_threshold_the_label_is_unknown():
    best = Hypothesis('x', probability=0.4, similarity=0.2)
    assert stable_label(best, 0.4, 0.2) == 'x'
    assert stable_label(best, 0.41, 0.2) == 'unknown'
    assert stable_label(best, 0.4, 0.21) == 'unknown'


def test_one_odd_frame_does_not_change_a_smoothed_label_but_many_do():
    smoother = EmbeddingSmoother()
    for frame in range(10):
        smoother.update(frame * SECOND // 10, EYE[0], 0.5)
    assert np.argmax(smoother.update(SECOND, EYE[1], 0.5)) == 0
    for frame in range(11, 20):
        smoothed = smoother.update(frame * SECOND // 10, EYE[1], 0.5)
    assert np.argmax(smoothed) == 1


def test_the_past_weighs_by_elapsed_camera_time():
    smoother = EmbeddingSmoother()
    smoother.update(0, EYE[0], 1.0)
    smoothed = smoother.update(SECOND, EYE[1], 1.0)
    assert smoothed[0] / smoothed[1] == pytest.approx(np.exp(-1) / (1 - np.exp(-1)), rel=1e-5)
    after_a_pause = smoother.update(1000 * SECOND, EYE[2], 1.0)
    np.testing.assert_allclose(after_a_pause, EYE[2], atol=1e-6)


@pytest.mark.parametrize('stamp', [5 * SECOND, 4 * SECOND, -SECOND])
def test_time_that_does_not_advance_starts_anew(stamp):
    smoother = EmbeddingSmoother()
    smoother.update(5 * SECOND, EYE[0], 10.0)
    np.testing.assert_array_equal(smoother.update(stamp, EYE[1], 10.0), EYE[1])


def test_without_smoothing_every_frame_stands_alone():
    smoother = EmbeddingSmoother()
    smoother.update(0, EYE[0], 0.0)
    np.testing.assert_array_equal(smoother.update(1, EYE[1], 0.0), EYE[1])
