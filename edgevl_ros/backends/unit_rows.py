# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every runtime's answer is held to."""

from __future__ import annotations

from edgevl_ros.core.errors import BackendError
import numpy as np
from numpy.typing import NDArray

# Half precision and quantisation stay well below this.
UNIT_TOLERANCE = 1e-2


def check_unit_rows(embeddings: NDArray[np.float32], backend: str) -> None:
    """
    Refuse embeddings, float32 (B, D), that are no unit rows.

    :raises BackendError: naming the worst norm; NaN counts as worst.
    """
    norms = np.linalg.norm(embeddings, axis=1)
    worst = norms[np.argmax(np.abs(norms - 1))]
    # Written so that NaN, which compares false with everything, is refused.
    if not abs(worst - 1) <= UNIT_TOLERANCE:
        raise BackendError(
            f'{backend}.embed: expected unit rows, found one of norm {worst:.4f}; '
            'export the bundle again or choose another backend'
        )
