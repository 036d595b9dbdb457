# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What recording needs besides ROS: which messages to keep, and how they get onto the disk."""
