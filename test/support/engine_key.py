# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The key of an engine that nobody has built."""

from __future__ import annotations

from edgevl_ros.backends.engine_recipe import EngineKey, EngineRecipe

KEY = EngineKey(
    'ab' * 32, 'tensorrt', '10.3.0', 'Orin', '8.7', 8, 1 << 33, EngineRecipe('int8', 'image', 224)
)
