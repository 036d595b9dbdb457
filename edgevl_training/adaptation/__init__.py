# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One command from recordings to a bundle: its recipe, its steps and what it tells."""
