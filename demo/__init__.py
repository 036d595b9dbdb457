# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A demonstration of edgevl_ros: a camera or a rosbag, the real node, and what it answers."""
