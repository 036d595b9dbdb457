# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a process that trains, or runs a teacher, treats the memory that its tensors leave."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """
    Ask glibc to keep freed memory.

    Activations of some 100 MB are made and freed all the time; handing each back to the system
    and fetching it again can take longer than the computing itself.
    """
    if platform.libc_ver()[0] == 'glibc':
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
