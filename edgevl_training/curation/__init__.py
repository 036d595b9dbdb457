# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How pairs are judged, split and selected for training, one question a file."""
