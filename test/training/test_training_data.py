# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Batches of curated pairs: complete, repeatable, and the same pixels as on a robot."""
from __future__ import annotations

import cv2
from edgevl_ros.core.encodings import decode_compressed_depth, encode_compressed_depth
from edgevl_ros.core.errors import BadImage
from edgevl_ros.core.frame import Frame, Modality
from edgevl_ros.core.preprocess import (
    ColorSpec,
    DepthSpec,
    model_input,
    PreprocessSpec,
    ResizeSpec,
)
import numpy as np
import pytest

pytest.importorskip('pyarrow', reason='pyarrow is not installed')

from edgevl_training import curated_split  # noqa: E402, I100
from edgevl_training.curated_split import CuratedSplit, UNSURE  # noqa: E402
from edgevl_training.dataset import SecondModality  # noqa: E402
from edgevl_training.errors import DatasetError  # noqa: E402
from edgevl_training.frames import color_of, second_of  # noqa: E402
from edgevl_training.training_data import batches_in_epoch, batches_of, BatchPlan  # noqa: E402
from support.curated_folder import make_curated  # noqa: E402

SPEC = PreprocessSpec(
    16, ResizeSpec('squash', 16), ColorSpec((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    DepthSpec(0.0, 10.0, 0.0, 0.5, 0.5))
TRAIN, WITHOUT_DEPTH = 21, 5


def pictures_of(count, seed=0):
    """Return colour pictures and depth counts of noise."""
    rng = np.random.default_rng(seed)
    colors = [rng.integers(0, 256, (20, 24, 3), dtype=np.uint8) for _ in range(count)]
    return colors, [rng.integers(0, 9000, (20, 24), dtype=np.uint16) for _ in range(count)]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Give curated pairs: 21 to train on, one of them colour only, and 3 to validate."""
    colors, depths = pictures_of(TRAIN + 3)
    depths[WITHOUT_DEPTH] = None
    rng = np.random.default_rng(1)
    embeddings = rng.normal(size=(len(colors), 4))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    splits = ['train'] * TRAIN + ['validation'] * 3
    order = rng.permutation(len(splits))  # the splits lie among each other
    inverse = np.argsort(order)
    folder = tmp_path_factory.mktemp('data') / 'curated'
    make_curated(
        folder, [colors[i] for i in order], embeddings[order],
        splits=[splits[i] for i in order], labels=[f'label {i % 3}' for i in order],
        depths=[depths[i] for i in order], rows_per_shard=7)
    return folder, colors, depths, embeddings, inverse


@pytest.fixture
def train(data):
    """Give the training split."""
    return CuratedSplit(data[0], 'train')


def plan(size, **more):
    """Return a plan for training."""
    return BatchPlan(size, smallest_area=0.5, **more)


def seen(batches):
    """Return the rows of some batches."""
    return np.concatenate([batch.rows for batch in batches]).tolist()


def test_validation_gives_each_pair_once_whole_and_as_the_robot_sees_it(data):
    folder, colors, depths, embeddings, _ = data
    split = CuratedSplit(folder, 'validation')
    batches = list(batches_of(split, SPEC, BatchPlan(2)))
    assert [len(batch.rows) for batch in batches] == [2, 1]
    assert seen(batches) == [0, 1, 2]
    for batch in batches:
        for rgb, depth, teacher, label in zip(
                batch.rgb, batch.depth, batch.teacher, batch.labels):
            source = int(np.argmax(embeddings @ teacher))
            assert embeddings[source] @ teacher == pytest.approx(1, abs=1e-3)
            assert np.linalg.norm(teacher) == pytest.approx(1, abs=1e-6)
            assert split.label_names[label] == f'label {source % 3}'
            metres = decode_compressed_depth(encode_compressed_depth(
                np.where(depths[source] > 0, depths[source] / 1000, np.nan).astype(np.float32)))
            frame = Frame(0, 'camera', colors[source], metres)
            wanted = model_input(SPEC, frame, (Modality.RGB, Modality.DEPTH))
            np.testing.assert_array_equal(rgb, wanted[0])
            np.testing.assert_array_equal(depth, wanted[1])


def test_only_confident_pairs_keep_their_labels(tmp_path):
    colors, _ = pictures_of(8)
    confidences = [0.2, 0.9, 0.4, 0.8, 0.5, 0.6, 0.7, 0.3]
    folder = make_curated(
        tmp_path / 'curated', colors, np.eye(8), splits=['train'] * 8, rows_per_shard=3,
        labels=list('abababab'), confidences=confidences)
    split = CuratedSplit(folder, 'train')
    split.keep_labels(1.0)
    assert split.labels.tolist() == [0, 1] * 4
    split.keep_labels(0.5)
    kept = [of >= 0.6 for of in confidences]
    assert (split.labels != UNSURE).tolist() == kept
    assert split.labels[kept].tolist() == [1, 1, 1, 0]
    [batch] = batches_of(split, SPEC, BatchPlan(8))
    assert batch.labels.tolist() == split.labels.tolist()


def test_an_epoch_shuffles_anew_and_drops_the_incomplete_end(train):
    first, second = (list(batches_of(train, SPEC, plan(4), epoch)) for epoch in (0, 1))
    assert len(first) == len(second) == batches_in_epoch(train, plan(4)) == TRAIN // 4
    assert len(set(seen(first))) == 20
    assert seen(first) != seen(second)
    assert seen(first) != sorted(seen(first))


def test_seed_and_epoch_decide_everything(train, data):
    for epoch in (0, 3):
        one = list(batches_of(train, SPEC, plan(8, threads=3), epoch))
        other = list(batches_of(CuratedSplit(data[0], 'train'), SPEC, plan(8), epoch))
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine.rgb, theirs.rgb)
            np.testing.assert_array_equal(mine.depth, theirs.depth)
            np.testing.assert_array_equal(mine.rows, theirs.rows)
    assert seen(batches_of(train, SPEC, plan(8, seed=1))) != seen(batches_of(train, SPEC, plan(8)))


@pytest.mark.parametrize('accumulate', [1, 2])
def test_ranks_share_the_batches_of_one_process(train, accumulate):
    alone = list(batches_of(train, SPEC, plan(4, accumulate=accumulate)))
    ranks = [
        list(batches_of(train, SPEC, plan(4, rank=rank, world=2, accumulate=accumulate)))
        for rank in range(2)]
    assert len(alone) == len(ranks[0]) == len(ranks[1])
    assert len(alone) % accumulate == 0
    for whole, *parts in zip(alone, *ranks):
        assert sorted(whole.rows) == sorted(np.concatenate([part.rows for part in parts]))
        pixels = {row: rgb for part in parts for row, rgb in zip(part.rows, part.rgb)}
        for row, rgb in zip(whole.rows, whole.rgb):
            np.testing.assert_array_equal(rgb, pixels[row])
        counts = np.array([part.has_depth.sum() for part in parts])
        weights = np.array([part.depth_weight for part in parts])
        # What the ranks average is the mean over all second pictures.
        np.testing.assert_allclose(weights / 2, counts / counts.sum())
        assert whole.depth_weight == 1


def test_accumulated_batches_are_parts_of_a_step(train):
    whole = list(batches_of(train, SPEC, plan(8)))
    halves = list(batches_of(train, SPEC, plan(4, accumulate=2)))
    assert len(halves) == 2 * len(whole)
    for step, batch in enumerate(whole):
        assert sorted(seen(halves[2 * step:2 * step + 2])) == sorted(batch.rows)


def test_a_split_smaller_than_a_batch_is_one(train):
    assert sorted(seen(batches_of(train, SPEC, plan(100)))) == list(range(TRAIN))
    assert len(seen(batches_of(train, SPEC, plan(100, world=2)))) == TRAIN // 2
    assert list(batches_of(train, SPEC, plan(100, world=50))) == []


def test_a_pair_of_colour_alone_has_no_depth(train, data):
    batches = list(batches_of(train, SPEC, BatchPlan(TRAIN)))
    [missing] = np.flatnonzero(~batches[0].has_depth)
    assert np.argmax(data[3] @ batches[0].teacher[missing]) == WITHOUT_DEPTH
    assert not batches[0].depth[missing].any()
    assert train.has_depth.sum() == TRAIN - 1


def test_one_modality_alone(data):
    split = CuratedSplit(data[0], 'train', (Modality.DEPTH,))
    assert len(split) == TRAIN - 1
    [batch] = batches_of(split, SPEC, BatchPlan(100, modalities=(Modality.DEPTH,)))
    assert batch.has_depth.all()
    assert not batch.rgb.any()
    [batch] = batches_of(
        CuratedSplit(data[0], 'train'), SPEC, BatchPlan(100, modalities=(Modality.RGB,)))
    assert not batch.has_depth.any()
    assert batch.rgb.any()


def test_little_of_the_data_is_in_memory(data, monkeypatch):
    monkeypatch.setattr(curated_split, 'WINDOW', 2)
    split = CuratedSplit(data[0], 'train')
    assert len(set(seen(batches_of(split, SPEC, plan(4))))) == 20
    assert len(split._cache) <= 2


def test_both_pictures_get_the_same_crop_and_flip(tmp_path):
    """Let both pictures hold the same slope, which any other crop would show otherwise."""
    slope = np.linspace(0, 1, 96)[None].repeat(64, 0)
    color = (255 * slope)[:, :, None].repeat(3, 2).astype(np.uint8)
    depth = np.maximum(1, 10_000 * slope).astype(np.uint16)
    make_curated(
        tmp_path / 'curated', [color] * 6, np.eye(6), splits=['train'] * 6, depths=[depth] * 6)
    [batch] = batches_of(CuratedSplit(tmp_path / 'curated', 'train'), SPEC, plan(6))
    np.testing.assert_allclose(batch.rgb, batch.depth, atol=0.02)
    assert len({tuple(row.ravel()[:4]) for row in batch.rgb}) == 6


def test_a_split_without_pairs_is_refused(data):
    with pytest.raises(DatasetError, match=r"split 'test', found none; give .*--split"):
        CuratedSplit(data[0], 'test')


def test_no_second_pictures_for_a_student_of_depth_are_refused(tmp_path):
    make_curated(tmp_path / 'c', pictures_of(2)[0], np.eye(2), splits=['train'] * 2)
    with pytest.raises(DatasetError, match='with a second picture'):
        CuratedSplit(tmp_path / 'c', 'train', (Modality.DEPTH,))


def test_a_damaged_picture_names_its_pair(tmp_path):
    colors, depths = pictures_of(2)
    whole = cv2.imencode('.jpg', colors[0])[1].tobytes()
    broken = whole[:60]
    make_curated(tmp_path / 'c', [whole, broken], np.eye(2), splits=['train'] * 2, depths=depths)
    with pytest.raises(DatasetError, match=r'the pair bag/0/1000000000: .*make the data set'):
        list(batches_of(CuratedSplit(tmp_path / 'c', 'train'), SPEC, plan(2)))


def test_a_damaged_shard_is_named(tmp_path):
    colors, depths = pictures_of(8)
    folder = make_curated(
        tmp_path / 'c', colors, np.eye(8), splits=['train'] * 8, depths=depths, rows_per_shard=8)
    split = CuratedSplit(folder, 'train')
    content = bytearray((folder / 'shard-00000.parquet').read_bytes())
    content[2000:2100] = bytes(100)
    (folder / 'shard-00000.parquet').write_bytes(content)
    with pytest.raises(DatasetError, match=r'shard-00000\.parquet: cannot be read'):
        list(batches_of(split, SPEC, plan(2)))


def test_stopping_early_ends_the_threads(train):
    batches = batches_of(train, SPEC, plan(2))
    next(batches)
    batches.close()


def test_every_count_of_millimetres_is_what_the_robot_reads():
    counts = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    png = cv2.imencode('.png', counts)[1].tobytes()
    on_robot = decode_compressed_depth(encode_compressed_depth(
        np.where((counts > 0) & (counts < 65535), counts / 1000, np.nan).astype(np.float32)))
    np.testing.assert_array_equal(second_of(png, SecondModality()), on_robot)


def test_another_second_modality_runs_to_full_scale():
    counts = np.array([[0, 1, 65535]], np.uint16)
    png = cv2.imencode('.png', counts)[1].tobytes()
    found = second_of(png, SecondModality('swir', 'full scale', 1 / 65535, ()))
    np.testing.assert_allclose(found, [[0, 1 / 65535, 1]])


@pytest.mark.parametrize('content', [b'', b'nonsense', 'eight bits'])
def test_what_is_no_second_picture_is_refused(content):
    if content == 'eight bits':
        content = cv2.imencode('.png', np.zeros((4, 4), np.uint8))[1].tobytes()
    with pytest.raises(BadImage):
        second_of(content, SecondModality())


def test_colour_is_decoded_as_the_robot_does():
    picture = pictures_of(1)[0][0]
    png = cv2.imencode('.png', picture[:, :, ::-1])[1].tobytes()
    np.testing.assert_array_equal(color_of(png), picture)
