# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is kept: thresholds, near-duplicates and class balance."""

from edgevl_training.curation.columns import PairColumns
from edgevl_training.curation.confidence import Judgements, NO_LABEL
from edgevl_training.curation.duplicates import near_any, repeats
from edgevl_training.curation.selection import REASONS, select, SelectionRules
from edgevl_training.curation.splits import SPLITS, Splits
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

FRACTIONS = (0.8, 0.1, 0.1)
HASHES = st.lists(
    st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 3, 7, 2**63, 2**64 - 1])),
    min_size=1, max_size=40,
)


def columns_of(confidence, label=None, hashes=None, bag=None) -> PairColumns:
    """Make the columns of a data set, one pair a second, all pictures different."""
    confidence = np.array(confidence, np.float32)
    count = len(confidence)
    random = np.random.default_rng(1)
    return PairColumns(
        bags=('a', 'b'),
        starts=np.array([0, count]),
        bag=np.zeros(count, np.int32) if bag is None else np.array(bag, np.int32),
        stamp_ns=np.arange(count) * 10**9,
        skew_ms=np.zeros(count, np.float32),
        coverage=np.ones(count, np.float32),
        sharpness=np.ones(count, np.float32),
        hash=(
            random.integers(-2**63, 2**63 - 1, count) if hashes is None
            else np.array(hashes, np.int64)
        ),
        judged=Judgements(
            np.zeros(count, np.int32) if label is None else np.array(label, np.int32),
            confidence, confidence / 2,
        ),
    )


def splits_of(split) -> Splits:
    """Make splits without borders."""
    split = np.array(split, np.int8)
    return Splits(split, np.zeros(len(split), bool), 'block', 3)


def reasons(columns, splits, **rules) -> list[str]:
    """Select, and give the reasons in words."""
    selection = select(columns, splits, SelectionRules(**{'fractions': FRACTIONS, **rules}))
    return [REASONS[index] for index in selection.reason]


def test_tau_itself_is_kept():
    """At or above tau, in single precision."""
    found = reasons(columns_of([0.1, 0.25, 0.3, np.nextafter(np.float32(0.25), 0)]),
                    splits_of([0] * 4))
    assert found == ['below tau', 'kept', 'kept', 'below tau']


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=60, unique=True),
    st.floats(0.01, 1), st.integers(0, 100),
)
def test_a_fraction_keeps_the_most_confident_training_pairs(confidence, fraction, seed):
    """The training pairs alone set the threshold, and the others obey it."""
    split = np.random.default_rng(seed).integers(0, 3, len(confidence))
    columns = columns_of(confidence)
    rules = SelectionRules(FRACTIONS, tau=None, keep_fraction=fraction, near_duplicates=-1)
    selection = select(columns, splits_of(split), rules)
    measured = split == 0 if np.any(split == 0) else np.ones(len(split), bool)
    values = np.sort(columns.judged.confidence[measured])[::-1]
    count = max(1, round(fraction * len(values)))
    assert selection.tau == values[count - 1]
    assert selection.kept[measured].sum() == count
    assert np.array_equal(selection.kept, columns.judged.confidence >= values[count - 1])


def test_pairs_without_embedding_and_at_borders_are_told_apart():
    """They are no candidates, so they do not move the threshold either."""
    columns = columns_of([np.nan, 0.9, 0.8, 0.7], label=[NO_LABEL, 0, 0, 0])
    splits = Splits(np.zeros(4, np.int8), np.array([True, True, False, False]), 'block', 3)
    selection = select(columns, splits, SelectionRules(FRACTIONS, None, 0.5))
    assert [REASONS[i] for i in selection.reason] == [
        'no embedding', 'near a split border', 'kept', 'below tau',
    ]


@settings(deadline=None)
@given(HASHES, HASHES, st.integers(0, 16))
def test_near_any_is_brute_force(first, second, distance):
    """Bands find all that comparing everything finds, and no more."""
    expected = [any((a ^ b).bit_count() <= distance for b in second) for a in first]
    found = near_any(
        np.array(first, np.uint64).view(np.int64), np.array(second, np.uint64).view(np.int64),
        distance,
    )
    assert found.tolist() == expected


def test_near_any_of_many(monkeypatch):
    """The same in parts, as for millions."""
    monkeypatch.setattr('edgevl_training.curation.duplicates._CHUNK', 64)
    random = np.random.default_rng(2)
    theirs = random.integers(-2**63, 2**63 - 1, 500)
    mine = np.concatenate([theirs[:50] ^ 0b101, random.integers(-2**63, 2**63 - 1, 300)])
    assert near_any(mine, theirs, 2).tolist() == [True] * 50 + [False] * 300
    assert not near_any(mine, theirs[:0], 2).any()


def test_repeats_compares_with_what_was_kept():
    """A slow change is kept now and then; a window forgets."""
    drift = np.array([0b0, 0b1, 0b11, 0b111, 0b1111], np.int64)
    assert repeats(drift, 2, 10).tolist() == [False, True, True, False, True]
    again = np.array([0, -1, 0], np.int64)
    assert repeats(again, 0, 2).tolist() == [False, False, True]
    assert repeats(again, 0, 1).tolist() == [False, False, False]


def test_duplicates_within_a_split_and_across():
    """A picture of the training split may not be in the test split, in whatever bag it is."""
    columns = columns_of(
        [0.9] * 6, hashes=[0, 1, 0, 0, -1, -1], bag=[0, 0, 1, 0, 0, 1]
    )
    splits = splits_of([0, 0, 0, 2, 2, 1])
    assert reasons(columns, splits, near_duplicates=2) == [
        'kept', 'near-duplicate', 'kept', 'near-duplicate of a training pair', 'kept', 'kept',
    ]
    assert reasons(columns, splits, near_duplicates=-1) == ['kept'] * 6


def test_unsure_pictures_do_not_push_out_sure_ones():
    """Duplicates are looked for among confident pairs only."""
    columns = columns_of([0.1, 0.9, 0.9], hashes=[0, 0, 0])
    assert reasons(columns, splits_of([0, 0, 2]), near_duplicates=0) == [
        'below tau', 'kept', 'near-duplicate of a training pair',
    ]


def test_what_training_shows_is_marked_in_other_splits_however_unsure():
    """All test pairs are measured: those below tau too, and repetitions of one another."""
    columns = columns_of([0.9, 0.1, 0.9, 0.9, 0.1], hashes=[0, 0, 3, 1, -1])
    assert reasons(columns, splits_of([0, 2, 2, 2, 2]), near_duplicates=1) == [
        'kept', 'near-duplicate of a training pair', 'kept', 'near-duplicate of a training pair',
        'below tau',
    ]


def test_a_full_class_keeps_its_most_confident():
    """Ten of a class are eight for training, one for validation and one for test."""
    random = np.random.default_rng(3)
    confidence = 0.5 + random.permutation(60) / 200
    split = np.repeat([0, 1, 2], 20)
    label = np.tile([0, 1], 30)
    columns = columns_of(confidence, label=label)
    found = np.array(reasons(columns, splits_of(split), max_per_class=10))
    for index, allowed in enumerate((8, 1, 1)):
        for of_label in (0, 1):
            mine = np.flatnonzero((split == index) & (label == of_label))
            best = mine[np.argsort(-confidence[mine])][:allowed]
            assert set(np.flatnonzero(found == 'kept')) & set(mine) == set(best)
    assert set(found) == {'kept', 'class is full'}


def test_rare_classes_go_as_a_whole():
    """Three of a class are kept, two are not."""
    columns = columns_of([0.9] * 5, label=[0, 0, 0, 1, 1])
    assert reasons(columns, splits_of([0, 1, 2, 0, 1]), min_per_class=3) == [
        *['kept'] * 3, *['few of its class'] * 2,
    ]


@pytest.mark.parametrize('tau', [0.0, 0.5, 1.0])
def test_every_pair_has_one_reason(tau):
    """The counts of the reasons add up to the pairs."""
    columns = columns_of(np.linspace(0, 1, 50), label=np.arange(50) % 7)
    selection = select(columns, splits_of(np.arange(50) % len(SPLITS)), SelectionRules(
        FRACTIONS, tau, max_per_class=3, min_per_class=2,
    ))
    assert np.bincount(selection.reason).sum() == 50
    assert np.array_equal(selection.reason == 0, selection.kept)
