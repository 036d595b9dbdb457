# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which smaller teacher of the same family to compare with, where nobody names one."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

from edgevl_training.errors import TeacherError

# The small teacher of the paper.
CLIP_B = 'open_clip:ViT-B-16/laion2b_s34b_b88k'


def smaller_than(teacher: str) -> str:
    """
    Name a smaller teacher of the same family.

    :raises TeacherError: when there is none, or it cannot be told which is smaller.
    """
    if teacher.startswith('conse'):
        from edgevl_training.teachers.conse import CLASSIFIERS, DEFAULT_CLASSIFIER, SENTENCES

        classifier, (package, _) = next(iter(CLASSIFIERS.items()))
        # A name has a colon after the family, an id a slash.
        own = re.split('[:/]', teacher, maxsplit=1)[1:] or [DEFAULT_CLASSIFIER]
        alone = own[0].removesuffix(SENTENCES) == classifier
        if not alone and importlib.util.find_spec(package) is not None:
            return f'conse:{classifier}'
    elif _work_of(teacher) > _work_of(CLIP_B):
        return CLIP_B
    raise TeacherError(
        f'{teacher}: expected a smaller teacher of its family, found none; name another with '
        '--small-teacher'
    )


def _work_of(teacher: str) -> int:
    """Tell, up to a factor, how much a transformer of OpenCLIP computes; 0 of other networks."""
    from open_clip import get_model_config

    # A name has a colon after the family, an id a slash.
    model = re.split('[:/@]', teacher)[1]
    vision: dict[str, Any] = (get_model_config(model) or {}).get('vision_cfg', {})
    names = ('layers', 'width', 'patch_size', 'image_size')
    if not all(isinstance(vision.get(name), int) for name in names):
        return 0
    layers, width, patch, size = (vision[name] for name in names)
    return int(layers * width**2 * (size // patch) ** 2)
