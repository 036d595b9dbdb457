# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Less of what all embeddings of the teacher share.

They lie in a narrow cone, and phrases near its middle are the nearest of too many pictures (hubs;
Radovanović et al., JMLR 2010). Taking a part of the mean off moves pictures of different kinds
apart, and away from the hubs (Suzuki et al., EMNLP 2013).
"""

from __future__ import annotations

from itertools import pairwise

from edgevl_training.curation.taught import Taught
import numpy as np
from numpy.typing import NDArray


def mean_embedding(
    taught: Taught, starts: NDArray[np.int64], wanted: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """
    Give the mean embedding of some pairs, float32 (D,); zeros where there are none.

    :param starts: int64 (S + 1,), the first pair of each of S shards, and N at the end.
    :param wanted: bool (N,), which pairs have a say.
    """
    total, count = np.zeros(taught.dim), 0
    for number, (first, end) in enumerate(pairwise(starts.tolist())):
        rows = taught.rows(number)
        kept = rows.embeddings[rows.present & wanted[first:end]]
        total += kept.sum(0, dtype=np.float64)
        count += len(kept)
    return (total / max(1, count)).astype(np.float32)
