# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Counts of what happened to every image, kept by two threads and read by a third."""

from __future__ import annotations

from collections import deque
import copy
from dataclasses import dataclass, field
import threading
import time

from edgevl_ros.core.frame import Modality

RECENT_FRAMES = 300
SILENCE_S = 3.0


def _per_modality() -> dict[Modality, int]:
    return dict.fromkeys(Modality, 0)


@dataclass
class Snapshot:
    """
    The counts at one moment.

    ``latest_s`` is when each stream was last heard, on the monotonic clock. ``latencies_s`` are
    seconds from camera stamp to published label of the latest frames whose stamps are of this
    clock, once more without inference; ``processing_s`` are those from the worker taking a frame
    to its label, ``inference_s`` those in the runtime alone; ``finished_s`` is when each was
    published.
    """

    received: dict[Modality, int] = field(default_factory=_per_modality)
    bad: dict[Modality, int] = field(default_factory=_per_modality)
    latest_s: dict[Modality, float] = field(default_factory=dict)
    last_problem: str = ''
    labelled: int = 0
    outdated: int = 0
    spare: int = 0
    unusable: int = 0
    failed: int = 0
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_FRAMES))
    latencies_without_inference_s: deque[float] = field(
        default_factory=lambda: deque(maxlen=RECENT_FRAMES)
    )
    processing_s: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_FRAMES))
    inference_s: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_FRAMES))
    finished_s: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_FRAMES))
    last_label: str = ''


class Statistics:
    """A `Snapshot` that several threads may add to."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._lock = threading.Lock()
        self._counts = Snapshot()

    def received(self, modality: Modality) -> None:
        """Count a message."""
        with self._lock:
            self._counts.received[modality] += 1
            self._counts.latest_s[modality] = time.monotonic()

    def bad(self, modality: Modality, reason: str) -> None:
        """Count an image that cannot be used."""
        with self._lock:
            self._counts.bad[modality] += 1
            self._counts.last_problem = reason

    def outdated(self) -> None:
        """Count a frame that came after a newer one."""
        with self._lock:
            self._counts.outdated += 1

    def spare(self) -> None:
        """Count an image that came alone and was not needed."""
        with self._lock:
            self._counts.spare += 1

    def heard_within(self, modality: Modality, seconds: float) -> bool:
        """Tell whether a message of a modality came within the last seconds."""
        with self._lock:
            latest_s = self._counts.latest_s.get(modality, float('-inf'))
        return time.monotonic() - latest_s <= seconds

    def unusable(self, reason: str) -> None:
        """Count a frame in which there was nothing to label."""
        with self._lock:
            self._counts.unusable += 1
            self._counts.last_problem = reason

    def failed(self, reason: str) -> None:
        """Count a frame on which inference or publishing failed."""
        with self._lock:
            self._counts.failed += 1
            self._counts.last_problem = reason

    def labelled(
        self, label: str, latency_s: float | None, processing_s: float, inference_s: float
    ) -> None:
        """Count a published frame and the time that it took; None for an unknown latency."""
        with self._lock:
            self._counts.labelled += 1
            self._counts.last_label = label
            if latency_s is not None:
                self._counts.latencies_s.append(latency_s)
                self._counts.latencies_without_inference_s.append(latency_s - inference_s)
            self._counts.processing_s.append(processing_s)
            self._counts.inference_s.append(inference_s)
            self._counts.finished_s.append(time.monotonic())

    def snapshot(self) -> Snapshot:
        """Copy all counts as they are at this moment."""
        with self._lock:
            return copy.deepcopy(self._counts)
