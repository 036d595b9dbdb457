# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Sentences around a phrase, as the captions that a teacher like CLIP learned from.

A phrase is embedded in every sentence of an ensemble; the mean says more about the phrase than any
one of them (Radford et al., "Learning Transferable Visual Models From Natural Language
Supervision", ICML 2021, section 3.1.4).
"""

from __future__ import annotations

from edgevl_training.errors import TeacherError

# Where the phrase goes in a template.
PLACE = '{}'

TEMPLATES: dict[str, tuple[str, ...]] = {
    # For teachers that read plain text.
    'plain': ('{}',),
    # For teachers that know places by the things in them.
    'things': ('{}', 'furniture of a {}', 'items of a {}', 'equipment of a {}'),
    # Any place, seen from where a robot or a person stands.
    'scene': (
        'a photo of a {}.',
        'a photo of the {}.',
        'a view of a {}.',
        'a picture taken in a {}.',
        'a {} as a camera sees it.',
        'a blurry photo of a {}.',
        'a dark photo of a {}.',
        'this place is a {}.',
    ),
    'indoor': (
        'a photo of a {}.',
        'a photo of the inside of a {}.',
        'a photo taken in a {}.',
        'an indoor photo of a {}.',
        'the interior of a {}.',
        'a corner of a {}.',
        'a blurry photo of a {}.',
        'a dimly lit photo of a {}.',
        'a cluttered {}.',
        'an empty {}.',
    ),
    'outdoor': (
        'a photo of a {}.',
        'a photo taken outdoors of a {}.',
        'a street-level photo of a {}.',
        'a wide view of a {}.',
        'a {} seen from the ground.',
        'a {} by daylight.',
        'a {} on a grey day.',
        'a blurry photo of a {}.',
        'a {} with nobody around.',
    ),
    'satellite': (
        'a satellite photo of {}.',
        'a satellite image of {}.',
        'an aerial photo of {}.',
        'a photo from above of {}.',
        'a low-resolution satellite photo of {}.',
        '{} seen from space.',
        'a tile of a satellite map showing {}.',
    ),
}


def templates_named(name: str) -> tuple[str, ...]:
    """
    Give the templates of an ensemble.

    :raises TeacherError: listing the ensembles there are.
    """
    if name not in TEMPLATES:
        raise TeacherError(f'prompts: expected one of {", ".join(TEMPLATES)}, found {name!r}')
    return TEMPLATES[name]


def fill(template: str, phrase: str) -> str:
    """
    Put a phrase into a template.

    :raises TeacherError: when the template has no place for it.
    """
    if PLACE not in template:
        raise TeacherError(f'prompt template: expected {PLACE!r} in it, found {template!r}')
    return template.replace(PLACE, phrase)
