# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When what the perception node says makes a picture worth keeping."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

Scores = Sequence[tuple[str, float]]


class Reason(str, Enum):
    """Why a picture is kept."""

    CHANGED = 'scene changed'
    UNSURE = 'perception unsure'
    FALLBACK = 'perception silent'


class SceneTrigger:
    """
    Tells which scenes are worth their pictures.

    A scene has changed when the best label has been another one than at the last change for
    ``stable_frames`` scenes in a row. One that comes too soon after the last change is not
    forgotten: it counts as soon as it may. Being unsure must wait after either trigger, but never
    delays a change.
    """

    def __init__(
        self, stable_frames: int, unsure_below: float, unsure_margin: float, min_interval_s: float
    ) -> None:
        """Begin without a scene, so that the first one that is stable is a change."""
        self._stable_frames = stable_frames
        self._unsure_below = unsure_below
        self._unsure_margin = unsure_margin
        self._min_interval_s = min_interval_s
        self._settled: str | None = None
        self._candidate: str | None = None
        self._seen = 0
        self._changed_s = self._fired_s = float('-inf')

    def feed(self, scores: Scores, now_s: float) -> Reason | None:
        """
        Judge a scene.

        :param scores: labels and their scores, in any order; empty when nothing was recognised.
        """
        ranked = sorted(scores, key=lambda item: item[1], reverse=True)
        best = ranked[0][0] if ranked else ''
        self._seen = self._seen + 1 if best == self._candidate else 1
        self._candidate = best
        reason = self._reason(ranked, now_s)
        if reason is Reason.CHANGED:
            self._settled = best
            self._changed_s = now_s
        if reason is not None:
            self._fired_s = now_s
        return reason

    def _reason(self, ranked: Scores, now_s: float) -> Reason | None:
        is_new = self._candidate != self._settled and self._seen >= self._stable_frames
        if is_new and now_s - self._changed_s >= self._min_interval_s:
            return Reason.CHANGED
        if now_s - self._fired_s < self._min_interval_s:
            return None
        best = ranked[0][1] if ranked else 0.0
        second = ranked[1][1] if len(ranked) > 1 else 0.0
        # Written so that a score that is no number makes a scene unsure.
        sure = best >= self._unsure_below and (
            len(ranked) < 2 or best - second >= self._unsure_margin
        )
        return None if sure else Reason.UNSURE
