# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Batches of curated pairs for training, in an order that only the seed and the epoch decide.

Ranks of a distributed run take turns within each batch, so that any number of them sees the same
batches as one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from edgevl_ros.core.errors import BadImage
from edgevl_ros.core.frame import Modality
from edgevl_ros.core.preprocess import PreprocessSpec
from edgevl_training.augment import random_view, View, WHOLE
from edgevl_training.curated_split import BOTH, CuratedSplit, StoredPair
from edgevl_training.errors import DatasetError
from edgevl_training.frames import color_of, second_of
from edgevl_training.teaching.crop_teacher import CropTeacher
import numpy as np
from numpy.typing import NDArray

_BATCHES_AHEAD = 2

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """
    Model inputs of one batch (or of this rank's part of it), as NumPy arrays.

    ``rgb`` and ``depth`` are float32 (B, 3, S, S), preprocessed by the bundle's own definition;
    ``has_depth`` is bool (B,), False where the pair is colour only and its depth input is zero;
    ``teacher`` holds the unit rows to distil, float32 (B, D); ``labels`` int64 (B,) number the
    pseudo-labels, or are `UNSURE`; ``rows`` int64 (B,) number the pairs of the split,
    ``pair_ids`` name them. A modality that was not asked for is zero.

    ``depth_weight`` times the mean over this rank's second pictures, averaged over the ranks, is
    the mean over those of all ranks; it is 1 where every pair has one. ``teacher_inputs``,
    float32 (B, 3, T, T), show the crops to a teacher that is asked about them, if there is one.
    """

    rgb: FloatArray
    depth: FloatArray
    has_depth: NDArray[np.bool_]
    teacher: FloatArray
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    pair_ids: tuple[str, ...]
    depth_weight: float = 1.0
    teacher_inputs: FloatArray | None = None


@dataclass(frozen=True)
class BatchPlan:
    """
    How a split is cut into batches; ``size`` counts pairs of all ranks together.

    An optimizer step takes ``accumulate`` batches. ``smallest_area`` is the share of a picture
    that a random crop keeps at least; None leaves the pictures whole, as for validation and
    calibration. ``threads`` decode pictures. ``crop_teacher`` is shown the crops too.
    """

    size: int
    seed: int = 0
    smallest_area: float | None = None
    modalities: tuple[Modality, ...] = BOTH
    rank: int = 0
    world: int = 1
    threads: int = 1
    accumulate: int = 1
    crop_teacher: CropTeacher | None = None


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
        teacher_inputs=None if plan.crop_teacher is None else np.zeros(
            (len(mine), *plan.crop_teacher.input_shape), np.float32),
    )
    views = [_view(plan, epoch, number) for number in mine.tolist()]
    return batch, [
        pool.submit(_fill, batch, position, pair, split, spec, view, plan)
        for position, (pair, view) in enumerate(zip(pairs, views))
    ]


def _fill(
    batch: Batch, position: int, pair: StoredPair, split: CuratedSplit, spec: PreprocessSpec,
    view: View, plan: BatchPlan,
) -> None:
    """Decode, crop and preprocess the pictures of a pair."""
    try:
        if Modality.RGB in plan.modalities or plan.crop_teacher is not None:
            color = view.of(color_of(pair.color))
            if Modality.RGB in plan.modalities:
                batch.rgb[position] = spec.rgb_input(color)
            if batch.teacher_inputs is not None and plan.crop_teacher is not None:
                batch.teacher_inputs[position] = plan.crop_teacher.preprocess(color)
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
