# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The words of a bundle: the vocabulary it begins with, and all phrases that it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgevl_ros.core.errors import VocabularyError
from edgevl_ros.core.vocabulary import canonical_phrase, check_labels
from edgevl_training.errors import DatasetError, RecipeError
from edgevl_training.output import read_manifest
from edgevl_training.packing.files import Words
from edgevl_training.phrases import phrase_texts
from edgevl_training.progress import progress
from edgevl_training.teachers.teacher import Teacher
import numpy as np

_PHRASES_AT_ONCE = 256
_LARGEST_FILE_BYTES = 1_000_000


def read_labels(words: Sequence[str]) -> tuple[str, ...]:
    """
    Read the labels of ``--vocabulary``: phrases, or the path of a text file with one a line.

    Labels keep the spelling of their owner.

    :raises RecipeError: when they cannot be told apart or printed.
    """
    labels = tuple(' '.join(word.split()) for word in words)
    if len(words) == 1 and (words[0].endswith('.txt') or Path(words[0]).is_file()):
        labels = _lines_of(Path(words[0]))
    try:
        check_labels(labels)
    except VocabularyError as error:
        raise RecipeError(f'--vocabulary: {error}') from error
    return labels


def _lines_of(path: Path) -> tuple[str, ...]:
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise RecipeError(f'--vocabulary: {path}: expected at most 1 MB of phrases')
        lines = path.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f'--vocabulary: {path}: expected a text file in UTF-8: {error}'
        ) from error
    stripped = (' '.join(line.split()) for line in lines)
    return tuple(line for line in stripped if line and not line.startswith('#'))


def curated_labels(curated: Path) -> tuple[str, ...]:
    """Give the pseudo-labels that kept pairs have: the places that the robot has seen."""
    return tuple(read_manifest(curated, 'curate')['counts']['classes'])


def superset_of(curated: Path) -> tuple[str, ...]:
    """
    Give all phrases that pairs could have been labelled with.

    :raises DatasetError: when they are not there.
    """
    path = curated / 'superset.npz'
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return tuple(map(str, arrays['labels']))
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(
            f'{path}: expected the phrases of "edgevl curate": {error}; curate anew'
        ) from error


def bank_texts(superset: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """Give every phrase that the bundle shall know, with the text to embed for it, sorted."""
    own = {canonical_phrase(label): canonical_phrase(label) for label in (*superset, *labels)}
    return dict(sorted({**own, **phrase_texts()}.items()))


def embed_bank(
    texts: Mapping[str, str], teacher: Teacher, logit_scale: float,
    templates: Sequence[str] | None,
) -> Words:
    """Embed the phrases of a bundle."""
    wanted = list(texts.values())
    rows = []
    with progress('embedding phrases', len(wanted), 'phrases') as bar:
        for start in range(0, len(wanted), _PHRASES_AT_ONCE):
            some = wanted[start:start + _PHRASES_AT_ONCE]
            rows.append(teacher.embed_texts(some, templates))
            bar.advance(len(some))
    return Words(tuple(texts), np.concatenate(rows), logit_scale, teacher.id)


def choose(bank: Words, labels: Sequence[str]) -> Words:
    """Take labels, in the spelling of their owner, out of the bank."""
    places: dict[str, Any] = {phrase: row for row, phrase in enumerate(bank.labels)}
    rows = [places[canonical_phrase(label)] for label in labels]
    return Words(tuple(labels), bank.embeddings[rows], bank.logit_scale, bank.teacher)
