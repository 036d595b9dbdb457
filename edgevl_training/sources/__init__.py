# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where pairs come from: bags, image folders and public data sets, one file each."""
