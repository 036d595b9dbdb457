# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What can go wrong on the workstation, in words for the person who mends it."""

from __future__ import annotations

from edgevl_ros.core.errors import EdgeVLError


class RecipeError(EdgeVLError):
    """Options or a recipe file are wrong; the message lists every problem."""


class SourceError(EdgeVLError):
    """A bag, an image folder or a data set cannot be read at all."""


class OutputError(EdgeVLError):
    """An output folder holds something else than what is to be written there."""


class OtherOutputError(OutputError):
    """An output folder holds what other options or other inputs gave."""


class DatasetError(EdgeVLError):
    """A folder that an earlier verb wrote is incomplete, damaged or of another kind."""


class TeacherError(EdgeVLError):
    """A teacher cannot be had, or does not fit what is asked of it."""


class TrainingError(EdgeVLError):
    """Training cannot begin or go on: a loss is not finite, a checkpoint is damaged."""
