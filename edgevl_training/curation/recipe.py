# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The recipe of ``curate``: which pairs, which words, what to keep and how to split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from edgevl_training.curation.selection import SelectionRules
from edgevl_training.curation.splits import SplitBy, SplitRules
from edgevl_training.recipe import Recipe
from pydantic import Field, model_validator

DEFAULT_TAU = 0.25

_Share = Annotated[float, Field(ge=0, le=1)]


class CurateRecipe(Recipe):
    """Keep the pairs that the teacher is sure about, with pseudo-label and split, and report."""

    pairs: Path = Field(description='output folder of edgevl extract')
    taught: Path = Field(description='output folder of edgevl teach for these pairs')
    out: Path = Field(description='folder to write to')
    superset: tuple[str, ...] = Field(
        min_length=1,
        description='the phrases a pair can be labelled with: indoor, outdoor, satellite, or a '
        'text file with one phrase a line; several are joined',
    )
    teacher: str | None = Field(
        None,
        description='name of the teacher for the words, where it is called otherwise than when '
        'it embedded the pictures',
    )
    prompts: Literal['plain', 'things', 'scene', 'indoor', 'outdoor', 'satellite'] | None = Field(
        None,
        description='ensemble of sentences around each phrase, here and in all that is made from '
        "it, up to the bundle; the teacher's own unless given",
    )
    agree_seconds: float = Field(
        0.0, ge=0, le=3600, allow_inf_nan=False,
        description="average the teacher's embeddings over pairs of one recording that are at "
        'most so many seconds apart, which show one place; images of a folder count as one a '
        'second in the order of their names; 0 takes every pair by itself, as published',
    )
    center: _Share = Field(
        0.0, description='share of the mean embedding of the training pairs that is taken off '
        "all of the teacher's embeddings, so that those of different places are less alike; 0 "
        'takes them as they are, as published',
    )
    tau: _Share | None = Field(
        None, description=f'least confidence to keep a pair, 0 to 1 (default: {DEFAULT_TAU})'
    )
    keep_fraction: float | None = Field(
        None, gt=0, le=1,
        description='instead of --tau: share of the pairs to keep, the most confident',
    )
    near_duplicates: int = Field(
        4, ge=-1, le=16,
        description='bits in which the perceptual hashes of two pictures may differ to count as '
        'the same picture, 0 to 16; -1 keeps all',
    )
    max_per_class: int | None = Field(
        None, ge=1,
        description='most pairs of one pseudo-label, the most confident, shared among the splits',
    )
    min_per_class: int | None = Field(
        None, ge=1, description='drop pseudo-labels that fewer pairs than this have'
    )
    split: tuple[_Share, _Share, _Share] = Field(
        (0.8, 0.1, 0.1), description='shares of train, validation and test'
    )
    split_by: SplitBy = Field(
        'auto', description='whole bags, or blocks of time; auto takes bags where there are enough'
    )
    block_seconds: float | None = Field(
        None, ge=0.1, allow_inf_nan=False,
        description='length of a block of time (default: 60, or the half, the quarter ... that '
        'a short recording needs)',
    )
    gap_seconds: float = Field(
        2.0, ge=0, allow_inf_nan=False,
        description='least time between pairs of different splits of a bag',
    )
    seed: int = Field(0, ge=0, description='chooses among splits that are as good as each other')

    @model_validator(mode='after')
    def _fits_together(self) -> CurateRecipe:
        problems = []
        if self.tau is not None and self.keep_fraction is not None:
            problems.append('--tau and --keep-fraction exclude each other; give one of them')
        if abs(sum(self.split) - 1) > 1e-6:
            problems.append(
                f'--split: expected shares that add up to 1, found {sum(self.split):g}'
            )
        if self.agree_seconds > self.gap_seconds:
            problems.append(
                f'--agree-seconds: expected at most --gap-seconds {self.gap_seconds:g}, so that '
                f'no pair hears of another split, found {self.agree_seconds:g}'
            )
        if self.block_seconds is not None and self.block_seconds <= self.gap_seconds:
            problems.append(
                f'--block-seconds: expected more than the gap of {self.gap_seconds:g} s, found '
                f'{self.block_seconds:g}'
            )
        if problems:
            raise ValueError('; '.join(problems))
        return self

    @property
    def split_rules(self) -> SplitRules:
        """Give the part of the recipe that decides the split."""
        return SplitRules(
            self.split, self.split_by, self.block_seconds, self.gap_seconds, self.seed
        )

    @property
    def selection_rules(self) -> SelectionRules:
        """Give the part of the recipe that decides what is kept."""
        tau = self.tau if self.keep_fraction is not None or self.tau is not None else DEFAULT_TAU
        return SelectionRules(
            self.split, tau, self.keep_fraction, self.near_duplicates, self.max_per_class,
            self.min_per_class,
        )
