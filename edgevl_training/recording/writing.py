# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that writes, and the one that makes what was written safe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
import logging
import threading
import time
from typing import Any, Protocol

from edgevl_training.recording.bag import Bag
from edgevl_training.recording.counts import Counts
from edgevl_training.recording.message_queue import MessageQueue
from edgevl_training.recording.messages import Message, Topic
from edgevl_training.recording.recipe import RecordRecipe
from edgevl_training.recording.space import SpaceGuard

_IDLE_S = 0.1
_CHECK_S = 1.0
_SYNC_S = 5.0
_MB = 1_000_000


class Log(Protocol):
    """A logger, of Python or of a ROS node."""

    def info(self, message: str, /) -> object:
        """Tell what is good to know."""

    def error(self, message: str, /) -> object:
        """Tell what is wrong."""


class Recording:
    """
    Takes messages from any thread and has them written.

    One thread writes and does nothing that waits for the disk; another one has written data
    synchronised and the notes brought up to date every few seconds.
    """

    def __init__(
        self, recipe: RecordRecipe, guard: SpaceGuard, counts: Counts,
        log: Log = logging.getLogger(__name__),  # noqa: B008
    ) -> None:
        """
        Start both threads.

        :param log: told every new problem, and the end of one, by the writer.
        """
        self._recipe = recipe
        self._guard = guard
        self.counts = counts
        self._log = log
        self._bag = Bag(recipe)
        self._queue = MessageQueue(round(recipe.queue_mb * _MB))
        self._stopping = threading.Event()
        self._started = datetime.now(timezone.utc)
        self._started_s = time.monotonic()
        self._checked_s = 0.0
        self._paused_since_s: float | None = None
        self._paused_s = 0.0
        self._finished = False
        self.problem = ''
        self.last_problem = ''
        self.complete = False
        self._writer = threading.Thread(target=self._write, name='writer', daemon=True)
        self._syncer = threading.Thread(target=self._synchronise, name='syncer', daemon=True)
        self._check()
        self._writer.start()
        self._syncer.start()

    @property
    def waiting_mb(self) -> float:
        """Give the megabytes that wait to be written."""
        return self._queue.waiting_bytes / _MB

    @property
    def free_gb(self) -> float:
        """Give the free space of the disk."""
        return self._guard.free_gb

    @property
    def size_mb(self) -> float:
        """Give the size of the bag."""
        return self._bag.size / _MB

    @property
    def written(self) -> Counter[str]:
        """Count by topic the messages in the files."""
        return self._bag.written

    def register(self, topic: Topic) -> None:
        """Announce a topic."""
        self._queue.put(topic)

    def put(self, message: Message) -> None:
        """Have a message written, or count it as dropped when the disk is too slow."""
        self.counts.kept[message.topic.name] += 1
        if not self._queue.put(message):
            self.counts.queue_full[message.topic.name] += 1

    def stop(self) -> dict[str, Any]:
        """Write everything that waits, complete the bag and give its notes."""
        self._stopping.set()
        self._writer.join()
        self._syncer.join()
        self._save()
        self._sync()
        self._bag.release()
        return self.notes()

    def notes(self) -> dict[str, Any]:
        """Give what recording.json says."""
        folder = self._bag.folder
        return {
            'finished': self._finished,
            'folder': str(folder) if folder else None,
            'mode': self._recipe.mode,
            'recipe': self._recipe.model_dump(mode='json'),
            'started': self._started.isoformat(timespec='seconds'),
            'seconds': round(time.monotonic() - self._started_s, 3),
            'bytes': self._bag.bytes_written,
            'splits': self._bag.splits,
            'topics': self.counts.table(self._bag.written),
            'triggers': dict(self.counts.triggers),
            'paused_seconds': round(self._paused_seconds(), 3),
            'last_problem': self.last_problem,
        }

    def _write(self) -> None:
        try:
            self._write_until_stopped()
        except Exception as error:  # noqa: B902
            self._give_up(error)
        self._finish()

    def _write_until_stopped(self) -> None:
        while True:
            item = self._queue.take(_IDLE_S)
            if item is None and self._stopping.is_set():
                break
            if isinstance(item, Message):
                self._handle(item)
            elif item is not None:
                self._bag.register(item)
            self._tend()

    def _handle(self, message: Message) -> None:
        if self.problem or self.complete:
            self._bag.remember(message)
            self.counts.paused[message.topic.name] += 1
            return
        before = self._bag.pending[message.topic.name]
        try:
            self._bag.write(message)
        except OSError as error:
            self._pause(error)
            if self._bag.pending[message.topic.name] == before:
                self.counts.paused[message.topic.name] += 1

    def _tend(self) -> None:
        """Do what is due whether or not messages come."""
        now_s = time.monotonic()
        if not self.problem:
            self._try(self._bag.tick)
        if now_s - self._checked_s >= _CHECK_S:
            self._check()

    def _check(self) -> None:
        self._checked_s = time.monotonic()
        self.complete = self.complete or self._guard.is_complete(self._bag.size)
        problem = self._guard.problem()
        if problem:
            self._set_problem(problem)
        elif not self.problem or self._try(self._bag.retry):
            self._set_problem('')

    def _try(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except OSError as error:
            self._pause(error)
            return False
        return True

    def _pause(self, error: OSError) -> None:
        self._set_problem(
            f'{self._recipe.out}: cannot write: {error.strerror}; recording goes on when it works'
        )

    def _set_problem(self, problem: str) -> None:
        now_s = time.monotonic()
        if problem and not self.problem:
            self._paused_since_s = now_s
            self._log.error(f'recording pauses: {problem}')
        elif self.problem and not problem:
            self._paused_s = self._paused_seconds()
            self._paused_since_s = None
            self._log.info('recording goes on: there is space again')
        self.problem = problem
        self.last_problem = problem or self.last_problem

    def _paused_seconds(self) -> float:
        since_s = self._paused_since_s
        return self._paused_s + (time.monotonic() - since_s if since_s is not None else 0.0)

    def _finish(self) -> None:
        try:
            self._bag.close()
        except Exception as error:  # noqa: B902
            if isinstance(error, OSError):
                self._pause(error)
            else:
                self._give_up(error)
            for topic, count in self._bag.pending.items():
                self.counts.paused[topic] += count
        self._finished = self._bag.whole

    def _give_up(self, error: Exception) -> None:
        """End the recording for a reason that no space on the disk would mend."""
        self._set_problem(f'cannot go on: {type(error).__name__}: {error}')
        self.complete = True

    def _synchronise(self) -> None:
        known = None
        due_s = time.monotonic()
        while not self._stopping.wait(_IDLE_S):
            files = (self._bag.folder, self._bag.splits)
            if files[0] is None or (files == known and time.monotonic() < due_s):
                continue
            known = files
            self._save()
            self._sync()
            due_s = time.monotonic() + _SYNC_S

    def _sync(self) -> None:
        try:
            self._bag.sync()
        except OSError as error:
            self._log.error(f'{self._recipe.out}: cannot synchronise: {error.strerror}')

    def _save(self) -> None:
        try:
            self._bag.save_notes(self.notes())
        except OSError as error:
            # The notes of some seconds ago stay; a full disk is reported where data is written.
            self._log.error(f'{self._bag.folder}: cannot write the notes: {error.strerror}')
