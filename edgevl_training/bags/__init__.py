# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rosbags of any age, format and state of repair, read without ROS."""
