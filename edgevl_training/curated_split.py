# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The pairs of one split of a curated data set, as training reads them.

Shards are read by row group, so memory does not grow with the data set: an epoch visits the row
groups in random order and shuffles the rows of a window of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevl_ros.core.frame import Modality
from edgevl_training.dataset import SecondModality, shards_of
from edgevl_training.errors import DatasetError
from edgevl_training.output import read_manifest
import numpy as np
from numpy.typing import NDArray
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BOTH = (Modality.RGB, Modality.DEPTH)
# Row groups whose rows are shuffled together, and held in memory: some 2,000 pairs.
WINDOW = 32
# The label of a pair whose pseudo-label is too doubtful to contrast it by.
UNSURE = -1
_INDEX = ['split', 'pseudo_label', 'confidence', 'depth_width']
_COLUMNS = ['pair_id', 'color', 'depth', 'teacher_embedding']

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class StoredPair:
    """A row of a shard: encoded pictures, ``second`` perhaps None, and the unit row to distil."""

    pair_id: str
    color: Any
    second: Any
    teacher: FloatArray


@dataclass(frozen=True)
class _RowGroup:
    """Some rows of a row group; the first of them has the number ``first`` in the split."""

    path: Path
    index: int
    rows: NDArray[np.int64]
    first: int


class CuratedSplit:
    """
    The pairs of one split of a curated data set, numbered from 0.

    ``labels`` int64 (N,) index ``label_names``, which are in the order of the alphabet unless
    `retarget` gave others; ``has_depth`` is bool (N,). ``dim`` is the teacher's dimension and
    ``modality`` what the second pictures mean.
    """

    def __init__(
        self, folder: Path, split: str, modalities: tuple[Modality, ...] = BOTH
    ) -> None:
        """
        Find the split's rows; images are read later.

        :param split: train, validation or test.
        :param modalities: of depth alone, pairs without a second picture do not count.
        :raises DatasetError: when the folder is no finished output of ``edgevl curate``, or no
            pair of it is in the split.
        """
        self.folder = folder
        self.manifest = read_manifest(folder, 'curate')
        self.dim = int(self.manifest['teacher']['dim'])
        self.modality = second_modality(self.manifest)
        self._groups: list[_RowGroup] = []
        self._cache: OrderedDict[int, dict[str, Any]] = OrderedDict()
        found: list[pa.Table] = []
        for shard in shards_of(folder, self.manifest):
            found += self._index(folder / shard.name, split, Modality.RGB not in modalities)
        if not found:
            kind = '' if Modality.RGB in modalities else ' with a second picture'
            raise DatasetError(
                f'{folder}: expected pairs{kind} in the split {split!r}, found none; give '
                '"edgevl curate" other shares with --split, or more pairs'
            )
        index = pa.concat_tables(found)
        self.has_depth = index['depth_width'].is_valid().to_numpy()
        self.label_names, self.labels = _numbered(index['pseudo_label'])
        self._confidence = index['confidence'].to_numpy()
        self._starts = np.array([group.first for group in self._groups])
        self._targets: FloatArray | None = None

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self.labels)

    def keep_labels(self, fraction: float) -> None:
        """Make the labels of all but a share of the pairs `UNSURE`, but the most confident."""
        least = np.quantile(self._confidence, 1 - fraction)
        self.labels = np.where(self._confidence >= least, self.labels, UNSURE)

    def retarget(
        self, targets: FloatArray, label_names: tuple[str, ...], labels: NDArray[np.int64],
        confidence: NDArray[np.float32],
    ) -> None:
        """
        Let the pairs have other targets and pseudo-labels than those of the teacher.

        :param targets: unit rows, float32 (N, D).
        :param labels: int64 (N,), which of the names each pair has, with such a confidence (N,).
        """
        self._targets, self._confidence = targets, confidence
        self.label_names, self.labels = label_names, labels

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Give the numbers of all pairs in the order of an epoch."""
        rng = np.random.default_rng([seed, epoch])
        groups = rng.permutation(len(self._groups))
        windows = []
        for start in range(0, len(groups), WINDOW):
            window = [self._groups[g] for g in groups[start:start + WINDOW]]
            numbers = [np.arange(len(group.rows)) + group.first for group in window]
            windows.append(rng.permutation(np.concatenate(numbers)))
        return np.concatenate(windows)

    def pair(self, number: int) -> StoredPair:
        """Read a pair."""
        place = int(np.searchsorted(self._starts, number, side='right')) - 1
        group, columns = self._groups[place], self._read(place)
        row = int(group.rows[number - group.first])
        second = columns['depth'][row]
        if self._targets is None:
            teacher = _unit(np.asarray(columns['teacher_embedding'][row].values, np.float32))
        else:
            teacher = self._targets[number]
        return StoredPair(
            columns['pair_id'][row].as_py(),
            columns['color'][row].as_buffer(),
            second.as_buffer() if second.is_valid else None,
            teacher,
        )

    def _index(self, path: Path, split: str, only_with_depth: bool) -> list[pa.Table]:
        """Note the row groups of a shard that hold pairs of the split; give what labels them."""
        found = []
        with _opened(path) as file:
            for index in range(file.num_row_groups):
                table = file.read_row_group(index, _INDEX)
                wanted = pc.equal(table['split'], split)
                if only_with_depth:
                    wanted = pc.and_(wanted, table['depth_width'].is_valid())
                rows = np.flatnonzero(wanted.to_numpy())
                if rows.size:
                    self._groups.append(_RowGroup(path, index, rows, self._end))
                    found.append(table.take(pa.array(rows)))
        return found

    @property
    def _end(self) -> int:
        return self._groups[-1].first + len(self._groups[-1].rows) if self._groups else 0

    def _read(self, place: int) -> dict[str, Any]:
        if place not in self._cache:
            group = self._groups[place]
            with _opened(group.path) as file:
                table = file.read_row_group(group.index, _COLUMNS).combine_chunks()
            self._cache[place] = {name: table[name] for name in _COLUMNS}
            if len(self._cache) > WINDOW:
                self._cache.popitem(last=False)
        self._cache.move_to_end(place)
        return self._cache[place]


def second_modality(manifest: dict[str, Any]) -> SecondModality:
    """Read from a manifest what the second pictures mean."""
    described = dict(manifest.get('second_modality') or {})
    if 'missing' in described:
        described['missing'] = tuple(described['missing'])
    return SecondModality(**described)


def _numbered(names: pa.ChunkedArray) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Give the names in the order of the alphabet, and the number of each row's."""
    known = sorted(pc.unique(names).to_pylist())
    numbers = pc.index_in(names, value_set=pa.array(known, pa.string()))
    return tuple(known), numbers.to_numpy().astype(np.int64)


def _unit(row: FloatArray) -> FloatArray:
    """Undo what half precision did to the length of a row."""
    return row / max(float(np.linalg.norm(row)), 1e-6)


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a shard, and say which one it is when it cannot be read."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DatasetError(
            f'{path}: cannot be read as a curated shard: {error}; make the data set anew'
        ) from error
