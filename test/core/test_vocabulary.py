# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Words in, unit embeddings out; unknown words are refused by name."""

from edgevl_ros.core.errors import VocabularyError
from edgevl_ros.core.vocabulary import canonical_phrase, MAX_LABELS, PhraseBank, Vocabulary
from hypothesis import given, strategies as st
import numpy as np
import pytest

PHRASES = ('kitchen', 'server room', 'home office', 'living room', 'corridor', 'staircase')


@pytest.fixture
def bank():
    rows = np.random.default_rng(0).normal(size=(len(PHRASES), 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index = {phrase: row for row, phrase in enumerate(PHRASES)}
    return PhraseBank(index, rows.astype(np.float16), 30.0, 'teacher')


def test_labels_keep_their_order_and_spelling(bank):
    vocabulary = bank.vocabulary(['Home_Office', ' kitchen '])
    assert vocabulary.labels == ('Home_Office', 'kitchen')
    assert vocabulary.embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vocabulary.embeddings, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vocabulary.embeddings[1], bank.embeddings[0], atol=2e-3)
    assert vocabulary.logit_scale == 30.0


def test_an_unknown_phrase_is_named_with_its_nearest(bank):
    with pytest.raises(VocabularyError, match="'kitchn' .*nearest: kitchen"):
        bank.vocabulary(['corridor', 'kitchn'])
    with pytest.raises(VocabularyError, match="'server hall' .*nearest: server room"):
        bank.vocabulary(['server hall'])
    with pytest.raises(VocabularyError, match='nothing like it'):
        bank.vocabulary(['zzzzqqqq'])


def test_many_unknown_phrases_are_told_in_one_sentence(bank):
    with pytest.raises(VocabularyError, match='and 45 more'):
        bank.vocabulary([f'nowhere {i}' for i in range(50)])


@pytest.mark.parametrize(
    ('labels', 'complaint'),
    [
        ([], '1 to 1000 labels'),
        (['kitchen'] * (MAX_LABELS + 1), '1 to 1000 labels'),
        (['kitchen', ''], 'printable words'),
        (['__ -'], 'printable words'),
        (['kit\nchen'], 'printable words'),
        (['k' * 101], 'at most 100 characters'),
        (['kitchen', 'Kitchen'], "distinct labels, found 'kitchen' and 'Kitchen'"),
        (['home office', 'home_office'], 'distinct labels'),
        (['Unknown'], 'reserved'),
    ],
)
def test_labels_that_cannot_be_told_apart_or_printed_are_refused(bank, labels, complaint):
    with pytest.raises(VocabularyError, match=complaint):
        bank.vocabulary(labels)


@given(st.text(max_size=60))
def test_canonical_phrases_are_settled(text):
    once = canonical_phrase(text)
    assert canonical_phrase(once) == once
    assert '_' not in once
    assert '  ' not in once


@given(st.lists(st.text(max_size=20), max_size=5))
def test_whatever_is_asked_the_answer_is_a_vocabulary_or_a_reason(labels):
    bank = PhraseBank({'kitchen': 0}, np.eye(1, 4, dtype=np.float32), 10.0, 'teacher')
    try:
        vocabulary = bank.vocabulary(labels)
    except VocabularyError as error:
        assert str(error)
    else:
        assert [canonical_phrase(label) for label in vocabulary.labels] == ['kitchen']


@pytest.mark.parametrize(
    ('embeddings', 'scale', 'complaint'),
    [
        (np.eye(3, dtype=np.float32), 10.0, 'with 2 rows'),
        (np.eye(2), 10.0, 'float32'),
        (2 * np.eye(2, dtype=np.float32), 10.0, 'unit rows'),
        (np.full((2, 2), np.nan, np.float32), 10.0, 'unit rows'),
        (np.eye(2, dtype=np.float32), 0.0, 'logit scale'),
        (np.eye(2, dtype=np.float32), float('nan'), 'logit scale'),
    ],
)
def test_a_vocabulary_that_cannot_be_compared_is_refused(embeddings, scale, complaint):
    with pytest.raises(VocabularyError, match=complaint):
        Vocabulary(('kitchen', 'corridor'), embeddings, scale, 'teacher')


def test_repeated_phrases_in_a_bank_are_refused():
    with pytest.raises(VocabularyError, match='distinct phrases'):
        PhraseBank({'kitchen': 0}, np.eye(2, dtype=np.float32), 10.0, 'teacher')
