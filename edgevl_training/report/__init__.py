# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reports to look at: one HTML file with its pictures inside, made of a few building blocks."""
