# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Words a robot may see with: labels as unit text embeddings, and the bank they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import difflib
import re

from edgevl_ros.core.errors import VocabularyError
import numpy as np
from numpy.typing import NDArray

UNKNOWN = 'unknown'
MAX_LABELS = 1000
MAX_LABEL_LENGTH = 100
NEAREST = 3
EXPLAINED = 5

_SEPARATORS = re.compile(r'[\s_\-]+')


@dataclass(frozen=True)
class Vocabulary:
    """
    The labels a scene is compared with.

    ``labels`` are K distinct names as their owner wrote them; ``embeddings`` is float32 of shape
    (K, D) with unit rows; probabilities are the softmax of ``logit_scale`` times the cosine;
    ``teacher`` names the model whose text encoder made the embeddings.

    :raises VocabularyError: when the labels are empty, repeated or do not fit the embeddings.
    """

    labels: tuple[str, ...]
    embeddings: NDArray[np.float32]
    logit_scale: float
    teacher: str

    def __post_init__(self) -> None:
        """Refuse a vocabulary that cannot be compared with anything."""
        check_labels(self.labels)
        expected = (len(self.labels),)
        if self.embeddings.dtype != np.float32 or self.embeddings.shape[:1] != expected:
            raise VocabularyError(
                f'expected float32 embeddings with {len(self.labels)} rows, '
                f'found {self.embeddings.dtype} of shape {self.embeddings.shape}'
            )
        check_unit_rows('vocabulary embeddings', self.embeddings)
        check_logit_scale(self.logit_scale)


@dataclass(frozen=True)
class PhraseBank:
    """
    Every phrase a bundle knows without a text encoder.

    ``index`` maps a phrase in its canonical form to its row in ``embeddings``, floating point of
    shape (N, D) with unit rows. ``logit_scale`` and ``teacher`` are as in `Vocabulary`.
    """

    index: dict[str, int]
    embeddings: NDArray[np.float16] | NDArray[np.float32]
    logit_scale: float
    teacher: str

    def __post_init__(self) -> None:
        """Refuse a bank whose rows do not fit its phrases."""
        if self.embeddings.ndim != 2 or len(self.embeddings) != len(self.index):
            raise VocabularyError(
                f'expected one embedding for each of {len(self.index)} distinct phrases, '
                f'found shape {self.embeddings.shape}'
            )
        check_unit_rows('phrase embeddings', self.embeddings)
        check_logit_scale(self.logit_scale)

    def vocabulary(self, labels: Sequence[str]) -> Vocabulary:
        """
        Build the vocabulary of these labels, in this order, spelled as they are given.

        :raises VocabularyError: naming every label that the bank lacks, with the nearest phrases.
        """
        labels = tuple(label.strip() for label in labels)
        check_labels(labels)
        phrases = [canonical_phrase(label) for label in labels]
        missing = [phrase for phrase in phrases if phrase not in self.index]
        if missing:
            raise VocabularyError(self._explain(missing))
        rows = self.embeddings[[self.index[phrase] for phrase in phrases]].astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return Vocabulary(labels, rows, self.logit_scale, self.teacher)

    def nearest(self, phrase: str) -> list[str]:
        """List the known phrases closest in spelling, those that share a word first."""
        words = set(phrase.split())
        related = [known for known in self.index if words & set(known.split())]
        close = difflib.get_close_matches(phrase, related, NEAREST, cutoff=0.3)
        if len(close) < NEAREST:
            close += difflib.get_close_matches(phrase, self.index, NEAREST, cutoff=0.5)
        return list(dict.fromkeys(close))[:NEAREST]

    def _explain(self, missing: Sequence[str]) -> str:
        # Spelling search walks the whole bank, so only the first few unknown phrases get advice.
        parts = []
        for phrase in missing[:EXPLAINED]:
            near = self.nearest(phrase)
            advice = f'nearest: {", ".join(near)}' if near else 'nothing like it is known'
            parts.append(f"'{phrase}' ({advice})")
        if len(missing) > EXPLAINED:
            parts.append(f'and {len(missing) - EXPLAINED} more')
        return (
            f'unknown to this bundle: {"; ".join(parts)}; '
            f'choose among its {len(self.index)} phrases'
        )


def canonical_phrase(text: str) -> str:
    """Spell a phrase as the bank does: lower case, single spaces for ``_``, ``-`` and space."""
    return _SEPARATORS.sub(' ', text).strip().lower()


def check_labels(labels: Sequence[str]) -> None:
    """
    Check that labels can be told apart and printed.

    :raises VocabularyError: with what is wrong with which label.
    """
    if not 1 <= len(labels) <= MAX_LABELS:
        raise VocabularyError(f'expected 1 to {MAX_LABELS} labels, found {len(labels)}')
    for label in labels:
        if not canonical_phrase(label) or not label.isprintable():
            raise VocabularyError(f'expected printable words, found the label {label!r}')
        if len(label) > MAX_LABEL_LENGTH:
            raise VocabularyError(
                f'expected labels of at most {MAX_LABEL_LENGTH} characters, '
                f'found one of {len(label)}: {label[:MAX_LABEL_LENGTH]!r}...'
            )
        if canonical_phrase(label) == UNKNOWN:
            raise VocabularyError(
                f"the label '{label}' is reserved for scenes below the thresholds; leave it out"
            )
    seen: dict[str, str] = {}
    for label in labels:
        phrase = canonical_phrase(label)
        if phrase in seen:
            raise VocabularyError(
                f"expected distinct labels, found '{seen[phrase]}' and '{label}'"
            )
        seen[phrase] = label


def check_unit_rows(name: str, rows: NDArray[np.floating]) -> None:
    """
    Check that an array of shape (N, D) holds unit vectors, to half precision.

    :raises VocabularyError: naming the array and the norm furthest from one.
    """
    if rows.ndim != 2 or not rows.size:
        raise VocabularyError(f'{name}: expected shape (N, D), found {rows.shape}')
    norms = np.linalg.norm(rows.astype(np.float32), axis=1)
    worst = norms[np.argmax(np.abs(norms - 1))]
    if not abs(worst - 1) < 5e-3:
        raise VocabularyError(f'{name}: expected unit rows, found one of norm {worst:.4f}')


def check_logit_scale(logit_scale: float) -> None:
    """
    Check that a logit scale turns cosines into probabilities.

    :raises VocabularyError: when it is not a positive finite number.
    """
    if not 0 < logit_scale < 1e4:
        raise VocabularyError(f'expected a logit scale between 0 and 10000, found {logit_scale}')
