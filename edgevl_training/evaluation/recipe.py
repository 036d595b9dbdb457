# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The recipe of ``evaluate``: which pairs, which models and teachers, which words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
import re
from typing import Literal

from edgevl_training.recipe import Recipe, several_options
from pydantic import Field, field_validator, model_validator

_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.+-]{0,39}')
TEACHER = 'teacher'


class EvaluateRecipe(Recipe):
    """
    Measure models on the same pairs as a robot runs them, and write a report.

    Labels of the data set judge, where there are any; else the teacher's own label of the colour
    picture does, and the numbers are agreement with it.
    """

    pairs: Path = Field(description='output folder of edgevl extract')
    models: tuple[str, ...] = Field(
        (), description='models to measure, each NAME=PATH: the output folder of edgevl export, a '
        'bundle, or one .onnx file in either; the last one is what will be deployed',
    )
    out: Path = Field(description='folder to write to')
    curated: Path | None = Field(
        None, description='output folder of edgevl curate for these pairs: measure one of its '
        'splits, confident or not (default: all pairs)',
    )
    split: Literal['train', 'validation', 'test'] = Field(
        'test', description='which split of --curated'
    )
    taught: Path | None = Field(
        None, description='output folder of edgevl teach for these pairs: the teacher is not run '
        'on colour again, unless it has looked at more than whole pictures there',
    )
    teacher: tuple[str, ...] = Field(
        (), description='teachers to measure too, each a name as for edgevl teach, or NAME=name; '
        'they also embed the words',
    )
    vocabulary: tuple[str, ...] = Field(
        (), description='the phrases to choose among, or one .txt file of them; "label = phrase" '
        "gives a label of the data set its words (default: the data set's labels)",
    )
    near: float | None = Field(
        None, ge=0, allow_inf_nan=False,
        description='what teachers see as black: metres for depth, else a share of full scale '
        '(default: as the last student)',
    )
    far: float | None = Field(
        None, gt=0, allow_inf_nan=False,
        description='what teachers see as white (default: as the last student, else 10 metres '
        'for depth, or full scale)',
    )
    threads: int = Field(
        2, ge=1, le=256, description="CPU threads of each model, as the robot's setting threads"
    )
    device: Literal['auto', 'cpu', 'cuda'] = Field('auto', description='where teachers run')

    @field_validator('models')
    @classmethod
    def _name_each_model(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        for model in models:
            name, equals, path = model.partition('=')
            if not equals or not path or not _NAME.fullmatch(name):
                raise ValueError(
                    'expected NAME=PATH with a name of at most 40 letters, digits and _.+-, '
                    f'such as int8=bundle, found {model!r}'
                )
        return models

    @model_validator(mode='after')
    def _name_nothing_twice(self) -> EvaluateRecipe:
        names = [model.partition('=')[0] for model in self.models]
        counts = Counter([*names, *(name for name, _ in self._teachers())])
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise several_options(
                f'--models, --teacher: expected every name once, found {", ".join(twice)} twice; '
                'give each result a name of its own, as in fp32=... int8=...'
            )
        if not (self.models or self.teacher or self.taught):
            raise several_options(
                '--models: expected at least one, such as int8=bundle, or a --teacher; found none'
            )
        return self

    @property
    def model_paths(self) -> dict[str, Path]:
        """Give the path of every model by its name."""
        parts = (model.partition('=') for model in self.models)
        return {name: Path(path).expanduser() for name, _, path in parts}

    @property
    def teacher_names(self) -> dict[str, str]:
        """Give what `open_teacher` knows each teacher by, under the name of its result."""
        return dict(self._teachers())

    def _teachers(self) -> list[tuple[str, str]]:
        named = [_named_teacher(text) for text in self.teacher]
        if len(named) == 1:
            return [(named[0][0] or TEACHER, named[0][1])]
        return [(name or f'{TEACHER}{index}', what) for index, (name, what) in enumerate(named, 1)]


def _named_teacher(text: str) -> tuple[str, str]:
    """Split NAME=teacher; the name of a teacher may hold an equals sign behind its colon."""
    name, equals, what = text.partition('=')
    return (name, what) if equals and _NAME.fullmatch(name) else ('', text)
