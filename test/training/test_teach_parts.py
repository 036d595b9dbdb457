# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of teach that a run with a good teacher on a CPU does not show."""

import threading
import time

from edgevl_training.dataset import Shard
from edgevl_training.errors import TeacherError
from edgevl_training.teaching.embedder import Embedder
from edgevl_training.teaching.pictures import Batch
from edgevl_training.teaching.prefetch import prefetched
from edgevl_training.teaching.ranks import Ranks
from edgevl_training.teaching.taught import find_taught, ShardInMaking
import numpy as np
import pytest

pytest.importorskip('torch', reason='torch is not installed: training extra')


class SmallMemory:
    """A teacher on a GPU that holds so many images at once: no GPU is needed to run out of it."""

    id = 'small'  # noqa: A003 (the protocol's own word)
    dim = 2

    def __init__(self, most):
        """Take at most so many images."""
        self.most = most
        self.tried = []

    def embed_images(self, images):
        """Give rows that tell which images they are of."""
        import torch

        self.tried.append(len(images))
        if len(images) > self.most:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory')
        return images.reshape(len(images), -1)[:, :2]


def test_running_out_of_gpu_memory_halves_the_batch_for_good():
    teacher = SmallMemory(most=5)
    embedder = Embedder(teacher, 16)
    images = np.arange(20 * 3, dtype=np.float32).reshape(20, 3, 1, 1)
    np.testing.assert_array_equal(embedder.embed(images), images.reshape(20, 3)[:, :2])
    assert embedder.batch_size == 4
    assert teacher.tried == [16, 8, 4, 4, 4, 4, 4]
    assert embedder.images == 20 and embedder.busy_s > 0


def test_a_gpu_too_small_for_one_image_is_an_error_not_a_loop():
    with pytest.raises(TeacherError, match='--device cpu'):
        Embedder(SmallMemory(most=0), 4).embed(np.zeros((4, 3, 1, 1), np.float32))


def test_an_embedding_that_is_not_finite_is_skipped(tmp_path):
    """Half precision can overflow; NaN must not get into the training data."""
    making = ShardInMaking(2)
    batch = Batch(Shard('s.parquet', 3, ''), ['a', 'b', 'c'], positions=[0, 2],
                  unreadable={1: 'broken'}, last=True)
    making.add(batch, np.array([[np.nan, 0], [0.6, 0.8]], np.float32))
    written = making.write(tmp_path / 's.parquet')
    assert written.skipped == [('a', 'the teacher gave no finite embedding'), ('b', 'broken')]
    assert find_taught(tmp_path / 's.parquet', 2, 3) == written


def test_prefetching_keeps_the_order_and_runs_ahead():
    made = []

    def make():
        for number in range(6):
            made.append(number)
            yield number

    with prefetched(make(), 2) as numbers:
        assert next(numbers) == 0
        wait_until(lambda: len(made) == 4)  # one in use, two ready, one waiting for a place
        assert list(numbers) == [1, 2, 3, 4, 5]


def test_what_fails_in_the_thread_is_raised_where_it_is_used():
    def make():
        yield 1
        raise ValueError('no more')

    with prefetched(make(), 2) as numbers:
        assert next(numbers) == 1
        with pytest.raises(ValueError, match='no more'):
            next(numbers)


def test_leaving_early_ends_the_thread():
    before = threading.active_count()
    with pytest.raises(RuntimeError), prefetched(iter(range(10**9)), 2) as numbers:
        next(numbers)
        raise RuntimeError
    assert threading.active_count() == before


@pytest.mark.parametrize('world', [1, 2, 3, 7])
def test_ranks_share_everything_once(world):
    items = list(range(5))
    shares = [Ranks(rank, world).share(items) for rank in range(world)]
    assert sorted(item for share in shares for item in share) == items


def wait_until(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail('waited too long')
