# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From recordings to INT8 bundles, on a workstation; importing it loads nothing heavy."""
