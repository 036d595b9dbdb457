# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages that got lost since one last looked, in words that say what to do about it."""

from __future__ import annotations

from edgevl_training.recording.counts import Counts

_LARGE_IMAGES = 'larger socket buffers help, and config/fastdds_large_images.xml'


class LossWatch:
    """Reports every loss once, and at most once in a period."""

    def __init__(self, counts: Counts, period_s: float = 0.0) -> None:
        """Begin with what is counted now."""
        self._counts = counts
        self._period_s = period_s
        self._reported_s = float('-inf')
        self._dropped = counts.dropped.total()
        self._lost = counts.lost.total()

    def news(self, now_s: float) -> list[str]:
        """Give a sentence for each kind of loss that has grown since the last report."""
        if now_s - self._reported_s < self._period_s:
            return []
        dropped, lost = self._counts.dropped.total(), self._counts.lost.total()
        sentences = []
        if dropped > self._dropped:
            sentences.append(f'{dropped - self._dropped} messages dropped: the disk is too slow')
        if lost > self._lost:
            sentences.append(
                f'{lost - self._lost} messages lost on the way to the recorder: {_LARGE_IMAGES}'
            )
        if sentences:
            self._reported_s = now_s
        self._dropped, self._lost = dropped, lost
        return sentences
