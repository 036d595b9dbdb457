# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Among which words to measure, where the labels of a data set do not say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgevl_ros.core.vocabulary import canonical_phrase
from edgevl_training.evaluation.pairs import TestPairs
from edgevl_training.evaluation.words import phrase_of
from edgevl_training.packing.words import curated_labels, read_labels, superset_of


def words_for(pairs: TestPairs, curated: Path, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """
    Settle the phrases to choose among; none where the data set has labels: these are the words.

    :param asked: what the robot begins with, as for ``edgevl pack``; else the pseudo-labels of
        ``curated`` are taken, or all phrases that there could have been.
    :raises RecipeError: when ``asked`` cannot be read.
    """
    known = {phrase_of(label) for label in pairs.labels} if any(pairs.truth) else set()
    if len(known) > 1:
        return ()
    words: Sequence[str] = read_labels(asked) if asked else ()
    if len(words) < 2:
        words = curated_labels(curated)
    if len(words) < 2:
        words = superset_of(curated)
    return tuple(dict.fromkeys([*map(canonical_phrase, words), *known]))
