# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Decode RVL, the run-length and variable-length code of compressed depth images.

A. D. Wilson, Fast Lossless Depth Image Compression, ISS 2017. The stream is a sequence of numbers:
how many zeros, how many non-zeros, then the difference of each non-zero to the one before it, and
so on. Differences are zigzag coded (0, -1, 1, -2, ...); every number is cut into groups of three
bits, lowest first, one group per nibble with the fourth bit set when more follow; nibbles fill
little-endian 32-bit words from the top.
"""

from __future__ import annotations

from typing import Any, cast

from edgevl_ros.core.errors import BadImage
import numpy as np
from numpy.typing import NDArray

# The largest number in a stream is a run of at most 2**30 - 1 zeros: ten groups of three bits.
_MOST_NIBBLES = 10


def decode_rvl(stream: NDArray[np.uint8], pixels: int) -> NDArray[np.uint16]:
    """
    Decode a stream to a flat uint16 array of `pixels` values.

    :raises BadImage: the stream is not valid, or does not hold exactly that many pixels.
    """
    numbers = _numbers(stream)
    runs, positions = _runs(numbers, pixels)
    filled = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    is_difference = np.ones(len(numbers), bool)
    is_difference[positions] = is_difference[positions + 1] = False
    zigzag = numbers[is_difference][:np.count_nonzero(filled)]
    differences = (zigzag >> 1) ^ -(zigzag & 1)
    depth = np.zeros(pixels, np.uint16)
    # The encoder's differences are of 16-bit values, so the sum is right modulo 2**16.
    depth[filled] = np.cumsum(differences, dtype=np.int64).astype(np.uint16)
    return depth


def _numbers(stream: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Join the nibbles of a stream to the numbers that they spell."""
    words = stream[:len(stream) // 4 * 4].reshape(-1, 4)[:, ::-1]
    nibbles = np.stack([words >> 4, words & 15], axis=-1).reshape(-1)
    ends = np.flatnonzero(nibbles < 8)
    if not len(ends):
        raise BadImage('RVL depth: expected a stream of numbers, found none; it is truncated')
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    most = int(lengths.max())
    if most > _MOST_NIBBLES:
        raise BadImage(f'RVL depth: expected numbers of at most {_MOST_NIBBLES} nibbles, '
                       f'found {most}; the stream is corrupt')
    groups = nibbles & 7
    numbers: NDArray[np.int64] = groups[starts].astype(np.int64)
    longer = np.arange(len(starts))
    for index in range(1, most):
        longer = longer[lengths[longer] > index]
        numbers[longer] |= groups[starts[longer] + index].astype(np.int64) << (3 * index)
    return numbers


def _runs(numbers: NDArray[np.int64], pixels: int) -> tuple[list[int], NDArray[np.int64]]:
    """Return the lengths of the runs of zeros and non-zeros in turn, and where each two stand."""
    # Indexing a memoryview gives plain integers, several times faster than indexing an array.
    values = memoryview(cast(Any, numbers))
    runs: list[int] = []
    positions: list[int] = []
    position = done = 0
    while done < pixels:
        if position + 1 >= len(values):
            raise BadImage(f'RVL depth: expected {pixels} pixels, found {done}; '
                           'the stream is truncated')
        zeros, filled = values[position], values[position + 1]
        runs += (zeros, filled)
        positions.append(position)
        done += zeros + filled
        position += 2 + filled
    if done > pixels or position > len(values):
        raise BadImage(f'RVL depth: expected {pixels} pixels, found runs of {done} pixels in '
                       f'{len(values)} numbers; the stream is corrupt or truncated')
    return runs, np.asarray(positions, np.int64)
