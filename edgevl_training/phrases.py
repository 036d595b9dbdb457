# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The phrases that a robot can be given without carrying a text encoder.

The lists lie in ``phrases/*.txt``: one phrase a line in the bank's spelling, ``#`` for comments,
``spelling = phrase`` for a spelling that shall mean another phrase of the bank.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources

from edgevl_ros.core.vocabulary import canonical_phrase

LISTS = ('rooms', 'buildings', 'outdoor', 'landcover', 'objects')

# What a robot is asked about when its owner says nothing.
DEFAULT_LABELS = (
    'bathroom',
    'bedroom',
    'bookstore',
    'cafe',
    'classroom',
    'computer lab',
    'conference room',
    'corridor',
    'dining room',
    'elevator',
    'factory floor',
    'garage',
    'greenhouse',
    'gym',
    'hospital room',
    'kitchen',
    'laundry room',
    'library',
    'living room',
    'lobby',
    'office',
    'playroom',
    'staircase',
    'storage room',
    'supermarket',
    'warehouse',
    'workshop',
    'forest',
    'garden',
    'parking lot',
    'road',
    'seashore',
    'street',
)


def phrase_texts(more: Iterable[str] = ()) -> dict[str, str]:
    """
    Give every phrase of the bank with the text to embed for it, sorted by phrase.

    :param more: further phrases in any spelling, such as the ImageNet names.
    :raises ValueError: for a line whose spelling is not the bank's.
    """
    texts = {canonical_phrase(phrase): canonical_phrase(phrase) for phrase in more}
    for name in LISTS:
        for phrase, text in _read_list(name):
            texts[phrase] = text
    return dict(sorted(texts.items()))


def synonyms(synsets: Iterable[str]) -> list[str]:
    """Split synsets as ImageNet writes them, 'tabby, tabby cat', into their synonyms."""
    return [synonym for synset in synsets for synonym in synset.split(', ')]


def _read_list(name: str) -> list[tuple[str, str]]:
    file = resources.files('edgevl_training') / 'phrases' / f'{name}.txt'
    entries = []
    for number, line in enumerate(file.read_text('utf-8').splitlines(), 1):
        if not line or line.startswith('#'):
            continue
        phrase, _, text = line.partition(' = ')
        if phrase != canonical_phrase(phrase):
            raise ValueError(
                f'{name}.txt, line {number}: expected {canonical_phrase(phrase)!r}, '
                f'found {phrase!r}'
            )
        entries.append((phrase, text or phrase))
    return entries
