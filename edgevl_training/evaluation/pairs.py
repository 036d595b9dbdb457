# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which pairs are measured, and their pictures, read a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgevl_ros.core.errors import BadImage
from edgevl_ros.core.files import sha256_of
from edgevl_training.curated_split import second_modality
from edgevl_training.curation.selection import LEAKED, NEAR_BORDER
from edgevl_training.dataset import read_table, SecondModality, Shard, shards_of
from edgevl_training.errors import DatasetError
from edgevl_training.frames import color_of, second_of
from edgevl_training.output import MANIFEST, read_manifest
import numpy as np
from numpy.typing import NDArray
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

RGB, SECOND, FUSED = 'rgb', 'depth', 'fused'
# Why curate says that training saw what a pair shows.
SEEN_IN_TRAINING = (NEAR_BORDER, LEAKED)
# Scaling the shorter side of a strip to the input size would make the longer one endless.
_LONGEST_STRIP = 32
# Inputs of so many pairs are in memory at once.
_AT_ONCE = 16

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class TestPairs:
    """
    The N pairs that are measured, in the order of their shards, without their pictures.

    ``rows`` int64 (N,) numbers them in the whole data set, whose shards begin at ``starts``;
    ``truth`` holds the label of the data set or ''; ``labels`` are those of the whole data set.
    ``near_border`` and ``leaked`` count the pairs of the split that are left out because training
    saw the same moments, or nearly the same pictures.
    """

    __test__ = False

    folder: Path
    shards: tuple[Shard, ...]
    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    ids: tuple[str, ...]
    truth: tuple[str, ...]
    has_second: NDArray[np.bool_]
    modality: SecondModality
    labels: tuple[str, ...] = ()
    near_border: int = 0
    leaked: int = 0

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self.rows)


class Preparer(Protocol):
    """Turns pictures into the input of a network, float32 (3, S, S)."""

    def rgb(self, color: NDArray[np.uint8]) -> FloatArray:
        """Prepare a colour picture, uint8 (H, W, 3)."""

    def second(self, values: FloatArray) -> FloatArray:
        """Prepare a second picture, float32 (H, W) with NaN where there is no reading."""


@dataclass
class Loaded:
    """
    The network inputs of one pair.

    ``inputs`` maps the key of a preparer and a modality to float32 (3, S, S); ``problems`` says
    of a modality why it has none. A pair of colour alone has no problem.
    """

    inputs: dict[tuple[Any, str], FloatArray] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def select_pairs(folder: Path, curated: Path | None = None, split: str = 'test') -> TestPairs:
    """
    List the pairs to measure: all, or those of a split, whether confident or not.

    :param curated: output of ``curate``, whose decisions.parquet names the split of each pair.
    :raises DatasetError: when the folders do not belong together or no pair is left.
    """
    manifest = read_manifest(folder, 'extract')
    shards = tuple(shards_of(folder, manifest))
    columns = ['pair_id', 'truth', 'depth_width']
    tables = [read_table(folder / s.name, columns, s.rows) for s in shards if s.rows]
    if not tables:
        raise DatasetError(f'{folder}: expected pairs to measure, found none')
    table = pa.concat_tables(tables)
    rows, seen = np.arange(table.num_rows), (0, 0)
    labels = {(label or '').strip() for label in pc.unique(table['truth']).to_pylist()}
    if curated is not None:
        rows, seen = _unseen(curated, _read_decisions(curated, folder, table['pair_id']), split)
        table = table.take(pa.array(rows))
    return TestPairs(
        folder, shards, np.cumsum([0, *(shard.rows for shard in shards)]), rows,
        tuple(table['pair_id'].to_pylist()),
        tuple((truth or '').strip() for truth in table['truth'].to_pylist()),
        table['depth_width'].is_valid().to_numpy(), second_modality(manifest),
        tuple(sorted(labels - {''})), *seen,
    )


def _unseen(
    curated: Path, decisions: pa.Table, split: str
) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """
    Find the pairs of a split that training saw nothing of.

    :returns: their rows; how many are left out as near a border, and as near-duplicates.
    :raises DatasetError: when none is left.
    """
    in_split = pc.equal(decisions['split'], split).to_numpy()
    border, leaked = (
        in_split & pc.equal(decisions['reason'], why).to_numpy() for why in SEEN_IN_TRAINING
    )
    rows = np.flatnonzero(in_split & ~border & ~leaked)
    seen = int(border.sum()), int(leaked.sum())
    if not rows.size:
        why = (f'{sum(seen)} that training saw too: {seen[0]} near a border of the split, '
               f'{seen[1]} near-duplicates of training pairs') if any(seen) else 'none'
        raise DatasetError(
            f'{curated}: expected pairs in the split {split!r}, found {why}; give "edgevl '
            'curate" other shares with --split'
        )
    return rows, seen


def _read_decisions(curated: Path, pairs: Path, ids: pa.ChunkedArray) -> pa.Table:
    manifest = read_manifest(curated, 'curate')
    seen, digest = manifest['pairs']['manifest_sha256'], sha256_of(pairs / MANIFEST)
    if seen != digest:
        raise DatasetError(
            f'{curated}: expected decisions on {pairs} (manifest {digest[:12]}), found those on '
            f'other pairs (manifest {str(seen)[:12]}); name the folders that belong together'
        )
    path = curated / 'decisions.parquet'
    table = read_table(path, ['pair_id', 'split', 'reason'], len(ids))
    if not pc.all(pc.equal(table['pair_id'].combine_chunks(), ids.combine_chunks())).as_py():
        raise DatasetError(f'{path}: expected the pairs of {pairs} in their order, found others; '
                           'run "edgevl curate" on these pairs again')
    return table


def load_pairs(
    pairs: TestPairs, rows: NDArray[np.int64], preparers: Mapping[Any, Preparer], threads: int = 2
) -> Iterator[list[Loaded]]:
    """
    Read, decode and prepare some pairs, by their rows in the data set, some at a time in order.

    A picture is decoded once, and prepared once for each preparer.

    :raises DatasetError: when a shard is damaged.
    """
    with ThreadPoolExecutor(threads, 'pictures') as pool:
        for table in _row_groups(pairs, rows):
            for start in range(0, table.num_rows, _AT_ONCE):
                part = table.slice(start, _AT_ONCE).combine_chunks()
                yield list(pool.map(
                    lambda color, second: _load(color, second, pairs.modality, preparers),
                    part['color'], part['depth'],
                ))


def _row_groups(pairs: TestPairs, rows: NDArray[np.int64]) -> Iterator[pa.Table]:
    """Read the row groups that hold some rows, one at a time, and give only these rows."""
    for shard, start in zip(pairs.shards, pairs.starts.tolist()):
        inside = rows[(rows >= start) & (rows < start + shard.rows)] - start
        if not inside.size:
            continue
        path = pairs.folder / shard.name
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                first = 0
                for index in range(file.num_row_groups):
                    end = first + file.metadata.row_group(index).num_rows
                    wanted = inside[(inside >= first) & (inside < end)] - first
                    if wanted.size:
                        group = file.read_row_group(index, ['color', 'depth'])
                        yield group.take(pa.array(wanted))
                    first = end
        except (OSError, ValueError, MemoryError, OverflowError, pa.ArrowException) as error:
            raise DatasetError(
                f'{path}: cannot be read as Parquet: {error}; make the data set anew'
            ) from error


def _load(
    color: pa.BinaryScalar, second: pa.BinaryScalar, modality: SecondModality,
    preparers: Mapping[Any, Preparer],
) -> Loaded:
    loaded = Loaded()
    try:
        rgb = _no_strip(color_of(color.as_buffer()))
        loaded.inputs.update({(key, RGB): p.rgb(rgb) for key, p in preparers.items()})
    except BadImage as error:
        loaded.problems[RGB] = str(error)
    if not second.is_valid:
        return loaded
    try:
        values = _no_strip(second_of(second.as_buffer(), modality))
        # The robot, too, leaves such a picture out.
        if np.isnan(values).all():
            raise BadImage('no pixel of it has a reading')
        loaded.inputs.update({(key, SECOND): p.second(values) for key, p in preparers.items()})
    except BadImage as error:
        loaded.problems[SECOND] = str(error)
    return loaded


def _no_strip(picture: NDArray[Any]) -> NDArray[Any]:
    short, long = sorted(picture.shape[:2])
    if long > _LONGEST_STRIP * short:
        raise BadImage(
            f'expected sides of at most 1:{_LONGEST_STRIP}, found {short}:{long} pixels'
        )
    return picture
