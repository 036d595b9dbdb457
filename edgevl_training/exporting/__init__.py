# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a trained student to the ONNX graphs that a robot runs."""
