# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The recipe that is shipped as an example fits the verbs and says their defaults."""
from __future__ import annotations

import importlib
import inspect

import pytest
from support.source_tree import ROOT
import yaml

pytest.importorskip('pydantic', reason='pydantic is not installed')
pytest.importorskip('pyarrow', reason='pyarrow is not installed')

from edgevl_training.cli import VERBS  # noqa: E402, I100
from edgevl_training.recipe import parse, Recipe  # noqa: E402

EXAMPLE = ROOT / 'config' / 'training' / 'example.yaml'
# Have no default, or one that only says that one of several is required.
OWN = {'bags', 'out', 'pairs', 'superset', 'taught'}


def recipe_of(verb):
    """Return the recipe class that the module of a verb reads."""
    module = importlib.import_module(VERBS[verb][0])
    [kind] = {
        kind for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Recipe) and kind is not Recipe}
    return kind


@pytest.mark.parametrize('verb', ['extract', 'teach', 'curate'])
def test_the_example_has_every_option_at_its_default(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'bags').mkdir()
    kind = recipe_of(verb)
    recipe = parse(kind, verb, ['--config', str(EXAMPLE)], list(VERBS))
    section = yaml.safe_load(EXAMPLE.read_text())[verb]
    assert sorted(section) == sorted(kind.model_fields)
    for name, field in kind.model_fields.items():
        if name in OWN:
            assert getattr(recipe, name)
        else:
            assert getattr(recipe, name) == field.default, f'{verb}.{name}'


def test_the_example_leads_from_one_verb_to_the_next():
    recipe = yaml.safe_load(EXAMPLE.read_text())
    assert set(recipe) <= set(VERBS)
    assert recipe['teach']['pairs'] == recipe['curate']['pairs'] == recipe['extract']['out']
    assert recipe['curate']['taught'] == recipe['teach']['out']
