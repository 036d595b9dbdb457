# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the teacher said of every pair, shard by shard; on request agreed among moments near in time.

A camera that moves through a building sees one place for many frames, but from some of them the
teacher is wrong. The mean of its embeddings over a few seconds is right more often than each of
them (temporal ensembling, after Laine & Aila, ICLR 2017, over time instead of over epochs).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edgevl_training.dataset import read_table, Shard
from edgevl_training.errors import DatasetError
import numpy as np
from numpy.typing import NDArray
import pyarrow as pa
import pyarrow.compute as pc

# Half precision rounds a unit row by far less.
_NORM_TOLERANCE = 0.01
_PLACE = ['pair_id', 'bag', 'timeline', 'color_stamp_ns']


@dataclass(frozen=True)
class TaughtRows:
    """
    The teacher's embeddings of the N pairs of a shard.

    ``embeddings`` float32 (N, D) has unit rows, and zeros where ``present``, bool (N,), says that
    the picture has none.
    """

    embeddings: NDArray[np.float32]
    present: NDArray[np.bool_]


@dataclass(frozen=True)
class _Moments:
    """Recording, as text, and time of the pairs of a shard, (N,) each."""

    recording: NDArray[np.str_]
    stamp_ns: NDArray[np.int64]


class Taught:
    """
    The output of ``teach``, beside the pairs of ``extract`` that it belongs to.

    ``dim`` is the number of dimensions of the teacher, D.
    """

    def __init__(
        self,
        pairs: tuple[Path, Sequence[Shard]],
        taught: tuple[Path, Sequence[Shard]],
        dim: int,
        window_s: float = 0.0,
    ) -> None:
        """
        Name both folders and their shards.

        :param window_s: average over pairs of the same recording that are at most so many seconds
            away; 0 takes every embedding as it is. No more than the shard before and the one
            after is looked at.
        :raises DatasetError: when the two do not have the same shards.
        """
        _check_shards(pairs, taught)
        self._pairs, self._taught = pairs, taught
        self._taken_off: NDArray[np.float32] | None = None
        self.dim, self._window_ns = dim, round(window_s * 1e9)
        # A shard is asked for by itself and by its neighbours.
        self._read = lru_cache(maxsize=4)(self._read_uncached)

    def rows(self, number: int) -> TaughtRows:
        """
        Give the embeddings of a shard.

        :raises DatasetError: when they do not belong to the pairs row for row, naming the place.
        """
        rows = self._agreed(number)
        if self._taken_off is None:
            return rows
        rest = np.where(rows.present[:, np.newaxis], rows.embeddings - self._taken_off, 0)
        norms = np.linalg.norm(rest, axis=1, keepdims=True)
        return TaughtRows((rest / np.maximum(norms, 1e-6)).astype(np.float32), rows.present)

    def take_off(self, part: NDArray[np.float32]) -> None:
        """Take a part (D,) off every embedding from now on; rows are scaled to length one."""
        self._taken_off = part

    def _agreed(self, number: int) -> TaughtRows:
        own, _ = self._read(number)
        if not self._window_ns:
            return own
        near = range(max(0, number - 1), min(len(self._pairs[1]), number + 2))
        read = [self._read(other) for other in near]
        first = sum(len(rows.present) for rows, _ in read[:number - near.start])
        means = _means_over_time(
            _Moments(*(
                np.concatenate([getattr(of, name) for _, of in read])
                for name in ('recording', 'stamp_ns')
            )),
            np.concatenate([rows.embeddings for rows, _ in read]),
            self._window_ns,
        )[first:first + len(own.present)]
        return TaughtRows(np.where(own.present[:, np.newaxis], means, 0), own.present)

    def _read_uncached(self, number: int) -> tuple[TaughtRows, _Moments]:
        shard, path = self._pairs[1][number], self._taught[0] / self._taught[1][number].name
        place = read_table(self._pairs[0] / shard.name, _PLACE, shard.rows)
        table = read_table(path, ['pair_id', 'teacher_embedding'], shard.rows)
        _check_ids(path, *(of['pair_id'].combine_chunks() for of in (place, table)))
        bag, timeline = (place[name].to_numpy().astype(str) for name in ('bag', 'timeline'))
        recording = np.char.add(np.char.add(timeline, '/'), bag)
        moments = _Moments(recording, place['color_stamp_ns'].to_numpy())
        return self._unpacked(path, table['teacher_embedding']), moments

    def _unpacked(self, path: Path, column: pa.ChunkedArray) -> TaughtRows:
        sizes = pc.unique(pc.list_value_length(column.drop_null())).to_pylist()
        if sizes not in ([], [self.dim]):
            raise DatasetError(
                f'{path}: expected embeddings of {self.dim} dimensions as its manifest says, '
                f'found {sizes}'
            )
        present = column.is_valid().to_numpy().astype(bool)
        embeddings = np.zeros((len(present), self.dim), np.float32)
        flat = column.drop_null().combine_chunks().flatten().to_numpy(zero_copy_only=False)
        embeddings[present] = flat.reshape(-1, self.dim)
        _check_norms(path, embeddings[present], np.flatnonzero(present))
        return TaughtRows(embeddings, present)


def _means_over_time(
    moments: _Moments, embeddings: NDArray[np.float32], window_ns: int
) -> NDArray[np.float32]:
    """Give the unit mean around every row; rows of zeros add nothing and get what is there."""
    means = np.empty_like(embeddings)
    for rows in _by_recording(moments):
        stamps = moments.stamp_ns[rows]
        sums = np.zeros((len(rows) + 1, embeddings.shape[1]))
        np.cumsum(embeddings[rows], axis=0, dtype=np.float64, out=sums[1:])
        first = np.searchsorted(stamps, stamps - window_ns, 'left')
        end = np.searchsorted(stamps, stamps + window_ns, 'right')
        around = sums[end] - sums[first]
        means[rows] = around / np.maximum(np.linalg.norm(around, axis=1, keepdims=True), 1e-6)
    return means


def _by_recording(moments: _Moments) -> Iterator[NDArray[np.int64]]:
    """Give the rows of each recording in the order of their time."""
    _, codes = np.unique(moments.recording, return_inverse=True)
    order = np.lexsort((moments.stamp_ns, codes))
    yield from np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def _check_shards(
    pairs: tuple[Path, Sequence[Shard]], taught: tuple[Path, Sequence[Shard]]
) -> None:
    expected = [(shard.name, shard.rows) for shard in pairs[1]]
    found = [(shard.name, shard.rows) for shard in taught[1]]
    for mine, other in zip(expected, found):
        if mine != other:
            raise DatasetError(
                f'{taught[0] / other[0]}: expected {mine[0]} with {mine[1]} rows as in '
                f'{pairs[0]}, found {other[1]} rows; run "edgevl teach" on these pairs again'
            )
    if len(expected) != len(found):
        raise DatasetError(
            f'{taught[0]}: expected {len(expected)} shards as in {pairs[0]}, found {len(found)}; '
            'run "edgevl teach" on these pairs again'
        )


def _check_ids(path: Path, expected: pa.Array, found: pa.Array) -> None:
    if expected.equals(found):
        return
    row = next(i for i, (a, b) in enumerate(zip(expected, found)) if not a.equals(b))
    raise DatasetError(
        f'{path}, row {row}: expected the pair {expected[row].as_py()!r}, found '
        f'{found[row].as_py()!r}; run "edgevl teach" on these pairs again'
    )


def _check_norms(path: Path, rows: NDArray[np.float32], present: NDArray[np.int64]) -> None:
    norms = np.linalg.norm(rows, axis=1)
    # Written so that NaN is wrong too.
    wrong = np.flatnonzero(~(np.abs(norms - 1) < _NORM_TOLERANCE))
    if wrong.size:
        raise DatasetError(
            f'{path}, row {present[wrong[0]]}: expected a unit embedding, found the norm '
            f'{norms[wrong[0]]:.4f}; run "edgevl teach" on these pairs again'
        )
