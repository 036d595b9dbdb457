# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an ablation starts from: the folders of earlier verbs, and the recipe of each stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import importlib
import json
from pathlib import Path
from typing import Any

from edgevl_training.contrast import ContrastRecipe
from edgevl_training.distill import DistillRecipe
from edgevl_training.evaluation.recipe import EvaluateRecipe
from edgevl_training.output import MANIFEST, read_manifest
from edgevl_training.recipe import parse, Recipe

_RECIPES: Mapping[str, type[Recipe]] = {
    'distill': DistillRecipe, 'contrast': ContrastRecipe, 'evaluate': EvaluateRecipe,
}


@dataclass(frozen=True)
class Sources:
    """The folders that every experiment reads; ``work`` may hold finished ones."""

    pairs: Path
    taught: Path
    curated: Path
    config: Path | None = None
    work: Path | None = None
    device: str = 'auto'
    vocabulary: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """Give the options of distill, contrast and evaluate that no experiment changes."""
        config = [] if self.config is None else ['--config', str(self.config)]
        return [*config, '--device', self.device]

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

    def single_stage_budget(self) -> dict[str, Any]:
        """Give epochs and learning rates for training in one stage what else takes two."""
        nowhere = ['--data', '.', '--out', '.']
        stage1 = self.parsed('distill', [*self.words, *nowhere])
        stage2 = self.parsed('contrast', [*self.words, *nowhere, '--student', '.'])
        final = stage2.final_learning_rate
        return {
            'epochs': stage1.epochs + stage2.epochs,
            'learning_rate': stage1.learning_rate,
            'final_learning_rate': min(
                stage1.learning_rate, stage2.learning_rate / 10 if final is None else final
            ),
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
