# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of the verb ``teach``: loading pictures, embedding them, many processes."""
