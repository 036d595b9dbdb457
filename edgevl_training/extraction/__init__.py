# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of ``edgevl extract``: what is taken, what is left and why, and where it stopped."""
