# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What ``edgevl adapt`` can be asked."""

from __future__ import annotations

from pathlib import Path

from edgevl_training.extraction.recipe import ExtractRecipe, Layout
from edgevl_training.recipe import Recipe
from pydantic import Field, field_validator

_ABOUT = {name: field.description for name, field in ExtractRecipe.model_fields.items()}
# What is asked of extract; every other option of a verb comes from the recipe or from --set.
SOURCE_OPTIONS = (
    'bags', 'images', 'layout', 'color_dir', 'second_dir', 'second_name', 'second_scale',
    'second_missing', 'labels', 'depth_kind', 'rgb_topic', 'depth_topic', 'truth',
)


class AdaptRecipe(Recipe):
    """
    Adapt a student to the recordings of a robot, without a label: from bags to a bundle.

    Runs extract, teach, curate, distill, contrast, export, evaluate and pack one after the other.
    What is finished is kept: the same command goes on where an interrupted one stopped, and does
    nothing when all is done. The options of every verb come from a recipe: --config takes a file,
    or the name of a recipe that is shipped (quick-cpu unless given, paper-vit-s, paper-swin-t,
    paper-dat-t, eurosat); --set changes single options of it.
    """

    out: Path = Field(description='folder of the bundle')
    work: Path | None = Field(
        None, description='folder for all that is made on the way (default: the bundle with .work)'
    )
    vocabulary: tuple[str, ...] = Field(
        (), description='the labels that the robot begins with: phrases, or one .txt file of '
        'them, one a line (default: the pseudo-labels that curated pairs have)',
    )
    set: tuple[str, ...] = Field(  # noqa: A003 (the option's own word)
        (), description='VERB.OPTION=VALUE, instead of what the recipe says, such as '
        'distill.epochs=4 or curate.split=[0.8,0.1,0.1]; may be given many times',
    )
    bags: tuple[Path, ...] = Field((), description=_ABOUT['bags'])
    images: tuple[Path, ...] = Field((), description=_ABOUT['images'])
    layout: Layout | None = Field(None, description=_ABOUT['layout'])
    color_dir: str | None = Field(None, description=_ABOUT['color_dir'])
    second_dir: str | None = Field(None, description=_ABOUT['second_dir'])
    second_name: str | None = Field(None, description=_ABOUT['second_name'])
    second_scale: float | None = Field(None, description=_ABOUT['second_scale'])
    second_missing: tuple[int, ...] | None = Field(None, description=_ABOUT['second_missing'])
    labels: str | None = Field(None, description=_ABOUT['labels'])
    depth_kind: str | None = Field(None, description=_ABOUT['depth_kind'])
    rgb_topic: str | None = Field(None, description=_ABOUT['rgb_topic'])
    depth_topic: str | None = Field(None, description=_ABOUT['depth_topic'])
    truth: Path | None = Field(None, description=_ABOUT['truth'])

    @field_validator('out')
    @classmethod
    def _has_a_name(cls, out: Path) -> Path:
        # The work folder is named after it.
        out = out.resolve() if out.name in ('', '..') else out
        if not out.name:
            raise ValueError(f'expected a folder with a name, found {out}')
        return out

    @field_validator('set')
    @classmethod
    def _says_what(cls, settings: tuple[str, ...]) -> tuple[str, ...]:
        for setting in settings:
            name, equals, _ = setting.partition('=')
            if not equals or name.count('.') != 1:
                raise ValueError(
                    f'expected VERB.OPTION=VALUE such as distill.epochs=4, not so {setting!r}'
                )
        return settings

    @property
    def work_folder(self) -> Path:
        """Give the folder for all that is made on the way."""
        return self.work or self.out.with_name(f'{self.out.name}.work')
