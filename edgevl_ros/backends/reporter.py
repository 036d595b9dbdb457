# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whom to tell how the making of an engine goes."""

from __future__ import annotations

from collections.abc import Callable
import time

from edgevl_ros.backends.build_progress import Progress

LOG_EVERY_S = 10.0


class Reporter:
    """Told while an engine is made; this one keeps it to itself and never gives up."""

    def say(self, line: str) -> None:
        """Take a line that people should read."""

    def stage(self, doing: str) -> None:
        """Take what is being done now, for those who look."""

    def progress(self, progress: Progress) -> None:
        """Take how far the build is, ten times a second."""

    def cancelled(self) -> bool:
        """Tell whether nobody waits for the engine any more."""
        return False


class LogReporter(Reporter):
    """Passes lines on, with one on the progress every ten seconds; ``status`` is the latest."""

    def __init__(
        self, say: Callable[[str], None], cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        """Take where lines go and who knows whether to give up."""
        self.status = ''
        self._say, self._is_cancelled = say, cancelled
        self._doing = ''
        self._began_s = self._logged_s = time.monotonic()

    def begin(self, doing: str) -> None:
        """Name what the progress is of from now on."""
        self._doing = doing
        self._began_s = self._logged_s = time.monotonic()

    def say(self, line: str) -> None:
        """Pass a line on."""
        self.status = line
        self._say(line)

    def stage(self, doing: str) -> None:
        """Keep what is being done now."""
        self.status = doing

    def progress(self, progress: Progress) -> None:
        """Keep how far the build is, and pass it on now and then."""
        now_s = time.monotonic()
        share = '' if progress.share is None else f'{progress.share:.0%}, '
        self.status = (
            f'building the engine for {self._doing}: {share}{progress.phase}, '
            f'{now_s - self._began_s:.0f} s'
        )
        if now_s - self._logged_s >= LOG_EVERY_S:
            self._logged_s = now_s
            self.say(self.status)

    def cancelled(self) -> bool:
        """Tell whether to give up."""
        return self._is_cancelled()
