# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The recipes that are shipped fit the verbs, and the example says their defaults."""
from __future__ import annotations

import pytest
from support.source_tree import ROOT
import yaml

pytest.importorskip('pydantic', reason='pydantic is not installed')
pytest.importorskip('pyarrow', reason='pyarrow is not installed')

from edgevl_training.adaptation.options import sections_of, shipped_recipes  # noqa: E402, I100
from edgevl_training.adaptation.recipe import AdaptRecipe  # noqa: E402
from edgevl_training.adaptation.steps import (  # noqa: E402
    first_steps,
    last_steps,
    recipe_class,
    VERBS as ADAPTING,
)
from edgevl_training.cli import VERBS  # noqa: E402
from edgevl_training.curation.superset import read_superset  # noqa: E402
from edgevl_training.recipe import parse  # noqa: E402

FOLDER = ROOT / 'config' / 'training'
EXAMPLE = FOLDER / 'example.yaml'
# Have no default, or one that only says that one of several is required.
OWN = {
    'bags', 'curated', 'data', 'evaluated', 'exported', 'models', 'out', 'pairs', 'student',
    'superset', 'taught',
}
PAPER = ('paper-dat-t', 'paper-swin-t', 'paper-vit-s')


@pytest.mark.parametrize('verb', ADAPTING)
def test_the_example_has_every_option_at_its_default(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'bags').mkdir()
    kind = recipe_class(verb)
    recipe = parse(kind, verb, ['--config', str(EXAMPLE)], list(VERBS))
    section = yaml.safe_load(EXAMPLE.read_text())[verb]
    assert sorted(section) == sorted(kind.model_fields)
    for name, field in kind.model_fields.items():
        if name not in OWN or (verb, name) == ('distill', 'student'):
            assert getattr(recipe, name) == field.default, f'{verb}.{name}'


def test_the_example_leads_from_one_verb_to_the_next():
    recipe = yaml.safe_load(EXAMPLE.read_text())
    assert list(recipe) == list(ADAPTING)
    out = {verb: section['out'] for verb, section in recipe.items()}
    assert recipe['teach']['pairs'] == recipe['curate']['pairs'] == out['extract']
    assert recipe['evaluate']['pairs'] == out['extract']
    assert recipe['curate']['taught'] == recipe['evaluate']['taught'] == out['teach']
    for verb in ('distill', 'contrast'):
        assert recipe[verb]['data'] == out['curate']
    assert recipe['evaluate']['curated'] == out['curate']
    assert recipe['contrast']['student'] == out['distill']
    assert recipe['export']['student'] == out['contrast']
    assert recipe['evaluate']['models'] == [f'int8={out["export"]}']
    assert recipe['pack']['exported'] == out['export']
    assert recipe['pack']['evaluated'] == out['evaluate']


@pytest.fixture
def parsed(tmp_path):
    """Give a function that parses a shipped recipe with the recipe classes of all verbs."""
    (tmp_path / 'images').mkdir()

    def parse_all(name):
        path = shipped_recipes()[name]
        recipe = AdaptRecipe(out=tmp_path / 'bundle', images=(tmp_path / 'images',))
        sections = sections_of(path, recipe, ADAPTING)
        file = tmp_path / 'recipe.yaml'
        file.write_text(yaml.safe_dump(sections))
        steps = [*first_steps(recipe), *last_steps(recipe, sections, True)]
        return {
            step.folder.name: parse(
                recipe_class(step.verb), step.verb, step.words(file), list(VERBS))
            for step in steps
        }
    return parse_all


@pytest.mark.parametrize('name', [
    path.stem for path in sorted(FOLDER.glob('*.yaml')) if path != EXAMPLE])
def test_every_shipped_recipe_is_read_by_every_verb(name, parsed):
    recipes = parsed(name)
    assert len(read_superset(recipes['curated'].superset)) > 10
    assert recipes['ptq'].ptq
    assert not recipes['stage2'].ptq
    assert recipes['ptq'].weight_bits == recipes['stage2'].weight_bits
    # Only verbs that are run have a section.
    assert set(yaml.safe_load((FOLDER / f'{name}.yaml').read_text())) <= set(ADAPTING)


@pytest.mark.parametrize('name', PAPER)
def test_the_recipes_of_the_paper_have_its_values(name, parsed):
    recipes = parsed(name)
    assert recipes['taught'].teacher == 'open_clip:ViT-g-14/laion2b_s34b_b88k'
    assert recipes['curated'].tau == 0.25
    stage1, stage2 = recipes['stage1'], recipes['stage2']
    assert stage1.student == name.removeprefix('paper-').replace('-', '_')
    assert (stage1.epochs, stage1.image_size, stage1.modalities) == (120, 224, 'both')
    assert (stage1.learning_rate, stage1.final_learning_rate) == (1e-4, 5e-6)
    assert (stage2.learning_rate, stage2.margin, stage2.negatives) == (1e-6, 0.3, 3)
    assert (stage2.mining, stage2.loss, stage2.weight_bits) == ('intra', 'both', '8')


def test_the_quick_recipe_needs_neither_a_network_nor_a_gpu(parsed):
    recipes = parsed('quick-cpu')
    assert recipes['taught'].teacher.startswith('conse')
    assert (recipes['stage1'].student, recipes['stage1'].weights) == (
        'efficientnet_lite0', 'imagenet')
    assert {recipes[name].precision for name in ('stage1', 'stage2', 'ptq')} == {'no'}
