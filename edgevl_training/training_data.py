# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Batches of curated pairs for training, in an order that only the seed and the epoch decide.

Shards are read by row group, so memory does not grow with the data set: an epoch visits the row
groups in random order and shuffles the rows of a window of them. Ranks of a distributed run take
turns within each batch, so that any number of them sees the same batches as one.
"""

from __future__ import annotations

from collections import deque, OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevl_ros.core.errors import BadImage
from edgevl_ros.core.frame import Modality
from edgevl_ros.core.preprocess import PreprocessSpec
from edgevl_training.augment import random_view, View, WHOLE
from edgevl_training.dataset import SecondModality, shards_of
from edgevl_training.errors import DatasetError
from edgevl_training.frames import color_of, second_of
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
_BATCHES_AHEAD = 2

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """
    Model inputs of one batch (or of this rank's part of it), as NumPy arrays.

    ``rgb`` and ``depth`` are float32 (B, 3, S, S), preprocessed by the bundle's own definition;
    ``has_depth`` is bool (B,), False where the pair is colour only and its depth input is zero;
    ``teacher`` holds unit rows, float32 (B, D); ``labels`` int64 (B,) number the pseudo-labels,
    or are `UNSURE`;
    ``rows`` int64 (B,) number the pairs of the split, ``pair_ids`` name them. A
    modality that was not asked for is zero.

    ``depth_weight`` times the mean over this rank's second pictures, averaged over the ranks, is
    the mean over those of all ranks; it is 1 where every pair has one.
    """

    rgb: FloatArray
    depth: FloatArray
    has_depth: NDArray[np.bool_]
    teacher: FloatArray
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    pair_ids: tuple[str, ...]
    depth_weight: float = 1.0


@dataclass(frozen=True)
class StoredPair:
    """A row of a shard: encoded pictures, ``second`` perhaps None, and unit teacher embedding."""

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

    ``labels`` int64 (N,) index ``label_names``, which are in the order of the alphabet;
    ``has_depth`` is bool (N,). ``dim`` is the teacher's dimension and ``modality`` what the
    second pictures mean.
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

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self.labels)

    def keep_labels(self, fraction: float) -> None:
        """Make the labels of all but a share of the pairs `UNSURE`, but the most confident."""
        least = np.quantile(self._confidence, 1 - fraction)
        self.labels = np.where(self._confidence >= least, self.labels, UNSURE)

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
        return StoredPair(
            columns['pair_id'][row].as_py(),
            columns['color'][row].as_buffer(),
            second.as_buffer() if second.is_valid else None,
            _unit(np.asarray(columns['teacher_embedding'][row].values, np.float32)),
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


@dataclass(frozen=True)
class BatchPlan:
    """
    How a split is cut into batches; ``size`` counts pairs of all ranks together.

    An optimizer step takes ``accumulate`` batches. ``smallest_area`` is the share of a picture
    that a random crop keeps at least; None leaves the pictures whole, as for validation and
    calibration. ``threads`` decode pictures.
    """

    size: int
    seed: int = 0
    smallest_area: float | None = None
    modalities: tuple[Modality, ...] = BOTH
    rank: int = 0
    world: int = 1
    threads: int = 1
    accumulate: int = 1


def batches_in_epoch(split: CuratedSplit, plan: BatchPlan) -> int:
    """Count what `batches_of` gives."""
    return len(_cut(np.arange(len(split)), plan))


def batches_of(
    split: CuratedSplit, spec: PreprocessSpec, plan: BatchPlan, epoch: int = 0
) -> Iterator[Batch]:
    """
    Give the batches of an epoch; with random crops in random order and without an incomplete end.

    Both modalities of a pair get the same crop and the same flip (EdgeVL).

    :raises DatasetError: naming a pair whose picture is damaged.
    """
    training = plan.smallest_area is not None
    order = split.order(plan.seed, epoch) if training else np.arange(len(split))
    ahead: deque[tuple[Batch, list[Future[None]]]] = deque()
    with ThreadPoolExecutor(plan.threads, 'pictures') as pool:
        try:
            for numbers in _cut(order, plan):
                ahead.append(_begin(pool, split, spec, plan, epoch, numbers))
                if len(ahead) > _BATCHES_AHEAD:
                    yield _completed(*ahead.popleft())
            while ahead:
                yield _completed(*ahead.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def second_modality(manifest: dict[str, Any]) -> SecondModality:
    """Read from a manifest what the second pictures mean."""
    described = dict(manifest.get('second_modality') or {})
    if 'missing' in described:
        described['missing'] = tuple(described['missing'])
    return SecondModality(**described)


def _cut(order: NDArray[np.int64], plan: BatchPlan) -> list[NDArray[np.int64]]:
    """Cut an epoch into batches of all ranks; for training all steps are equally large."""
    if plan.smallest_area is None:
        return [order[i:i + plan.size] for i in range(0, len(order), plan.size)]
    share = plan.world * plan.accumulate
    # A split that is smaller than a batch is one.
    step = min(plan.size * plan.accumulate, len(order) // share * share)
    return [
        order[start:start + step][part::plan.accumulate]
        for start in range(0, len(order) - step + 1, step) for part in range(plan.accumulate)
    ] if step else []


def _begin(
    pool: ThreadPoolExecutor, split: CuratedSplit, spec: PreprocessSpec, plan: BatchPlan,
    epoch: int, numbers: NDArray[np.int64],
) -> tuple[Batch, list[Future[None]]]:
    """Let threads fill a batch with this rank's part of some pairs."""
    mine = numbers[plan.rank::plan.world]
    pairs = [split.pair(number) for number in mine.tolist()]
    side = spec.input_size
    has_depth = split.has_depth[mine] & (Modality.DEPTH in plan.modalities)
    in_all = split.has_depth[numbers].sum()
    batch = Batch(
        rgb=np.zeros((len(mine), 3, side, side), np.float32),
        depth=np.zeros((len(mine), 3, side, side), np.float32),
        has_depth=has_depth,
        teacher=np.array([pair.teacher for pair in pairs]).reshape(-1, split.dim),
        labels=split.labels[mine],
        rows=mine,
        pair_ids=tuple(pair.pair_id for pair in pairs),
        depth_weight=float(plan.world * has_depth.sum() / max(1, in_all)),
    )
    views = [_view(plan, epoch, number) for number in mine.tolist()]
    return batch, [
        pool.submit(_fill, batch, position, pair, split, spec, view, plan.modalities)
        for position, (pair, view) in enumerate(zip(pairs, views))
    ]


def _fill(
    batch: Batch, position: int, pair: StoredPair, split: CuratedSplit, spec: PreprocessSpec,
    view: View, modalities: tuple[Modality, ...],
) -> None:
    """Decode, crop and preprocess the pictures of a pair."""
    try:
        if Modality.RGB in modalities:
            batch.rgb[position] = spec.rgb_input(view.of(color_of(pair.color)))
        if batch.has_depth[position]:
            second = view.of(second_of(pair.second, split.modality))
            batch.depth[position] = spec.depth_input(second)
    except BadImage as error:
        raise DatasetError(
            f'{split.folder}: the pair {pair.pair_id}: {error}; make the data set anew'
        ) from error


def _completed(batch: Batch, futures: list[Future[None]]) -> Batch:
    for future in futures:
        future.result()
    return batch


def _view(plan: BatchPlan, epoch: int, number: int) -> View:
    """Choose a crop by seed, epoch and pair, so that no rank or thread has a say in it."""
    if plan.smallest_area is None:
        return WHOLE
    return random_view(np.random.default_rng([plan.seed, epoch, number]), plan.smallest_area)


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
