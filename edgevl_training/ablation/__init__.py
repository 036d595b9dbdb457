# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's tables on the user's pairs: what is trained, how it is measured and told."""
