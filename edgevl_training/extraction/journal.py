# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far the extraction of one source is, on disk: what a crash leaves is what goes on."""

from __future__ import annotations

from collections.abc import Sequence
import csv
from dataclasses import asdict, dataclass, field
import io
import json
import os
from pathlib import Path
from typing import Any

from edgevl_training.dataset import Shard
from edgevl_training.errors import OutputError
from edgevl_training.extraction.tally import Tally
from edgevl_training.output import write_json

# Holds the journals until the manifest takes their place.
WORK_FOLDER = 'work'
SKIPPED_COLUMNS = ('bag', 'item', 'reason', 'detail')
# The reason of a source that cannot be used at all; it has no item.
LEFT_OUT = 'source left out'


@dataclass
class Journal:
    """
    What was decided up to the last shard.

    ``events`` counts pairs and lost items of the source, in its order; ``skipped_bytes`` is how
    much of the list of skipped items belongs to them. ``refused`` is why the source gave nothing
    (more). ``losses`` are the damages of a bag, ``notes`` what a person should know of it and
    ``topics`` those that were chosen.
    """

    events: int = 0
    skipped_bytes: int = 0
    finished: bool = False
    refused: str | None = None
    selection: dict[str, Any] | None = None
    tally: Tally = field(default_factory=Tally)
    shards: list[Shard] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    losses: list[dict[str, str]] = field(default_factory=list)
    topics: dict[str, str | None] = field(default_factory=dict)

    @staticmethod
    def read(out: Path, index: int) -> Journal:
        """
        Read the journal of a source; there is none yet at first.

        :raises OutputError: when somebody changed it.
        """
        path = _path(out, index, 'json')
        if not path.is_file():
            return Journal()
        try:
            values = json.loads(path.read_text(encoding='utf-8'))
            values['tally'] = Tally(**values['tally'])
            values['shards'] = [Shard(**shard) for shard in values['shards']]
            return Journal(**values)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OutputError(
                f'{path}: cannot go on from it: {error}; remove {out} and start again'
            ) from error

    @staticmethod
    def refuse(out: Path, index: int, name: str, reason: str) -> Journal:
        """Give the journal of a source that cannot be used, and list it among what is skipped."""
        skipped = SkippedList(out, index, keep_bytes=0)
        try:
            skipped.add((name, '', LEFT_OUT, reason))
            size = skipped.sync()
        finally:
            skipped.close()
        journal = Journal(finished=True, refused=reason, skipped_bytes=size)
        journal.tally.count_skipped(LEFT_OUT)
        return journal

    def write(self, out: Path, index: int) -> None:
        """Write the journal whole or not at all."""
        write_json(_path(out, index, 'json'), asdict(self))


class SkippedList:
    """The list of skipped items of one source, written as it grows."""

    def __init__(self, out: Path, index: int, keep_bytes: int) -> None:
        """
        Open the list, and cut off what was written after the last journal.

        :raises OutputError: when it is shorter than the journal says.
        """
        path = skipped_path(out, index)
        path.touch()
        self._file = path.open('r+b')
        if self._file.seek(0, os.SEEK_END) < keep_bytes:
            self._file.close()
            raise OutputError(f'{path}: expected at least {keep_bytes} bytes; remove {out}')
        self._file.truncate(keep_bytes)
        self._file.seek(keep_bytes)

    def add(self, row: Sequence[str]) -> None:
        """Add an item: bag, item, reason, detail."""
        text = io.StringIO()
        csv.writer(text, lineterminator='\n').writerow([' '.join(word.split()) for word in row])
        self._file.write(text.getvalue().encode('utf-8', 'replace'))

    def sync(self) -> int:
        """Bring all to disk; give the size."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def skipped_path(out: Path, index: int) -> Path:
    """Give the place of the list of skipped items of one source."""
    return _path(out, index, 'csv')


def _path(out: Path, index: int, suffix: str) -> Path:
    return out / WORK_FOLDER / f'source-{index:05d}.{suffix}'
