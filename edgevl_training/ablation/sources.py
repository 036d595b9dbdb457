# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an ablation starts from: the folders of earlier verbs, and the recipe of each stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

from edgevl_training.contrast import ContrastRecipe
from edgevl_training.distill import DistillRecipe
from edgevl_training.evaluation.choice_of_words import words_for
from edgevl_training.evaluation.pairs import select_pairs
from edgevl_training.evaluation.recipe import EvaluateRecipe
from edgevl_training.evaluation.task import open_task, purpose_of
from edgevl_training.output import MANIFEST, read_manifest
from edgevl_training.recipe import parse, Recipe
from edgevl_training.training_stage import NOT_PURPOSE

_RECIPES: Mapping[str, type[Recipe]] = {
    'distill': DistillRecipe, 'contrast': ContrastRecipe, 'evaluate': EvaluateRecipe,
}


@dataclass(frozen=True)
class Sources:
    """
    The folders that every experiment reads; ``work`` may hold finished ones.

    ``measure`` names how rows are measured, once it is `settled`: pairs, words and the like.
    """

    pairs: Path
    taught: Path
    curated: Path
    config: Path | None = None
    work: Path | None = None
    device: str | None = None
    vocabulary: tuple[str, ...] = ()
    measure: str = ''

    @property
    def words(self) -> list[str]:
        """Give the options of distill, contrast and evaluate that no experiment changes."""
        config = [] if self.config is None else ['--config', str(self.config)]
        return [*config, *([] if self.device is None else ['--device', self.device])]

    @property
    def words_to_measure(self) -> list[str]:
        """Give the options of evaluate, but for what is measured and where to."""
        stage1 = self.parsed('distill', [*self.words, '--data', '.', '--out', '.'])
        # Teachers are shown what students see.
        seen = {'near': stage1.near, 'far': stage1.far}
        return [
            *self.words, *(['--vocabulary', *self.vocabulary] if self.vocabulary else []),
            *(f'--{name}={value}' for name, value in seen.items() if value is not None),
            '--pairs', str(self.pairs), '--taught', str(self.taught),
            '--curated', str(self.curated),
        ]

    def settled(self) -> Sources:
        """
        See before anything is trained that there is something to measure, and among which words.

        :raises EdgeVLError: when it could not be measured in the end.
        """
        vocabulary = self.vocabulary or self.evaluation.vocabulary
        if not vocabulary:
            pairs = select_pairs(self.pairs, self.curated, self.evaluation.split)
            vocabulary = words_for(pairs, self.curated)
        settled = replace(self, vocabulary=vocabulary)
        how = settled.parsed('evaluate', [*settled.words_to_measure, '--out', '.'])
        purpose = json.dumps(purpose_of(open_task(how)), sort_keys=True, default=str)
        return replace(settled, measure=hashlib.sha256(purpose.encode()).hexdigest()[:8])

    def recipes(self) -> dict[str, Any]:
        """Give all options that decide what students become, those at their defaults too."""
        nowhere = {'distill': [], 'contrast': ['--student', '.']}
        left = {'distill': {'seed'}, 'contrast': {'seed', 'student'}}
        return {
            verb: self.parsed(verb, [*self.words, '--data', '.', '--out', '.', *more]).model_dump(
                mode='json', exclude={*NOT_PURPOSE, *left[verb]},
            )
            for verb, more in nowhere.items()
        }

    def parsed(self, verb: str, words: list[str]) -> Any:
        """Read the recipe of a verb as the verb itself will."""
        from edgevl_training.cli import VERBS

        return parse(_RECIPES[verb], verb, words, list(VERBS))

    def holds(self, folder: Path, verb: str, words: list[str]) -> bool:
        """Tell whether a finished folder has just what a stage would be asked for."""
        if not (folder / MANIFEST).is_file():
            return False
        manifest = read_manifest(folder, verb)
        module = importlib.import_module(f'edgevl_training.{verb}')
        purpose = module.purpose_of(self.parsed(verb, [*words, '--out', str(folder)]))
        asked = json.loads(json.dumps(purpose, default=str))
        return _agrees(manifest, asked)

    def budgets(self) -> dict[str, Any]:
        """
        Give epochs and learning rates for training otherwise than a verb's own recipe says.

        ``stage1_...`` are those of stage 1; ``single_...`` take as many epochs as both stages, as
        fast as stage 1 at the beginning, for the weights are as raw as there, and as slow as
        stage 2 at the end.
        """
        nowhere = ['--data', '.', '--out', '.']
        stage1 = self.parsed('distill', [*self.words, *nowhere])
        stage2 = self.parsed('contrast', [*self.words, *nowhere, '--student', '.'])
        final = stage2.final_learning_rate
        slowest = stage2.learning_rate / 10 if final is None else final
        return {
            'stage1_epochs': max(1, stage1.epochs),
            'stage1_learning_rate': stage1.learning_rate,
            'stage1_final_learning_rate': stage1.final_learning_rate,
            'single_epochs': stage1.epochs + stage2.epochs,
            'single_learning_rate': stage1.learning_rate,
            'single_final_learning_rate': min(stage1.learning_rate, slowest),
        }

    @property
    def seed(self) -> int:
        """Give the seed of the recipe."""
        words = [*self.words, '--data', '.', '--out', '.']
        return int(self.parsed('distill', words).seed)

    @property
    def evaluation(self) -> EvaluateRecipe:
        """Give how the recipe wants models measured: split and threads."""
        words = [*self.words, '--pairs', '.', '--models', 'any=.', '--out', '.']
        recipe: EvaluateRecipe = self.parsed('evaluate', words)
        return recipe


def _agrees(found: Any, asked: Any) -> bool:
    """Compare as an output folder does: an option that is new since then was at none."""
    if not isinstance(asked, Mapping):
        return bool(found == asked)
    known = found if isinstance(found, Mapping) else {}
    return all(_agrees(known.get(key), value) for key, value in asked.items())
