# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Vision-language teachers: one file each, found by name with `teacher.open_teacher`."""
