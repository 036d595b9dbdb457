# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a node says of itself on /diagnostics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import time

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from edgevl_ros.core.pairing import PairingCounts
from edgevl_ros.nodes.statistics import SILENCE_S, Snapshot
import numpy as np


@dataclass(frozen=True)
class Report:
    """The level, the sentence and the values of one diagnostic status."""

    level: bytes
    message: str
    values: Mapping[str, str]

    def status(self, name: str, hardware_id: str) -> DiagnosticStatus:
        """Write the report as a message."""
        return DiagnosticStatus(
            level=self.level,
            name=name,
            message=self.message,
            hardware_id=hardware_id,
            values=[KeyValue(key=key, value=value) for key, value in self.values.items()],
        )


@dataclass(frozen=True)
class Observation:
    """
    Everything counted in an active node at one moment.

    ``replaced`` are the frames that a newer one replaced before the worker was free.
    """

    counts: Snapshot
    pairing: PairingCounts
    replaced: int


def report(now: Observation, before: Observation | None, complaints: Iterable[str]) -> Report:
    """
    Judge an active node by its counts now and at the report before, None for the first.

    :param complaints: what is wrong with the topics, one sentence each.
    """
    values = _values(now.counts, now.pairing, now.replaced)
    grown = _growth(now, before)
    if grown['failed']:
        return Report(
            DiagnosticStatus.ERROR, f'inference failed: {now.counts.last_problem}', values
        )
    problems = list(complaints)
    if grown['bad']:
        problems.append(f'bad images: {now.counts.last_problem}')
    if grown['duplicate']:
        problems.append('images repeat a stamp and are dropped; the driver must stamp each anew')
    if grown['late']:
        problems.append('images come after their partner was used alone; raise pairing_timeout')
    if problems:
        return Report(DiagnosticStatus.WARN, '; '.join(problems), values)
    if now.counts.labelled == 0:
        return Report(DiagnosticStatus.OK, 'waiting for images', values)
    return Report(DiagnosticStatus.OK, f'labelling: {now.counts.last_label}', values)


def _growth(now: Observation, before: Observation | None) -> dict[str, int]:
    def troubles(seen: Observation | None) -> dict[str, int]:
        if seen is None:
            return {'failed': 0, 'bad': 0, 'duplicate': 0, 'late': 0}
        return {
            'failed': seen.counts.failed,
            'bad': sum(seen.counts.bad.values()) + seen.counts.unusable,
            'duplicate': seen.pairing.duplicate,
            'late': seen.pairing.late,
        }

    earlier = troubles(before)
    return {name: count - earlier[name] for name, count in troubles(now).items()}


def silence(now: Snapshot, active_since_s: float) -> bool:
    """Tell whether an active node has heard neither stream for too long."""
    latest = max(now.latest_s.values(), default=active_since_s)
    return time.monotonic() - max(latest, active_since_s) > SILENCE_S


def _values(now: Snapshot, counts: PairingCounts, replaced: int) -> dict[str, str]:
    values = {f'{m.value} images received': str(n) for m, n in now.received.items()}
    values.update({f'{m.value} images bad': str(n) for m, n in now.bad.items()})
    values.update(
        {
            'frames labelled': str(now.labelled),
            'frames dropped for newer ones': str(replaced),
            'frames dropped as older than the last': str(now.outdated),
            'lone images not needed': str(now.spare),
            'frames with nothing to label': str(now.unusable),
            'frames failed': str(now.failed),
            'pairs matched': str(counts.matched),
            'colour images alone': str(counts.lone_color),
            'depth images alone': str(counts.lone_depth),
            'images with a repeated stamp': str(counts.duplicate),
            'images too late for their partner': str(counts.late),
            'images dropped while waiting': str(counts.overflow),
            'jumps back in time': str(counts.time_jumps),
            'label rate (Hz)': _rate(now),
            'inference p50 / p99 (ms)': _percentiles_ms(now.inference_s),
            'processing p50 / p99 (ms)': _percentiles_ms(now.processing_s),
            'stamp to label p50 / p99 (ms)': _percentiles_ms(now.latencies_s),
            'stamp to label without inference p50 / p99 (ms)': _percentiles_ms(
                now.latencies_without_inference_s
            ),
            'last label': now.last_label,
            'last problem': now.last_problem,
        }
    )
    return values


def _rate(now: Snapshot) -> str:
    if len(now.finished_s) < 2 or time.monotonic() - now.finished_s[-1] > SILENCE_S:
        return '0.0'
    span = now.finished_s[-1] - now.finished_s[0]
    return f'{(len(now.finished_s) - 1) / span:.1f}' if span > 0 else '0.0'


def _percentiles_ms(seconds: Iterable[float]) -> str:
    samples = list(seconds)
    if not samples:
        return 'none yet'
    p50, p99 = np.percentile(samples, [50, 99]) * 1000
    return f'{p50:.1f} / {p99:.1f}'
