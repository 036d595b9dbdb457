# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The phrase lists hold what a robot's owner will type."""

from edgevl_ros.core.vocabulary import canonical_phrase, check_labels
from edgevl_training.phrases import DEFAULT_LABELS, phrase_texts, synonyms
import pytest

EUROSAT = (
    'AnnualCrop', 'Forest', 'HerbaceousVegetation', 'Highway', 'Industrial', 'Pasture',
    'PermanentCrop', 'Residential', 'River', 'SeaLake',
)


def test_every_phrase_is_spelled_as_the_bank_spells():
    """Other spellings could never be found."""
    for phrase, text in phrase_texts().items():
        assert phrase == canonical_phrase(phrase)
        assert text == canonical_phrase(text)
        check_labels([phrase])


def test_the_lists_alone_are_large():
    """With some 1,850 ImageNet names the bank passes 4,000."""
    assert len(phrase_texts()) > 3000


@pytest.mark.parametrize('label', [*EUROSAT, *DEFAULT_LABELS, 'home_office', 'operating room'])
def test_common_labels_are_known(label):
    """Land cover, the default vocabulary and robots' words, in their owners' spelling."""
    assert canonical_phrase(label) in phrase_texts()


def test_another_spelling_means_the_phrase():
    """A class name written without a space is embedded with one."""
    texts = phrase_texts()
    assert texts['annualcrop'] == 'annual crop'
    assert texts['annual crop'] == 'annual crop'


def test_more_phrases_are_spelled_anew_and_merged():
    """New phrases may have capitals and hyphens, as those of ImageNet."""
    texts = phrase_texts(synonyms(['T-shirt, jersey', 'kitchen']))
    assert {'t shirt', 'jersey', 'kitchen'} <= set(texts)
    assert list(texts) == sorted(set(texts))
