# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Pairs of colour and depth (or another second modality) in Parquet shards.

Three verbs write such shards, each into a folder of its own that nothing changes afterwards:
``extract`` the pairs (`PAIRS`), ``teach`` their teacher embeddings (`taught_schema`), row for row
in shards of the same names, and ``curate`` the pairs that are fit for training, complete with
images, embedding, pseudo-label and split (`curated_schema`). Any engine that reads Parquet
(DuckDB, Spark, Ray, pandas) reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
import json
from pathlib import Path
from typing import Any

from edgevl_ros.core.errors import FileNameError
from edgevl_ros.core.files import file_inside, sha256_of
from edgevl_training.errors import DatasetError
from edgevl_training.output import atomic, PARTIAL
import pyarrow as pa
import pyarrow.parquet as pq

# What the column 'depth' holds, kept by every shard itself.
SECOND_MODALITY = b'edgevl.second_modality'
# Small enough that a reader's memory does not grow with the shard.
_ROW_GROUP_ROWS = 64
_READ_ROWS = 4096

PAIRS = pa.schema([
    # Unique in the data set, and the same whenever the same sources are extracted again.
    pa.field('pair_id', pa.string(), nullable=False),
    # The bag, folder, scene or archive that the pair comes from.
    pa.field('bag', pa.string(), nullable=False),
    # The file of the colour picture, relative to what was extracted; of a bag, the colour topic.
    pa.field('item', pa.string(), nullable=False),
    # Counts the jumps back in time (looped recordings) before this pair.
    pa.field('timeline', pa.int32(), nullable=False),
    # Header stamps in nanoseconds; for still images a count of seconds in the order of names.
    pa.field('color_stamp_ns', pa.int64(), nullable=False),
    pa.field('depth_stamp_ns', pa.int64()),
    # Depth stamp minus colour stamp.
    pa.field('skew_ns', pa.int64()),
    pa.field('frame_id', pa.string(), nullable=False),
    pa.field('depth_frame_id', pa.string()),
    # The encoded image, as recorded wherever it was recorded compressed.
    pa.field('color', pa.binary(), nullable=False),
    pa.field('color_format', pa.string(), nullable=False),
    pa.field('color_width', pa.int32(), nullable=False),
    pa.field('color_height', pa.int32(), nullable=False),
    # 16-bit PNG: depth in millimetres, 0 for no reading, and 65534 for all that is farther; of
    # another camera its counts (`SecondModality`, in the manifest and the shard). Null: no such
    # picture.
    pa.field('depth', pa.binary()),
    pa.field('depth_width', pa.int32()),
    pa.field('depth_height', pa.int32()),
    # Share of the pixels that have a reading.
    pa.field('depth_coverage', pa.float32()),
    # Variance of the Laplacian of the grey image at 320 pixels width (Pech-Pacheco et al., 2000).
    pa.field('sharpness', pa.float32(), nullable=False),
    # 64-bit perceptual hash of the colour image, as a signed integer.
    pa.field('perceptual_hash', pa.int64(), nullable=False),
    # The scene that a public data set names. For measuring only: no verb decides by it.
    pa.field('truth', pa.string()),
])


def taught_schema(dim: int) -> pa.Schema:
    """Give the columns that ``teach`` writes for embeddings of some dimension."""
    return pa.schema([
        pa.field('pair_id', pa.string(), nullable=False),
        # Unit embedding of the colour image; null where the image could not be read. No list of
        # fixed size: Arrow before 26 writes one that holds a null, and cannot read it again.
        pa.field('teacher_embedding', pa.list_(pa.float16()), metadata={'dim': str(dim)}),
    ])


def curated_schema(dim: int) -> pa.Schema:
    """Give the columns that ``curate`` writes: a pair, its teacher and what came of it."""
    return pa.schema([
        *PAIRS,
        pa.field('teacher_embedding', pa.list_(pa.float16(), dim), nullable=False),
        # The phrase of the superset that the teacher finds most likely, its probability, and how
        # much more likely it is than the second.
        pa.field('pseudo_label', pa.string(), nullable=False),
        pa.field('confidence', pa.float32(), nullable=False),
        pa.field('margin', pa.float32(), nullable=False),
        # train, validation or test.
        pa.field('split', pa.string(), nullable=False),
    ])


@dataclass(frozen=True)
class SecondModality:
    """
    What the counts of second pictures mean, as a source gives them or a shard stores them.

    ``name`` is depth, or what else the second camera sees (swir, thermal, nir). A count times
    ``scale`` is metres for depth, and full scale = 1.0 for others. ``missing`` are the counts that
    are no reading.
    """

    name: str = 'depth'
    unit: str = 'm'
    scale: float = 0.001
    missing: tuple[int, ...] = (0, 65535)

    @property
    def stored(self) -> SecondModality:
        """Give what the counts in a shard mean: depth is always in millimetres."""
        return SecondModality() if self.name == 'depth' else self

    def __str__(self) -> str:
        """Say it in words."""
        return f'{self.name} ({self.scale:.6g} {self.unit} a count)'


def described(schema: pa.Schema, modality: SecondModality | None) -> pa.Schema:
    """
    Let a schema say what the second pictures mean, for who has only a shard.

    :param modality: None where there are no second pictures.
    """
    if modality is None:
        return schema
    return schema.with_metadata({SECOND_MODALITY: json.dumps(asdict(modality), sort_keys=True)})


@dataclass(frozen=True)
class Shard:
    """One Parquet file of a data set; ``name`` is relative to its folder."""

    name: str
    rows: int
    sha256: str


class ShardWriter:
    """
    A shard that is written a few rows at a time, so that memory holds no more than these.

    It takes its name only with `close`.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Begin a shard."""
        self._path = path
        self._schema = schema
        self._temporary = path.with_name(path.name + PARTIAL)
        self._writer = pq.ParquetWriter(self._temporary, schema, **_storage(schema))
        self._rows: list[dict[str, Any]] = []
        self._count = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self._rows.append(dict(row))
        self._count += 1
        if len(self._rows) == _ROW_GROUP_ROWS:
            self._write_rows()

    def close(self) -> Shard:
        """Write what is left and give the shard its name."""
        with atomic(self._path) as temporary:
            self._write_rows()
            self._writer.close()
            return Shard(self._path.name, self._count, sha256_of(temporary))

    def discard(self) -> None:
        """Remove what was written."""
        try:
            self._writer.close()
        finally:
            self._temporary.unlink(missing_ok=True)

    def _write_rows(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []


def write_shard(path: Path, table: pa.Table) -> Shard:
    """Write a shard whole or not at all."""
    with atomic(path) as temporary:
        pq.write_table(
            table, temporary, row_group_size=_ROW_GROUP_ROWS, **_storage(table.schema)
        )
        return Shard(path.name, table.num_rows, sha256_of(temporary))


def _storage(schema: pa.Schema) -> dict[str, Any]:
    """Say how columns are stored: images as they are, the rest with zstd."""
    images = {'color', 'depth'}
    return {
        'compression': {name: 'NONE' if name in images else 'ZSTD' for name in schema.names},
        'use_dictionary': [n for n in schema.names if n not in {*images, 'pair_id'}],
        'write_statistics': [n for n in schema.names if n not in images],
        'write_page_checksum': True,
    }


def shards_of(folder: Path, manifest: dict[str, Any]) -> list[Shard]:
    """
    List the shards of a finished data set, in order.

    :raises DatasetError: when the manifest names a file that is not there or not inside.
    """
    remedy = _remedy(folder, manifest)
    shards = []
    for entry in manifest.get('shards', []):
        try:
            shard = Shard(**entry)
            path = file_inside(folder, shard.name)
        except (FileNameError, TypeError) as error:
            raise DatasetError(f'{folder}: unusable shard {entry!r}: {error}') from error
        if not path.is_file():
            raise DatasetError(
                f'{path}: expected the shard that the manifest lists, found none; {remedy}'
            )
        shards.append(shard)
    return shards


def check_shards(folder: Path, manifest: dict[str, Any]) -> None:
    """
    See that every shard of a finished data set is there with its rows; no image is read.

    :raises DatasetError: naming the shard that is missing or damaged.
    """
    for shard in shards_of(folder, manifest):
        path = folder / shard.name
        try:
            rows = pq.read_metadata(path).num_rows
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(
                f'{path}: cannot be read as Parquet: {error}; {_remedy(folder, manifest)}'
            ) from error
        if rows != shard.rows:
            raise DatasetError(
                f'{path}: expected the {shard.rows} rows that the manifest counts, found {rows}; '
                f'{_remedy(folder, manifest)}'
            )


def _remedy(folder: Path, manifest: Mapping[str, Any]) -> str:
    return (
        f'copy it back if you can, or remove {folder} and make it anew with '
        f'"edgevl {manifest.get("verb", "")}"'
    )


def read_batches(
    path: Path, columns: Sequence[str] | None = None, rows: int = _ROW_GROUP_ROWS
) -> Iterator[pa.RecordBatch]:
    """
    Read a shard a few rows at a time.

    :raises DatasetError: when it is damaged or lacks a column.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = set(file.schema_arrow.names)
            if columns and (absent := [name for name in columns if name not in names]):
                raise DatasetError(
                    f'{path}: expected the columns {absent}, found {sorted(names)}; make the data '
                    'set anew'
                )
            yield from file.iter_batches(batch_size=rows, columns=columns)
    # Damage in the footer, which has no checksum, can look like anything.
    except (OSError, ValueError, MemoryError, OverflowError, pa.ArrowException) as error:
        raise DatasetError(
            f'{path}: cannot be read as Parquet: {error}; make the data set anew'
        ) from error


def read_table(path: Path, columns: Sequence[str], rows: int) -> pa.Table:
    """
    Read some columns of a shard whole.

    :raises DatasetError: when it does not have the rows that its manifest counts.
    """
    batches = list(read_batches(path, columns, _READ_ROWS))
    found = sum(len(batch) for batch in batches)
    if found != rows or not batches:
        raise DatasetError(
            f'{path}: expected the {rows} rows that the manifest counts, found {found}; '
            'make the data set anew'
        )
    return pa.Table.from_batches(batches)
