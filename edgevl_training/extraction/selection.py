# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which pairs are kept: by rate, sharpness, coverage, and difference from the last one kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgevl_training.extraction.recipe import ExtractRecipe
from edgevl_training.pictures import ColorPicture, DepthPicture, hamming_distance
from edgevl_training.sources.source import SourcePair

NANOSECONDS = 1_000_000_000
ABOVE_RATE = 'above the rate'
BLURRED = 'blurred'
NEAR_DUPLICATE = 'near-duplicate'
TOO_LITTLE_DEPTH = 'too little depth'
# Cameras jitter by a few per cent of their period: a pair may come that much early, or a rate
# equal to the camera's own would lose every other frame.
_EARLY = 0.1


@dataclass(frozen=True)
class Skip:
    """Why a pair is left out: a reason to count by, and the particulars."""

    reason: str
    detail: str = ''


@dataclass
class _Last:
    """What is remembered of the pairs kept, in one timeline of one bag."""

    bag: str = ''
    timeline: int = -1
    due_ns: int | None = None
    perceptual_hash: int | None = None


class Selection:
    """
    Decide on pairs in their order; every method gives None or why the pair is left out.

    ``state`` is all that the decisions depend on, as JSON values.
    """

    def __init__(self, recipe: ExtractRecipe, state: dict[str, Any] | None = None) -> None:
        """Begin anew, or where another selection was."""
        self._recipe = recipe
        self._last = _Last(**(state or {}))

    @property
    def state(self) -> dict[str, Any]:
        """Give what is remembered."""
        return asdict(self._last)

    @property
    def depends_on_last(self) -> bool:
        """Tell whether a pair can be judged only after the one before it."""
        return self._recipe.rate is not None or self._recipe.near_duplicates is not None

    def by_time(self, pair: SourcePair) -> Skip | None:
        """Judge a pair by its stamp."""
        due_ns = self._last.due_ns
        if self._recipe.rate is None or due_ns is None or not self._continues(pair):
            return None
        if pair.color_stamp_ns >= due_ns - _EARLY * self._period_ns:
            return None
        return Skip(ABOVE_RATE)

    def by_color(self, pair: SourcePair, color: ColorPicture) -> Skip | None:
        """Judge a pair by its colour picture."""
        least, most = self._recipe.min_sharpness, self._recipe.near_duplicates
        if color.sharpness < least:
            return Skip(BLURRED, f'sharpness {color.sharpness:.1f}, expected at least {least}')
        last = self._last.perceptual_hash
        if most is None or last is None or not self._continues(pair):
            return None
        distance = hamming_distance(color.perceptual_hash, last)
        if distance > most:
            return None
        return Skip(NEAR_DUPLICATE, f'{distance} of 64 bits from the last pair kept')

    def by_depth(self, depth: DepthPicture) -> Skip | None:
        """Judge a pair by its depth picture."""
        least = self._recipe.min_depth_coverage
        if depth.coverage >= least:
            return None
        return Skip(TOO_LITTLE_DEPTH, f'coverage {depth.coverage:.3f}, expected {least}')

    def keep(self, pair: SourcePair, color: ColorPicture) -> None:
        """Remember a pair that is kept."""
        due_ns = self._last.due_ns if self._continues(pair) else None
        if self._recipe.rate is not None:
            # Due times lie on a grid, so that the rate asked for is met though no frame fits it.
            due_ns = (pair.color_stamp_ns if due_ns is None else due_ns) + self._period_ns
            if due_ns <= pair.color_stamp_ns:
                due_ns = pair.color_stamp_ns + self._period_ns
        self._last = _Last(pair.bag, pair.timeline, due_ns, color.perceptual_hash)

    @property
    def _period_ns(self) -> int:
        return round(NANOSECONDS / self._recipe.rate) if self._recipe.rate else 0

    def _continues(self, pair: SourcePair) -> bool:
        return (pair.bag, pair.timeline) == (self._last.bag, self._last.timeline)
