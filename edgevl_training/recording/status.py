# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the recorder says of itself on /diagnostics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgevl_training.recording.writing import Recording

OK, WARN, ERROR = 0, 1, 2


@dataclass(frozen=True)
class Status:
    """The level, the sentence and the values of one diagnostic status."""

    level: int
    message: str
    values: Mapping[str, str]


def status_of(recording: Recording, complaints: Sequence[str]) -> Status:
    """
    Judge a recording.

    :param complaints: what is wrong besides the disk, one sentence each.
    """
    values = _values(recording)
    if recording.problem:
        return Status(ERROR, f'recording pauses: {recording.problem}', values)
    if complaints:
        return Status(WARN, '; '.join(complaints), values)
    if recording.complete:
        return Status(OK, 'complete: the bag has its largest size', values)
    return Status(OK, f'recording: {recording.size_mb:.1f} MB', values)


def _values(recording: Recording) -> dict[str, str]:
    counts, written = recording.counts, recording.written
    values = {
        'size (MB)': f'{recording.size_mb:.1f}',
        'free space (GB)': f'{recording.free_gb:.1f}',
        'waiting for the disk (MB)': f'{recording.waiting_mb:.1f}',
    }
    for topic, received in sorted(counts.received.items()):
        values[f'{topic} received'] = str(received)
        values[f'{topic} kept'] = str(counts.kept[topic])
        values[f'{topic} written'] = str(written[topic])
        values[f'{topic} dropped'] = str(counts.dropped[topic])
        values[f'{topic} lost in transport'] = str(counts.lost[topic])
    values.update({f'triggers: {reason}': str(n) for reason, n in counts.triggers.items()})
    values['last problem'] = recording.last_problem
    return values
