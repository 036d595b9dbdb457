# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The processes that share one run of a verb, as torchrun starts them; mostly it is one.

They exchange a few words over gloo before and after the work; in between none waits for another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
import os
from typing import Any, TypeVar

from edgevl_training.errors import TeacherError

T = TypeVar('T')

# The first process to end waits this long for the slowest one. One that dies is noticed at once,
# because its connections close.
_PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Ranks:
    """Which process this is, and of how many."""

    rank: int = 0
    world: int = 1
    # Which one on this machine, and of how many.
    local_rank: int = 0
    local_world: int = 1

    @property
    def first(self) -> bool:
        """Tell whether this is the process that speaks for all."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """Give every world-th item, so that each has one owner."""
        return list(items[self.rank::self.world])

    def tell(self, value: Any) -> Any:
        """
        Give every process what the first one gives.

        :raises TeacherError: when the first one has ended.
        """
        if self.world == 1:
            return value
        import torch.distributed as distributed

        box = [value]
        _together(lambda: distributed.broadcast_object_list(box, src=0))
        return box[0]

    def gather(self, value: T) -> list[T]:
        """
        Give every process what each one gives, in the order of their ranks.

        :raises TeacherError: when another one has ended.
        """
        if self.world == 1:
            return [value]
        import torch.distributed as distributed

        values: list[Any] = [None] * self.world
        _together(lambda: distributed.all_gather_object(values, value))
        return values


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """
    Join the processes that torchrun started, for the time of a ``with``.

    :raises TeacherError: when the others cannot be reached.
    """
    world = int(os.environ.get('WORLD_SIZE', '1'))
    if world == 1:
        yield Ranks()
        return
    import torch.distributed as distributed

    ranks = Ranks(
        int(os.environ['RANK']), world,
        int(os.environ.get('LOCAL_RANK', '0')), int(os.environ.get('LOCAL_WORLD_SIZE', '1')),
    )
    _together(lambda: distributed.init_process_group('gloo', timeout=_PATIENCE))
    try:
        yield ranks
    finally:
        distributed.destroy_process_group()


def _together(exchange: Any) -> None:
    try:
        exchange()
    except (RuntimeError, ValueError) as error:
        raise TeacherError(
            'another process of this run has ended or cannot be reached; see what it said, then '
            f'give the same command again: finished shards are kept ({_first_line(error)})'
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
