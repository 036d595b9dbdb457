# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Splits share no moment, can be repeated, and meet their fractions."""

from edgevl_training.curation.splits import assign, split_pairs, SplitRules, SPLITS
from edgevl_training.errors import DatasetError
from hypothesis import assume, given, settings, strategies as st
import numpy as np
import pytest

SECOND = 1_000_000_000


def recording(seconds: float, rate: float = 2.0, start_s: float = 0.0) -> np.ndarray:
    """Give the stamps of an even recording."""
    return (start_s * SECOND + np.arange(int(seconds * rate)) * SECOND / rate).astype(np.int64)


def bags(*stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put recordings together as the columns of a data set."""
    bag = np.concatenate([np.full(len(s), i, np.int32) for i, s in enumerate(stamps)])
    return bag, np.concatenate(stamps)


def closest_ns(bag, stamp_ns, split) -> int:
    """Find by brute force how close pairs of one bag in different splits come."""
    apart = np.abs(stamp_ns[:, None] - stamp_ns[None])
    other = (bag[:, None] == bag[None]) & (split[:, None] != split[None])
    return int(apart[other].min()) if other.any() else np.iinfo(np.int64).max


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(
        st.integers(0, 2), st.integers(0, 400 * SECOND)
    ), min_size=3, max_size=120),
    st.floats(0, 9), st.floats(0.1, 60), st.integers(0, 5), st.sampled_from(['auto', 'block']),
)
def test_splits_keep_their_distance(pairs, gap_s, more_s, seed, by):
    """No two usable pairs of different splits of a bag are closer than the gap."""
    bag, stamp_ns = np.array([p[0] for p in pairs], np.int32), np.array([p[1] for p in pairs])
    bag = np.unique(bag, return_inverse=True)[1].astype(np.int32)
    rules = SplitRules(by=by, block_s=gap_s + more_s, gap_s=gap_s, seed=seed)
    try:
        splits = split_pairs(bag, stamp_ns, rules)
    except DatasetError:
        assume(False)
    usable = ~splits.near_border
    found = closest_ns(bag[usable], stamp_ns[usable], splits.split[usable])
    # Block and gap are cut to whole nanoseconds.
    assert found >= int(gap_s * SECOND)


@given(st.integers(0, 1000), st.permutations(range(5)))
def test_the_same_pairs_get_the_same_splits(seed, order):
    """The order in which pairs of a bag are given does not matter, nor does the day."""
    bag, stamp_ns = bags(recording(900))
    first = split_pairs(bag, stamp_ns, SplitRules(seed=seed))
    shuffled = np.concatenate([np.arange(part, len(bag), 5) for part in order])
    second = split_pairs(bag[shuffled], stamp_ns[shuffled], SplitRules(seed=seed))
    assert np.array_equal(first.split[shuffled], second.split)
    assert np.array_equal(first.near_border[shuffled], second.near_border)


def test_another_seed_splits_otherwise():
    """The seed is not an ornament."""
    columns = bags(recording(3000))
    splits = [split_pairs(*columns, SplitRules(seed=seed)).split for seed in (0, 1)]
    assert not np.array_equal(*splits)


@given(
    st.lists(st.integers(1, 50), min_size=40, max_size=200), st.integers(0, 9),
    st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.9, 0.0, 0.1), (1.0, 0.0, 0.0)]),
)
def test_fractions_are_met(sizes, seed, fractions):
    """Greedy filling comes as close as the largest group allows."""
    sizes = np.array(sizes)
    split = assign(sizes, SplitRules(fractions, seed=seed))
    found = np.bincount(split, weights=sizes, minlength=3)
    assert np.all(np.abs(found - np.array(fractions) * sizes.sum()) <= sizes.max())
    assert all(found[i] > 0 for i in range(3) if fractions[i] > 0)


@pytest.mark.parametrize('groups', [3, 4, 7])
def test_few_groups_still_fill_every_split(groups):
    """Three blocks make three splits."""
    split = assign(np.full(groups, 10), SplitRules())
    assert set(split.tolist()) == {0, 1, 2}


def test_auto_takes_bags_where_there_are_enough():
    """Twenty rooms split by room; one long drive splits by time."""
    many = split_pairs(*bags(*[recording(30) for _ in range(20)]), SplitRules())
    one = split_pairs(*bags(recording(1200)), SplitRules())
    uneven = split_pairs(*bags(recording(3000), recording(10), recording(10)), SplitRules())
    assert (many.by, many.groups) == ('bag', 20)
    assert not many.near_border.any()
    assert (one.by, one.groups) == ('block', 20)
    assert uneven.by == 'block'


def test_by_bag_never_cuts_a_bag():
    """Every bag lies in one split."""
    bag, stamp_ns = bags(*[recording(30) for _ in range(20)])
    splits = split_pairs(bag, stamp_ns, SplitRules(by='bag'))
    assert all(len(set(splits.split[bag == index].tolist())) == 1 for index in range(20))


def test_a_pause_costs_no_pairs():
    """Where the recorder slept at a border, nothing needs to be dropped."""
    stamps = np.concatenate([recording(50, start_s=60 * index) for index in range(20)])
    splits = split_pairs(*bags(stamps), SplitRules(by='block'))
    assert set(splits.split.tolist()) == {0, 1, 2}
    assert not splits.near_border.any()


def test_no_more_is_cut_than_the_gap():
    """At two pairs a second, a gap of two seconds costs three or four pairs a border."""
    splits = split_pairs(*bags(recording(1200)), SplitRules(by='block'))
    borders = np.count_nonzero(np.diff(splits.split))
    assert 0 < splits.near_border.sum() <= 4 * borders


def test_a_split_that_stays_empty_names_the_remedy_and_it_works():
    """The block length that the message names does fill every split."""
    columns = bags(recording(20, rate=5))
    with pytest.raises(DatasetError, match='validation and test') as caught:
        split_pairs(*columns, SplitRules(block_s=60.0))
    seconds = float(str(caught.value).split('--block-seconds ')[1].split()[0])
    splits = split_pairs(*columns, SplitRules(by='block', block_s=seconds))
    assert all(np.any(splits.split[~splits.near_border] == i) for i in range(len(SPLITS)))


def test_a_short_recording_gets_blocks_that_leave_every_split_its_share():
    """A minute cannot be cut by the minute; most of each share survives the gaps."""
    splits = split_pairs(*bags(recording(60, rate=5)), SplitRules())
    shares = np.bincount(splits.split[~splits.near_border], minlength=3) / len(splits.split)
    assert splits.block_s < 20
    assert np.all(shares >= 0.6 * np.array([0.8, 0.1, 0.1])), shares


def test_the_shortest_recordings_are_split_too():
    """Of twenty seconds, no split gets less than a third of its share."""
    splits = split_pairs(*bags(recording(20, rate=5)), SplitRules())
    shares = np.bincount(splits.split[~splits.near_border], minlength=3) / len(splits.split)
    assert np.all(shares >= np.array([0.8, 0.1, 0.1]) / 3), shares


def test_a_long_recording_gets_the_longest_blocks():
    """Long blocks keep what was seen together in one split."""
    assert split_pairs(*bags(recording(1200)), SplitRules()).block_s == 60


def test_a_moment_can_only_be_one_split():
    """Nothing helps a single pair but wanting one split."""
    columns = bags(recording(1, rate=1))
    with pytest.raises(DatasetError, match='--split 0.9 0.1 0'):
        split_pairs(*columns, SplitRules())
    alone = split_pairs(*columns, SplitRules((1.0, 0.0, 0.0)))
    assert alone.split.tolist() == [0]


def test_a_wanted_share_of_nothing_stays_empty():
    """A fraction of 0 asks for no pairs, and gets none."""
    splits = split_pairs(*bags(recording(3000)), SplitRules((0.9, 0.1, 0.0)))
    assert set(splits.split.tolist()) == {0, 1}
