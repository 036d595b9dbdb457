# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The options of every verb of an adaptation: a recipe file, and what the command line changes."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
import difflib
from pathlib import Path
from typing import Any

from edgevl_training.adaptation.recipe import AdaptRecipe, SOURCE_OPTIONS
from edgevl_training.errors import RecipeError
import yaml

DEFAULT_RECIPE = 'quick-cpu'
# Shows every option of the verbs alone, with folders of their own.
_EXAMPLE = 'example'
_PACKAGE = Path(__file__).parents[1]
_PLACE = Path('config', 'training')

Sections = dict[str, dict[str, Any]]


def find_recipe(name: str) -> Path:
    """
    Find a recipe that is shipped by its name, or any by its path.

    :raises RecipeError: listing the shipped ones.
    """
    shipped = shipped_recipes()
    if name in shipped:
        return shipped[name]
    path = Path(name).expanduser()
    if path.is_file():
        return path
    near = difflib.get_close_matches(name, shipped, 1)
    hint = f'; did you mean {near[0]}?' if near else ''
    raise RecipeError(
        f'--config: expected a file or one of {", ".join(shipped) or "the shipped recipes"}, '
        f'found {name!r}{hint}'
    )


def shipped_recipes() -> dict[str, Path]:
    """Find the recipes of the source tree, or those that pip or colcon have installed."""
    # <prefix>/lib/python3.x/site-packages/edgevl_training has its data in <prefix>/share.
    installed = (folder / 'share' / 'edgevl_ros' / _PLACE for folder in _PACKAGE.parents)
    for folder in (_PACKAGE.parent / _PLACE, *installed):
        if (folder / f'{DEFAULT_RECIPE}.yaml').is_file():
            paths = sorted(folder.glob('*.yaml'))
            return {path.stem: path for path in paths if path.stem != _EXAMPLE}
    return {}


def with_recipe_found(arguments: Sequence[str]) -> tuple[list[str], Path]:
    """
    Put the path of the recipe where its name stands, and join what several ``--set`` say.

    :returns: the arguments for `parse`, and the path.
    :raises RecipeError: when there is no such recipe.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('--config', nargs='?', default=DEFAULT_RECIPE, const='')
    parser.add_argument('--set', nargs='*', action='extend', default=[])
    options, rest = parser.parse_known_args(list(arguments))
    path = find_recipe(options.config)
    return [*rest, '--config', str(path), '--set', *options.set], path


def sections_of(path: Path, recipe: AdaptRecipe, verbs: Iterable[str]) -> Sections:
    """
    Give the options of every verb: those of a recipe file that was parsed, with the changes.

    :raises RecipeError: when ``--set`` names a verb that is not run, or a section is none.
    """
    content = yaml.safe_load(path.read_text(encoding='utf-8'))
    sections = {verb: _section(path, verb, content.get(verb)) for verb in verbs}
    given = recipe.model_fields_set & set(SOURCE_OPTIONS)
    for one, other in (('bags', 'images'), ('images', 'bags')):
        if one in given:
            sections['extract'].pop(other, None)
    sections['extract'].update(recipe.model_dump(mode='json', include=given))
    for name, value in settings_of(recipe).items():
        verb, _, option = name.partition('.')
        if verb not in sections:
            raise RecipeError(
                f'--set {name}: expected one of the verbs {", ".join(sections)}, found {verb!r}'
            )
        sections[verb][option] = _value(name, value)
    return sections


def _section(path: Path, verb: str, value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise RecipeError(
            f'{path}: {verb}: expected options such as "{verb}: {{seed: 1}}", found {value!r}'
        )
    return dict(value or {})


def settings_of(recipe: AdaptRecipe) -> dict[str, str]:
    """Give the value of each VERB.OPTION of ``--set``; of several, the last counts."""
    parts = (setting.partition('=') for setting in recipe.set)
    return {name.replace('-', '_'): value for name, _, value in parts}


def _value(name: str, text: str) -> Any:
    """Read a value as the command line of a verb does, but for lists and null."""
    if text == 'null':
        return None
    if not text.startswith('['):
        return text
    try:
        # Words, as pydantic makes numbers of them where numbers are wanted.
        return yaml.load(text, yaml.BaseLoader)  # noqa: S506 (makes text, lists and mappings)
    except yaml.YAMLError as error:
        raise RecipeError(f'--set {name}: expected a list such as [0.8, 0.1, 0.1]') from error


def as_words(section: dict[str, Any], names: Iterable[str]) -> list[str]:
    """Give some options of a section as a command line."""
    return [
        f'--{name.replace("_", "-")}={section[name]}' for name in names
        if section.get(name) is not None
    ]
