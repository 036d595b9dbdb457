# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Open-vocabulary sight of places for robots: the part that runs on the robot."""
