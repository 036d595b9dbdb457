# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The processes that build TensorRT engines."""

from __future__ import annotations

import psutil


def builders_of(parent: psutil.Process) -> list[psutil.Process]:
    """Find those that build an engine for a process; one that has just ended is none."""
    return [child for child in parent.children(recursive=True) if _builds(child)]


def _builds(process: psutil.Process) -> bool:
    try:
        return any('engine_worker' in word for word in process.cmdline())
    except psutil.Error:
        return False
