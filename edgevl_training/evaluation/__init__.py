# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a model is worth: embeddings of test pairs, scored against labels, and a report."""
