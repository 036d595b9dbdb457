# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Counts that stay small however many pairs they count, add up, and survive as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_SKEW_STEP_NS = 10_000
_COVERAGE_STEPS = 1000
# Reasons come from many places, some with particulars in them.
_MOST_REASONS = 100
_OTHER_REASONS = 'other reasons'


@dataclass
class Tally:
    """
    What became of the pairs of one source, or of all.

    ``skew`` counts pairs by absolute skew in steps of 10 microseconds, ``coverage`` by thousandths
    of depth pixels with a reading; the keys are text, as in JSON. ``with_truth`` counts the pairs
    whose true scene is known.
    """

    pairs: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    skew: dict[str, int] = field(default_factory=dict)
    coverage: dict[str, int] = field(default_factory=dict)
    with_truth: int = 0

    def count_pair(
        self, skew_ns: int | None, coverage: float | None, has_truth: bool = False
    ) -> None:
        """Count a pair that is kept."""
        self.pairs += 1
        self.with_truth += has_truth
        if skew_ns is not None:
            _increase(self.skew, str(round(abs(skew_ns) / _SKEW_STEP_NS)))
        if coverage is not None:
            _increase(self.coverage, str(round(coverage * _COVERAGE_STEPS)))

    def count_skipped(self, reason: str) -> None:
        """Count an item that is left out."""
        if reason not in self.skipped and len(self.skipped) >= _MOST_REASONS:
            reason = _OTHER_REASONS
        _increase(self.skipped, reason)

    def __add__(self, other: Tally) -> Tally:
        """Give both together."""
        skipped, skew, coverage = (
            dict(Counter(mine) + Counter(theirs)) for mine, theirs in (
                (self.skipped, other.skipped), (self.skew, other.skew),
                (self.coverage, other.coverage),
            )
        )
        return Tally(
            self.pairs + other.pairs, skipped, skew, coverage, self.with_truth + other.with_truth
        )

    def as_json(self) -> dict[str, Any]:
        """Give the counts for the journal."""
        return asdict(self)

    def summary(self) -> dict[str, Any]:
        """Give the counts for the manifest: milliseconds and shares instead of steps."""
        return {
            'pairs': self.pairs,
            'with_truth': self.with_truth,
            'skipped': dict(sorted(self.skipped.items())),
            'skew_ms': _quantiles(self.skew, _SKEW_STEP_NS / 1e6, {'median': 0.5, 'p95': 0.95}),
            'depth_coverage': _quantiles(
                self.coverage, 1 / _COVERAGE_STEPS, {'p5': 0.05, 'median': 0.5}
            ),
        }


def _increase(counts: dict[str, int], key: str) -> None:
    counts[key] = counts.get(key, 0) + 1


def _quantiles(
    counts: Mapping[str, int], step: float, wanted: Mapping[str, float]
) -> dict[str, float] | None:
    """Read quantiles off a histogram: the least value that the share does not exceed."""
    total = sum(counts.values())
    if not total:
        return None
    found = {}
    for name, share in wanted.items():
        seen = 0
        for key in sorted(map(int, counts)):
            seen += counts[str(key)]
            if seen >= share * total:
                found[name] = round(key * step, 6)
                break
    return found
