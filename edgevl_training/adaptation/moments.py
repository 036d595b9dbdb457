# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether the pictures of a folder may be taken for moments that follow each other.

Where people have sorted pictures by what they show, neighbours share a label: a teacher averaged
over neighbours would hear of labels that nobody was to give.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
import re
from typing import Any

from edgevl_training.adaptation.options import Sections
from edgevl_training.errors import SourceError
from edgevl_training.sources.image_folder import stems_of

# Layouts whose pictures tell when they were taken.
_STAMPED = ('scannet',)
_SORTED = ('eurosat-ms',)
_OPTION = '--set curate.agree_seconds'


def without_labels(sections: Sections) -> tuple[Sections, str]:
    """
    Average over neighbours only where they may be neighbouring moments.

    :returns: the options of all verbs, and a line that says so, if there is anything to say.
    """
    extract, seconds = sections['extract'], sections['curate'].get('agree_seconds')
    layout, images = extract.get('layout') or 'folder', extract.get('images')
    if not images or not _is_some(seconds) or layout in _STAMPED:
        return sections, ''
    folders = [Path(path).expanduser() for path in _listed(images)]
    if layout in _SORTED or any(_is_sorted(path, extract.get('color_dir')) for path in folders):
        curate = {**sections['curate'], 'agree_seconds': 0.0}
        return {**sections, 'curate': curate}, (
            'agree_seconds is 0 here: these pictures lie in several sub-folders, or their names '
            'begin with different words, which may be labels that nobody was to give; if they '
            f'are recordings, {_OPTION}={seconds}'
        )
    return sections, (
        'neighbouring file names are taken for neighbouring moments, a second apart: the teacher '
        f'is averaged over {seconds} seconds before and after; if they are not, {_OPTION}=0'
    )


def _is_some(seconds: Any) -> bool:
    """Tell whether an average is asked for; what is no number ``curate`` itself refuses."""
    try:
        return float(seconds or 0) > 0
    except (TypeError, ValueError):
        return False


def _listed(value: Any) -> Iterable[str]:
    return map(str, value if isinstance(value, (list, tuple)) else [value])


def _is_sorted(folder: Path, color_dir: str | None) -> bool:
    """Tell whether an image folder has sub-folders, or names that begin with different words."""
    try:
        stems = [PurePosixPath(stem) for stem in stems_of(folder, color_dir)]
    except (SourceError, OSError):
        return False  # ``extract`` says what is wrong
    words = {re.split('[0-9]', stem.name)[0] for stem in stems}
    return len({stem.parent for stem in stems}) > 1 or len(words) > 1
