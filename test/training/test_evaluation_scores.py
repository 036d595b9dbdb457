# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Scores, held against other people's code, examples done by hand and what must always hold."""

import math
import warnings

from edgevl_ros.core.scene import fuse as fuse_on_the_robot, rank
from edgevl_ros.core.vocabulary import Vocabulary
from edgevl_training.evaluation import scores
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
import numpy as np
import pytest

LABELS = 6
ANSWERS = st.integers(1, 60).flatmap(lambda count: st.tuples(*(
    arrays.arrays(np.int32, count, elements=st.integers(0, LABELS - 1)) for _ in range(2)
)))


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random_unit(count, dim, seed=0):
    return unit(np.random.default_rng(seed).normal(size=(count, dim)))


def test_probabilities_are_those_of_the_robot():
    words = Vocabulary(tuple('abcde'), random_unit(5, 8), 20.0, 'teacher')
    images = random_unit(30, 8, seed=1)
    found = scores.probabilities(images, words.embeddings, 20.0)
    assert found.sum(1) == pytest.approx(1)
    for row, image in zip(found, images):
        wanted = {one.label: one.probability for one in rank(image, words, 5)}
        assert dict(zip('abcde', row)) == pytest.approx(wanted, rel=1e-4)


def test_large_logits_do_not_overflow():
    found = scores.probabilities(random_unit(3, 8), random_unit(4, 8, 1), 9999.0)
    assert np.isfinite(found).all()


def test_fusion_is_that_of_the_robot():
    first, second = random_unit(20, 8), random_unit(20, 8, 1)
    second[3] = -first[3]
    weights = np.array([0.5, 0.5], np.float32)
    wanted = [fuse_on_the_robot(np.stack(pair), weights) for pair in zip(first, second)]
    assert scores.fuse(first, second) == pytest.approx(np.array(wanted), abs=1e-6)


def test_what_is_missing_stays_missing_when_fused():
    first = random_unit(2, 4)
    second = np.array([first[1], [np.nan] * 4], np.float32)
    assert np.isfinite(scores.fuse(first, second)).all(1).tolist() == [True, False]


@settings(deadline=None)
@given(ANSWERS)
def test_accuracies_agree_with_scikit_learn(answers):
    metrics = pytest.importorskip('sklearn.metrics', reason='scikit-learn is not installed')
    truth, predicted = answers
    counts = scores.confusion(truth, predicted, LABELS)
    assert (counts == metrics.confusion_matrix(truth, predicted, labels=range(LABELS))).all()
    assert scores.top1(truth, predicted) == pytest.approx(
        metrics.accuracy_score(truth, predicted))
    with warnings.catch_warnings():
        # About labels that are said and never true, which it then leaves out as we do.
        warnings.simplefilter('ignore', UserWarning)
        wanted = metrics.balanced_accuracy_score(truth, predicted)
    assert scores.mean_class(counts) == pytest.approx(wanted)


@settings(deadline=None)
@given(ANSWERS, st.permutations(range(LABELS)))
def test_the_order_of_labels_changes_nothing(answers, order):
    truth, predicted = answers
    moved = np.array(order)
    counts = scores.confusion(truth, predicted, LABELS)
    renamed = scores.confusion(moved[truth], moved[predicted], LABELS)
    assert (renamed[np.ix_(moved, moved)] == counts).all()
    assert scores.mean_class(renamed) == pytest.approx(scores.mean_class(counts))
    assert scores.top1(moved[truth], moved[predicted]) == scores.top1(truth, predicted)


def test_labels_that_never_occur_do_not_count():
    counts = scores.confusion(np.array([0, 0, 0, 1]), np.array([0, 0, 2, 1]), 4)
    assert scores.per_class(counts)[:2].tolist() == [2 / 3, 1]
    assert np.isnan(scores.per_class(counts)[2:]).all()
    assert scores.mean_class(counts) == pytest.approx((2 / 3 + 1) / 2)


def test_nothing_to_count_is_no_number():
    none = np.empty(0, int)
    assert math.isnan(scores.top1(none, none))
    assert math.isnan(scores.mean_class(scores.confusion(none, none, 3)))
    assert math.isnan(scores.reliability(np.empty(0), np.empty(0, bool)).error)
    assert scores.wilson(0, 0) == (0, 1)


def test_calibration_by_hand():
    """Two bins: 0.15 said and 50 % right, 0.9 said and 75 % right."""
    confidence = np.array([0.1, 0.19, 0.9, 0.9, 0.9, 0.9])
    right = np.array([True, False, True, True, True, False])
    found = scores.reliability(confidence, right)
    assert found.count.tolist() == [0, 2, 0, 0, 0, 0, 0, 0, 0, 4]
    assert found.confidence[[1, 9]] == pytest.approx([0.145, 0.9])
    assert found.right[[1, 9]] == pytest.approx([0.5, 0.75])
    assert np.isnan(found.right[0])
    assert found.error == pytest.approx((2 * 0.355 + 4 * 0.15) / 6)


def test_honest_probabilities_have_next_to_no_calibration_error():
    lot = np.random.default_rng(0)
    confidence = lot.random(200_000)
    right = lot.random(200_000) < confidence
    assert scores.reliability(confidence, right).error < 0.01
    assert scores.reliability(confidence, lot.random(200_000) < confidence ** 3).error > 0.2


@settings(deadline=None)
@given(arrays.arrays(np.float64, 40, elements=st.floats(0, 1)), st.integers(0, 2**40 - 1))
def test_calibration_error_stays_within_its_bounds(confidence, bits):
    right = np.array([bits >> place & 1 for place in range(40)], bool)
    found = scores.reliability(confidence, right)
    assert found.count.sum() == 40
    assert abs(confidence.mean() - right.mean()) - 1e-9 <= found.error <= 1


def test_angles_in_degrees():
    images = unit(np.array([[1, 0], [1, 1], [0, 1], [-1, 0]]))
    words = np.tile(np.array([1, 0], np.float32), (4, 1))
    assert scores.angles_deg(images, words) == pytest.approx([0, 45, 90, 180], abs=1e-4)


@pytest.mark.parametrize(('right', 'count'), [(0, 10), (10, 10), (330, 795), (1, 3)])
def test_intervals_agree_with_scipy(right, count):
    stats = pytest.importorskip('scipy.stats', reason='scipy is not installed')
    wanted = stats.binomtest(right, count).proportion_ci(0.95, 'wilson')
    assert scores.wilson(right, count) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_share(counts):
    low, high = scores.wilson(*counts)
    assert 0 <= low <= counts[0] / counts[1] <= high <= 1


def test_paired_comparison_by_hand():
    """Of 10 alone against 2 the exact p-value is twice the tail of a fair coin."""
    first = np.array([True] * 5 + [True] * 10 + [False] * 2 + [False] * 3)
    second = np.array([True] * 5 + [False] * 10 + [True] * 2 + [False] * 3)
    found = scores.compare_paired(first, second)
    assert (found.both, found.only_first, found.only_second, found.neither) == (5, 10, 2, 3)
    tail = sum(math.comb(12, k) for k in range(3)) / 2**12
    assert found.p_value == pytest.approx(2 * tail)


@pytest.mark.parametrize('counts', [(0, 0), (1, 0), (7, 7), (8, 17), (300, 410), (0, 2000)])
def test_p_values_agree_with_scipy(counts):
    stats = pytest.importorskip('scipy.stats', reason='scipy is not installed')
    wanted = stats.binomtest(counts[0], sum(counts), 0.5).pvalue if sum(counts) else 1
    assert scores.mcnemar(*counts) == pytest.approx(wanted)
    assert scores.mcnemar(*counts[::-1]) == scores.mcnemar(*counts)


def test_models_that_never_differ_are_equal():
    same = np.array([True, False, True])
    assert scores.compare_paired(same, same).p_value == 1
