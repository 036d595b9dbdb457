# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures that are nearly the same, by the Hamming distance of their 64-bit hashes."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

BITS = 64

# Candidates compared at once, so that memory stays flat.
_CHUNK = 1 << 20


def repeats(hashes: NDArray[np.int64], distance: int, window: int) -> NDArray[np.bool_]:
    """
    Mark hashes, in order of time, that are near one of the last so many unmarked ones.

    :returns: bool (N,); the first of a run of near-duplicates is never marked.
    """
    recent: deque[int] = deque(maxlen=window)
    marked = np.zeros(len(hashes), bool)
    for index, value in enumerate(hashes.view(np.uint64).tolist()):
        if any((value ^ other).bit_count() <= distance for other in recent):
            marked[index] = True
        else:
            recent.append(value)
    return marked


def near_any(
    hashes: NDArray[np.int64], others: NDArray[np.int64], distance: int
) -> NDArray[np.bool_]:
    """
    Mark hashes that are near any of the others.

    Two hashes that differ in at most ``distance`` bits agree wholly in one of ``distance + 1``
    bands of their bits (Norouzi et al., "Fast Search in Hamming Space with Multi-Index Hashing",
    CVPR 2012): only those that share a band are compared.
    """
    mine, theirs = np.unique(hashes.view(np.uint64)), np.unique(others.view(np.uint64))
    near = np.zeros(len(mine), bool)
    edges = np.linspace(0, BITS, distance + 2).astype(int)
    for low, high in pairwise(edges):
        band = np.uint64(((1 << int(high - low)) - 1) << int(low))
        _mark_in_band(mine, theirs, band, distance, near)
    return near[np.searchsorted(mine, hashes.view(np.uint64))]


def _mark_in_band(
    mine: NDArray[np.uint64],
    theirs: NDArray[np.uint64],
    band: np.uint64,
    distance: int,
    near: NDArray[np.bool_],
) -> None:
    """Mark those of mine that are near one of theirs with the same bits in a band."""
    theirs = theirs[np.argsort(theirs & band)]
    left = np.flatnonzero(~near)
    start = np.searchsorted(theirs & band, mine[left] & band, 'left')
    count = np.searchsorted(theirs & band, mine[left] & band, 'right') - start
    # Hashes with many candidates are looked at in parts of at most _CHUNK comparisons.
    begin = 0
    ends = np.cumsum(count)
    while begin < len(left):
        done = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, done + _CHUNK, 'right')))
        part = slice(begin, end)
        index = np.repeat(left[part], count[part])
        offset = np.arange(len(index)) - np.repeat(ends[part] - count[part] - done, count[part])
        other = theirs[np.repeat(start[part], count[part]) + offset]
        close = _bit_counts(mine[index] ^ other) <= distance
        near[index[close]] = True
        begin = end


def _bit_counts(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Count the bits that are set; NumPy has a function for it only from 2.0 on."""
    pairs = values.view(np.uint16).reshape(-1, 4)
    return _BITS_OF_16[pairs].sum(1, dtype=np.int64)


_BITS_OF_16 = np.unpackbits(
    np.arange(1 << 16, dtype='>u2').view(np.uint8).reshape(-1, 2), axis=1
).sum(1, dtype=np.uint8)
