# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What tests need that run on a GPU, and the reason why they are skipped where there is none."""

from __future__ import annotations

from edgevl_ros.backends.cuda import open_cuda
from edgevl_ros.backends.tensorrt_library import load_library
from edgevl_ros.core.errors import BackendError
import pytest


def why_not() -> str:
    """Say why TensorRT cannot run here; empty where it can."""
    try:
        open_cuda()
        load_library()
    except BackendError as error:
        return str(error)
    return ''


REASON = why_not()
# Marks a test, or with `pytestmark` a whole file.
needs_gpu = [pytest.mark.gpu, pytest.mark.skipif(bool(REASON), reason=REASON)]
