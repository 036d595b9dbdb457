# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Training, validation and test: whole bags, or blocks of time with a gap between them.

Neighbouring frames of a recording show the same thing, so a test pair next to a training pair
tests memory. The split is made from bags and stamps alone, before anything is judged or selected:
the same pair lands in the same split whatever the teacher thinks of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgevl_training.errors import DatasetError
import numpy as np
from numpy.typing import NDArray

SPLITS = ('train', 'validation', 'test')
SplitBy = Literal['auto', 'bag', 'block']

# 'auto' takes whole bags where that meets every wanted share this closely.
_TOLERATED_SHARE = 0.05
# Blocks are no longer than this where nobody says how long; a robot leaves a room sooner.
LONGEST_BLOCK_S = 60.0
# Shorter blocks are tried until each split has this much of its share.
_AMPLE = 0.6
_NS = 1_000_000_000
_FAR = np.iinfo(np.int64).max // 2


@dataclass(frozen=True)
class SplitRules:
    """
    How to split: ``fractions`` of train, validation and test, which add up to one.

    ``block_s`` is the length of a block of time, None for the longest of 60 s, 30 s, 15 s ... that
    gives every split most of its share, or comes nearest to that; ``gap_s`` is how far pairs of
    different splits lie apart at least; both in seconds.
    """

    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    by: SplitBy = 'auto'
    block_s: float | None = None
    gap_s: float = 2.0
    seed: int = 0


@dataclass(frozen=True)
class Splits:
    """
    The split of N pairs.

    ``split`` int8 (N,) indexes `SPLITS`; ``near_border`` bool (N,) marks pairs that lie too close
    to another split to be used; ``by`` is 'bag' or 'block', ``groups`` how many there were, and
    ``block_s`` how long a block was, None for bags.
    """

    split: NDArray[np.int8]
    near_border: NDArray[np.bool_]
    by: str
    groups: int
    block_s: float | None = None


def split_pairs(
    bag: NDArray[np.int32], stamp_ns: NDArray[np.int64], rules: SplitRules
) -> Splits:
    """
    Split pairs by whole bags or by blocks of time; the same pairs and rules, the same split.

    :param bag: the bag of each pair, (N,); ``stamp_ns`` its colour stamp. The timelines of a
        looped recording count as one, because they show the same places.
    :raises DatasetError: when a wanted split stays empty, naming what would fill it.
    """
    if not len(bag):
        raise DatasetError(
            'expected pairs to split, found none; look at the skipped.csv of extract'
        )
    if rules.by != 'block':
        splits = _by_bag(bag, rules)
        if rules.by == 'bag' or _fits(splits, rules):
            return _checked(splits, bag, stamp_ns, rules)
    lengths = _lengths(rules) if rules.block_s is None else [rules.block_s]
    best: Splits | None = None
    for block_s in lengths:
        splits = _by_block(bag, stamp_ns, rules, block_s)
        if best is None or _leanest(splits, rules) > _leanest(best, rules):
            best = splits
        if _leanest(best, rules) >= _AMPLE:
            break
    assert best is not None
    return _checked(best, bag, stamp_ns, rules)


def assign(sizes: NDArray[np.int64], rules: SplitRules) -> NDArray[np.int8]:
    """
    Give each group, of so many pairs, a split, so that the fractions are met as well as they can.

    The largest groups go first, each to the split that lacks most, in random order among equals.
    """
    random = np.random.default_rng(rules.seed).permutation(len(sizes))
    order = random[np.argsort(-sizes[random], kind='stable')]
    wanted = [index for index, fraction in enumerate(rules.fractions) if fraction > 0]
    lacking = [fraction * int(sizes.sum()) for fraction in rules.fractions]
    split = np.zeros(len(sizes), np.int8)
    for group in order:
        neediest = max(wanted, key=lambda index: lacking[index])
        lacking[neediest] -= int(sizes[group])
        split[group] = neediest
    _fill_empty(split, order, wanted)
    return split


def _fill_empty(split: NDArray[np.int8], order: NDArray[np.int64], wanted: list[int]) -> None:
    """Give each empty split the smallest group of the split that has the most groups."""
    for empty in wanted:
        counts = np.bincount(split, minlength=len(SPLITS))
        if not counts[empty] and counts.max() > 1:
            richest = counts.argmax()
            split[next(group for group in order[::-1] if split[group] == richest)] = empty


def _by_bag(bag: NDArray[np.int32], rules: SplitRules) -> Splits:
    sizes = np.bincount(bag)
    split = assign(sizes, rules)[bag]
    return Splits(split, np.zeros(len(bag), bool), 'bag', len(sizes))


def _lengths(rules: SplitRules) -> list[float]:
    """List the lengths of blocks to try, the longest first; a block outlasts the gap."""
    halves = [LONGEST_BLOCK_S / 2**power for power in range(7)]
    return [block_s for block_s in halves if block_s > rules.gap_s] or [2 * rules.gap_s]


def _by_block(
    bag: NDArray[np.int32], stamp_ns: NDArray[np.int64], rules: SplitRules, block_s: float
) -> Splits:
    block_ns, gap_ns = int(block_s * _NS), int(rules.gap_s * _NS)
    first_ns = np.full(int(bag.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first_ns, bag, stamp_ns)
    since_ns = stamp_ns - first_ns[bag]
    block = since_ns // block_ns
    # One number a group; the spare block keeps the last of a bag apart from the next bag's first.
    key = bag.astype(np.int64) * (int(block.max()) + 2) + block
    groups, group, sizes = np.unique(key, return_inverse=True, return_counts=True)
    of_group = assign(sizes, rules)
    near = _near_borders(since_ns, groups, group, of_group, gap_ns)
    return Splits(of_group[group], near, 'block', len(groups), block_s)


def _near_borders(
    since_ns: NDArray[np.int64],
    groups: NDArray[np.int64],
    group: NDArray[np.int64],
    of_group: NDArray[np.int8],
    gap_ns: int,
) -> NDArray[np.bool_]:
    """
    Mark the pairs within half a gap of a border, which lies midway between two blocks' pairs.

    :param groups: the key of each block; the next block of the same bag has the next number.
    :param group: the block of each pair; ``of_group`` the split of each block.
    """
    first = np.full(len(groups), np.iinfo(np.int64).max)
    last = np.zeros(len(groups), np.int64)
    np.minimum.at(first, group, since_ns)
    np.maximum.at(last, group, since_ns)
    meets = (np.diff(groups) == 1) & (np.diff(of_group) != 0)
    twice_border = last[:-1] + first[1:]
    # Beyond all stamps where a block meets none of another split.
    begin = np.concatenate([[-gap_ns], np.where(meets, twice_border, -gap_ns)])
    end = np.concatenate([np.where(meets, twice_border, _FAR), [_FAR]])
    return (2 * since_ns < begin[group] + gap_ns) | (2 * since_ns > end[group] - gap_ns)


def _shares(splits: Splits) -> NDArray[np.float64]:
    """Give the share of the usable pairs in each split."""
    counts = np.bincount(splits.split[~splits.near_border], minlength=len(SPLITS))
    return counts / max(1, len(splits.split))


def _fits(splits: Splits, rules: SplitRules) -> bool:
    return all(
        abs(share - fraction) <= min(_TOLERATED_SHARE, fraction / 2)
        for share, fraction in zip(_shares(splits), rules.fractions)
    )


def _empty_splits(splits: Splits, rules: SplitRules) -> list[str]:
    return [
        name for name, share, fraction in zip(SPLITS, _shares(splits), rules.fractions)
        if fraction > 0 and not share
    ]


def _leanest(splits: Splits, rules: SplitRules) -> float:
    """Give how much of its wanted share the split has that has the least of it."""
    return min(
        float(share / fraction)
        for share, fraction in zip(_shares(splits), rules.fractions) if fraction > 0
    )


def _checked(
    splits: Splits, bag: NDArray[np.int32], stamp_ns: NDArray[np.int64], rules: SplitRules
) -> Splits:
    empty = _empty_splits(splits, rules)
    if not empty:
        return splits
    parts = 'bags' if splits.block_s is None else f'blocks of {splits.block_s:g} s'
    raise DatasetError(
        f'expected pairs for {" and ".join(empty)}, found too few {parts} ({splits.groups}) for '
        f'{sum(fraction > 0 for fraction in rules.fractions)} splits; '
        f'{_remedy(bag, stamp_ns, rules)}'
    )


def _remedy(bag: NDArray[np.int32], stamp_ns: NDArray[np.int64], rules: SplitRules) -> str:
    """Find the longest blocks that would serve, or say what else would."""
    for block_s in _lengths(rules):
        if not _empty_splits(_by_block(bag, stamp_ns, rules, block_s), rules):
            return f'--split-by block --block-seconds {block_s:g} would do'
    return (
        'record for longer, make --gap-seconds and --block-seconds smaller, or do without '
        'test pairs (--split 0.9 0.1 0)'
    )
