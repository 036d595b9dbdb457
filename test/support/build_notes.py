# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps what is told while an engine is made."""

from __future__ import annotations

from edgevl_ros.backends.build_progress import Progress
from edgevl_ros.backends.reporter import Reporter


class Notes(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.lines: list[str] = []
        self.stages: list[str] = []
        self.steps: list[Progress] = []

    def say(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)

    def stage(self, doing: str) -> None:
        """Keep what is being done."""
        self.stages.append(doing)

    def progress(self, progress: Progress) -> None:
        """Keep how far it is."""
        self.steps.append(progress)
