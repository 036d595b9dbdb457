# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The teacher's embeddings, read shard by shard, alone and agreed over time."""

from edgevl_training.curation.taught import Taught
from edgevl_training.dataset import shards_of
from edgevl_training.output import read_manifest
import numpy as np
import pytest
from support.pairs_folder import make_pairs, SECOND_NS
from support.taught_folder import make_taught

DIM = 16
PICTURE = np.zeros((4, 4, 3), np.uint8)
# Two recordings that lie among each other, not in order of time, over several shards.
BAGS = ['a', 'a', 'b', 'a', 'b', 'a', 'a', 'b', 'a', 'a', 'b']
STAMPS_S = [0.0, 1.5, 0.5, 3.0, 1.0, 2.0, 9.0, 30.0, 10.0, 11.5, 31.0]


def unit(rows: np.ndarray) -> np.ndarray:
    """Scale rows to length one."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Give pairs in shards of 4 and their embeddings; the sixth has none."""
    folder = tmp_path_factory.mktemp('folders')
    stamps = [round(stamp * SECOND_NS) for stamp in STAMPS_S]
    pairs = make_pairs(folder / 'pairs', [PICTURE] * len(BAGS), bags=BAGS, stamps_ns=stamps)
    rows = unit(np.random.default_rng(0).normal(size=(len(BAGS), DIM))).astype(np.float16)
    given = [None if index == 5 else row for index, row in enumerate(rows)]
    teacher = {'id': 'made', 'dim': DIM, 'logit_scale': 10.0}
    taught = make_taught(folder / 'taught', pairs, given, teacher)
    return pairs, taught, rows.astype(np.float32)


def read(folders, window_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Read all shards; give embeddings and which are there."""
    shards = [
        (folder, shards_of(folder, read_manifest(folder, verb)))
        for folder, verb in zip(folders, ('extract', 'teach'))
    ]
    taught = Taught(*shards, DIM, window_s)
    rows = [taught.rows(number) for number in range(len(shards[0][1]))]
    return (
        np.concatenate([of.embeddings for of in rows]), np.concatenate([of.present for of in rows])
    )


def test_embeddings_are_given_as_they_are(folders):
    """Without a window nothing is changed, and what is missing is said."""
    embeddings, present = read(folders, 0.0)
    assert present.tolist() == [index != 5 for index in range(len(BAGS))]
    assert np.array_equal(embeddings[present], folders[2][present])
    assert not embeddings[5].any()


@pytest.mark.parametrize('window_s', [0.4, 1.0, 1.5, 2.5])
def test_moments_near_in_time_agree(folders, window_s):
    """Each pair gets the mean of its own recording's pairs around it, across shards."""
    embeddings, present = read(folders, window_s)
    expected = []
    for bag, stamp in zip(BAGS, STAMPS_S):
        near = [
            folders[2][other] for other in range(len(BAGS))
            if BAGS[other] == bag and abs(STAMPS_S[other] - stamp) <= window_s and other != 5
        ]
        expected.append(np.mean(near, axis=0) if near else np.zeros(DIM))
    assert present.tolist() == [index != 5 for index in range(len(BAGS))]
    wanted = unit(np.array(expected)[present])
    assert np.allclose(embeddings[present], wanted, atol=1e-5)
    assert not embeddings[5].any()
