# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Shards keep every value, can be read by other engines, and say so when they are damaged."""
from __future__ import annotations

from dataclasses import asdict
import hashlib
import json

from hypothesis import given, settings, strategies
import numpy as np
import pytest

pytest.importorskip('pyarrow', reason='pyarrow is not installed')

from edgevl_training.dataset import (  # noqa: E402, I100
    check_shards,
    curated_schema,
    described,
    PAIRS,
    read_batches,
    SECOND_MODALITY,
    SecondModality,
    Shard,
    shards_of,
    taught_schema,
    write_shard,
)
from edgevl_training.errors import DatasetError  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

DIM = 8


def pair(number, **changes):
    """Return a row of pairs."""
    return {
        'pair_id': f'drive/0/{number}', 'bag': 'drive', 'item': '/color', 'timeline': 0,
        'color_stamp_ns': 1_700_000_000_000_000_000 + number, 'depth_stamp_ns': None,
        'skew_ns': -3, 'frame_id': 'camera', 'depth_frame_id': None,
        'color': b'\xff\xd8' + bytes([number % 256]) * 5000, 'color_format': 'jpeg',
        'color_width': 640, 'color_height': 480, 'depth': None, 'depth_width': None,
        'depth_height': None, 'depth_coverage': 0.5, 'sharpness': 3.25,
        'perceptual_hash': -(1 << 63) + number, 'truth': 'kitchen', **changes}


def pairs(count, **changes):
    """Return a table of pairs."""
    return pa.Table.from_pylist([pair(number, **changes) for number in range(count)], PAIRS)


@pytest.fixture
def shard(tmp_path):
    """Write a shard of 200 pairs; give its path."""
    write_shard(tmp_path / 'shard-00000.parquet', pairs(200))
    return tmp_path / 'shard-00000.parquet'


def test_a_shard_gives_back_what_was_written(tmp_path):
    table = pairs(150)
    path = tmp_path / 'shard-00000.parquet'
    written = write_shard(path, table)
    assert written == Shard(path.name, 150, hashlib.sha256(path.read_bytes()).hexdigest())
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    assert pq.read_table(path).equals(table)
    assert pa.Table.from_batches(read_batches(path)).equals(table)


def test_the_same_rows_make_the_same_bytes(tmp_path):
    first = write_shard(tmp_path / 'a', pairs(70))
    assert write_shard(tmp_path / 'b', pairs(70)).sha256 == first.sha256


def test_a_shard_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(_, path, **__):
        path.write_bytes(b'half')
        raise OSError('disk full')

    monkeypatch.setattr(pq, 'write_table', fail)
    with pytest.raises(OSError, match='disk full'):
        write_shard(tmp_path / 'shard', pairs(1))
    assert list(tmp_path.iterdir()) == []


def test_a_reader_holds_a_few_rows_at_a_time(shard):
    metadata = pq.ParquetFile(shard).metadata
    assert max(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)) <= 64
    batches = list(read_batches(shard, ['pair_id'], rows=10))
    assert {batch.num_rows for batch in batches[:6]} == {10}
    assert sum(batch.num_rows for batch in batches) == 200
    assert batches[0].schema.names == ['pair_id']


def test_images_are_not_packed_a_second_time(shard):
    group = pq.ParquetFile(shard).metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert columns['color'].compression == columns['depth'].compression == 'UNCOMPRESSED'
    assert columns['bag'].compression == 'ZSTD'
    assert not columns['color'].is_stats_set
    assert columns['color_stamp_ns'].is_stats_set


@pytest.mark.parametrize('missing', ['pair_id', 'color', 'sharpness'])
def test_a_pair_without_its_image_or_name_is_no_pair(tmp_path, missing):
    with pytest.raises((ValueError, pa.ArrowException)):
        write_shard(tmp_path / 'shard', pairs(1, **{missing: None}))


HALVES = strategies.lists(
    strategies.floats(allow_nan=False, width=16), min_size=DIM, max_size=DIM)


@given(strategies.lists(strategies.none() | HALVES, max_size=20))
def test_float16_embeddings_and_missing_ones_come_back_exactly(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / 'taught.parquet'
    arrays = [None if row is None else np.array(row, np.float16) for row in rows]
    table = pa.table(
        [[str(number) for number in range(len(rows))], arrays], schema=taught_schema(DIM))
    write_shard(path, table)
    read = pa.Table.from_batches(read_batches(path), taught_schema(DIM))
    assert read.schema.equals(taught_schema(DIM))
    back = read.column('teacher_embedding').to_pylist()
    assert [value is None for value in back] == [row is None for row in rows]
    for value, row in zip(back, rows):
        assert row is None or np.array_equal(np.array(value, np.float16), np.float16(row))


def test_a_batch_of_embeddings_becomes_an_array_without_a_loop(tmp_path):
    embeddings = np.random.default_rng(0).standard_normal((100, DIM)).astype(np.float16)
    column = pa.array(list(embeddings), pa.list_(pa.float16()))
    path = tmp_path / 'taught.parquet'
    write_shard(path, pa.table(
        [[str(number) for number in range(100)], column], schema=taught_schema(DIM)))
    rows = [
        batch.column('teacher_embedding').flatten().to_numpy().reshape(-1, DIM)
        for batch in read_batches(path)]
    assert np.array_equal(np.concatenate(rows), embeddings)


def test_curated_rows_are_pairs_and_what_came_of_them():
    schema = curated_schema(DIM)
    assert schema.names[:len(PAIRS)] == PAIRS.names
    assert schema.names[len(PAIRS):] == [
        'teacher_embedding', 'pseudo_label', 'confidence', 'margin', 'split']
    assert not any(schema.field(name).nullable for name in schema.names[len(PAIRS):])


def test_a_damaged_shard_is_named(shard):
    whole = shard.read_bytes()
    for damaged in (b'', b'not parquet', whole[:-1], whole[:len(whole) // 2], whole[100:]):
        shard.write_bytes(damaged)
        with pytest.raises(DatasetError, match='shard-00000.parquet: cannot be read as Parquet'):
            list(read_batches(shard))


def flipped(path, where, flip, in_footer):
    """Flip bits at a share of a shard's pages or of its footer."""
    content = bytearray(path.read_bytes())
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], 'little')
    start, end = (footer, len(content)) if in_footer else (0, footer)
    content[start + int(where * (end - start))] ^= flip
    path.write_bytes(content)


@settings(deadline=None)
@given(strategies.floats(0, 1, exclude_max=True), strategies.integers(1, 255))
def test_no_flipped_bit_of_a_page_goes_unnoticed(tmp_path_factory, where, flip):
    path = tmp_path_factory.getbasetemp() / 'flipped.parquet'
    table = pairs(80)
    write_shard(path, table)
    flipped(path, where, flip, in_footer=False)
    try:
        batches = list(read_batches(path))
    except DatasetError as error:
        assert 'flipped.parquet' in str(error)
    else:
        # Statistics, padding and the like: what was written is what was read.
        assert pa.Table.from_batches(batches).to_pydict() == table.to_pydict()


@settings(deadline=None)
@given(strategies.floats(0, 1, exclude_max=True), strategies.integers(1, 255))
def test_no_flipped_bit_of_a_footer_ends_in_a_traceback(tmp_path_factory, where, flip):
    """Parquet gives the footer no checksum; that of the whole shard is in the manifest."""
    path = tmp_path_factory.getbasetemp() / 'flipped.parquet'
    write_shard(path, pairs(80))
    flipped(path, where, flip, in_footer=True)
    try:
        list(read_batches(path, PAIRS.names))
    except DatasetError as error:
        assert 'flipped.parquet' in str(error)


def test_a_missing_column_or_file_is_named(shard, tmp_path):
    with pytest.raises(DatasetError, match=r"expected the columns \['colour'\], found \['bag', "):
        list(read_batches(shard, ['bag', 'colour']))
    with pytest.raises(DatasetError, match='none.parquet'):
        list(read_batches(tmp_path / 'none.parquet'))


def manifest_of(*shards):
    """Return the manifest of some shards."""
    return {'shards': [asdict(shard) for shard in shards]}


def test_the_shards_of_a_manifest_come_in_its_order(tmp_path):
    shards = [write_shard(tmp_path / f'shard-{n}', pairs(n)) for n in (2, 0, 1)]
    assert shards_of(tmp_path, manifest_of(*shards)) == shards
    assert shards_of(tmp_path, {}) == []


@pytest.mark.parametrize('name', ['../secret', '/etc/hostname', 'a/b', '..', '', 'a\0b', 3])
def test_no_shard_lies_outside_the_folder(tmp_path, name):
    (tmp_path / 'secret').write_text('secret')
    folder = tmp_path / 'pairs'
    folder.mkdir()
    with pytest.raises(DatasetError, match='unusable shard .*expected plain file names'):
        shards_of(folder, manifest_of(Shard(name, 1, '0')))


def test_a_linked_or_missing_shard_is_named(shard, tmp_path):
    folder = tmp_path / 'pairs'
    folder.mkdir()
    (folder / 'shard').symlink_to(shard)
    with pytest.raises(DatasetError, match='found a link'):
        shards_of(folder, manifest_of(Shard('shard', 1, '0')))
    with pytest.raises(DatasetError, match='other: expected the shard that the manifest lists'):
        shards_of(folder, manifest_of(Shard('other', 1, '0')))


def test_shards_are_checked_without_reading_their_images(tmp_path):
    shard = write_shard(tmp_path / 'shard', pairs(200))
    manifest = {'verb': 'extract', **manifest_of(shard)}
    check_shards(tmp_path, manifest)
    with pytest.raises(DatasetError, match='shard: expected the 201 rows .*, found 200; copy it '):
        check_shards(tmp_path, {'shards': [{**asdict(shard), 'rows': 201}]})
    whole = (tmp_path / 'shard').read_bytes()
    (tmp_path / 'shard').write_bytes(whole[:-1])
    with pytest.raises(DatasetError, match='shard: cannot be read .*with "edgevl extract"'):
        check_shards(tmp_path, manifest)


def test_a_shard_says_what_its_second_pictures_mean(tmp_path):
    schema = described(PAIRS, SecondModality('swir', 'full scale', 0.5, ()))
    write_shard(tmp_path / 'shard', pairs(1).cast(schema))
    assert json.loads(pq.read_schema(tmp_path / 'shard').metadata[SECOND_MODALITY]) == {
        'name': 'swir', 'unit': 'full scale', 'scale': 0.5, 'missing': []}
    assert described(PAIRS, None).metadata is None


def test_depth_is_stored_in_millimetres_and_other_counts_as_they_are():
    assert SecondModality(scale=0.04, missing=(0,)).stored == SecondModality()
    swir = SecondModality('swir', 'full scale', 0.5, ())
    assert swir.stored == swir


@pytest.mark.parametrize('entry', [None, 'shard', 3, {}, {'name': 'shard'}, {'path': 'x'}])
def test_a_broken_list_of_shards_is_refused(tmp_path, entry):
    with pytest.raises(DatasetError, match='unusable shard'):
        shards_of(tmp_path, {'shards': [entry]})


def test_depth_is_in_millimetres_unless_said_otherwise():
    modality = SecondModality()
    assert (modality.name, modality.unit, modality.scale) == ('depth', 'm', 0.001)
    assert modality.missing == (0, 65535)
