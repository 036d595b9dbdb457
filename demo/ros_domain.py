# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A ROS domain that nobody uses, so that processes hear each other and nobody else."""

from __future__ import annotations

import itertools
import os
import socket

# Counts through 1..101 for ever, from a place that differs between processes.
_CANDIDATES = (1 + count % 101 for count in itertools.count(os.getpid() * 7))


def free_domain_id() -> int:
    """Give the id of a ROS domain that nobody uses on this machine."""
    return next(filter(_is_free, itertools.islice(_CANDIDATES, 101)))


def _is_free(domain_id: int) -> bool:
    """Tell whether no DDS participant holds the first port of a domain (RTPS 2.2, 9.6.1.1)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(('', 7400 + 250 * domain_id + 10))
        except OSError:
            return False
    return True
