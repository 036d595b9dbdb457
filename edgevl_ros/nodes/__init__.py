# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 face of edgevl_ros: rclpy is imported below here and nowhere else."""
