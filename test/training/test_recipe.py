# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One declaration gives options, file keys and help; every mistake is told in one go."""
from __future__ import annotations

from enum import Enum
from pathlib import Path
import re
from typing import Annotated, Literal

from hypothesis import given, strategies
import pytest
import yaml

pytest.importorskip('pydantic', reason='pydantic is not installed')

from edgevl_training.errors import RecipeError  # noqa: E402, I100
from edgevl_training.recipe import parse, Recipe, several_options  # noqa: E402
from pydantic import Field, field_validator, model_validator  # noqa: E402

SECTIONS = ('extract', 'teach', 'brew')


class Roast(Enum):
    """How dark."""

    LIGHT = 'light'
    DARK = 'dark'


class Brew(Recipe):
    """Brew coffee from beans."""

    beans: tuple[Path, ...] = Field(description='bags of beans')
    cups: int = Field(2, ge=1, description='number of cups')
    strength: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description='100 % is one')
    water_celsius: float = Field(93.0, description='temperature')
    method: Literal['filter', 'press'] = Field('filter', description='the way')
    roast: Roast = Field(Roast.DARK, description='the roast')
    milk: bool = Field(False, description='with milk')
    spices: tuple[str, ...] = Field((), description='what else')
    name: str = Field('coffee', description='name')

    @model_validator(mode='after')
    def _no_spiced_milk(self):
        if self.milk and self.spices:
            raise ValueError('--milk and --spices exclude each other')
        return self


def brew(*words):
    """Parse a command line."""
    return parse(Brew, 'brew', list(map(str, words)), SECTIONS)


def problems(*words):
    """Return the lines of a refusal after its first, which counts them."""
    with pytest.raises(RecipeError) as refusal:
        brew(*words)
    first, *lines = str(refusal.value).splitlines()
    assert first.startswith(f'edgevl brew: {len(lines)} thing')
    assert "'edgevl brew --help'" in first
    return [line.removeprefix('  ') for line in lines]


@pytest.fixture
def file(tmp_path):
    """Give a function that writes a recipe file."""
    def write(text):
        path = tmp_path / 'recipe.yaml'
        path.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
        return path
    return write


def test_options_win_over_the_file_and_the_file_over_defaults(file):
    config = file({'brew': {'beans': ['a', 'b'], 'cups': 3, 'milk': True, 'roast': 'light'}})
    recipe = brew('--config', config, '--cups', 5, '--milk', 'false')
    assert recipe.beans == (Path('a'), Path('b'))
    assert (recipe.cups, recipe.milk, recipe.roast) == (5, False, Roast.LIGHT)
    assert (recipe.method, recipe.strength) == ('filter', None)


def test_lists_and_flags_on_the_command_line(file):
    recipe = brew('--beans', 'a', 'b c', '--milk', '--cups=3')
    assert recipe.beans == (Path('a'), Path('b c'))
    assert recipe.milk is True
    assert recipe.cups == 3
    config = file({'brew': {'beans': ['a'], 'spices': ['salt']}})
    assert brew('--config', config, '--spices').spices == ()


def test_everything_wrong_is_told_at_once(file):
    config = file({
        'brew': {'cups': 0, 'strenght': 0.5, 'roast': 'burnt', 'water_celsius': [1]},
        'tea': {},
    })
    found = problems(
        '--config', config, '--method', 'drip', '--mlik', 'yes', '--name', '--strength', '7')
    assert found == [
        '--mlik yes: no such option; did you mean --milk?',
        '--name: expected a value, found none',
        f"{config}: 'tea': expected one of the sections extract, teach, brew",
        '--beans: is required',
        f'{config}: brew.cups: expected at least 1, found 0',
        "--strength: expected at most 1, found '7'",
        f'{config}: brew.water_celsius: expected a number, found [1]',
        "--method: expected 'filter' or 'press', found 'drip'",
        f"{config}: brew.roast: expected 'light' or 'dark', found 'burnt'",
        f'{config}: brew.strenght: no such option; did you mean strength?',
    ]


def test_a_required_option_without_its_value_is_told_once():
    class Cup(Recipe):
        """Fill a cup."""

        size: int = Field(description='millilitres')

    with pytest.raises(RecipeError, match=r'1 thing to mend .*\n  --size: expected a value'):
        parse(Cup, 'brew', ['--size'], SECTIONS)


def test_options_that_exclude_each_other_are_told_in_their_own_words():
    assert problems('--beans', 'a', '--milk', '--spices', 'salt') == [
        '--milk and --spices exclude each other']


@pytest.mark.parametrize(('text', 'complaint'), [
    ('', 'expected sections such as "brew:", found nothing'),
    ('- 1', 'expected sections such as "brew:", found list'),
    ('brew: 3', 'brew: expected options, found int'),
    ('brew: {', 'expected YAML: while parsing'),
    ('brew: !!python/object/apply:os.getcwd []', 'expected YAML: could not determine'),
    ('[' * 5000, 'expected YAML: '),
    ('1: 2', '1: expected one of the sections extract, teach, brew'),
    ('#' * 1_100_000, 'expected a recipe of at most 1 MB'),
    ('brew: {beans: [a], name: \x00}', 'expected YAML: unacceptable character'),
], ids=lambda value: value[:20])
def test_a_broken_file_is_named(file, text, complaint):
    config = file(text)
    assert any(
        line.startswith(f'{config}: {complaint}')
        for line in problems('--config', config, '--cups', 0))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    missing = tmp_path / 'none.yaml'
    assert problems('--beans', 'a', '--config', missing) == [
        f'{missing}: cannot be read: No such file or directory']
    assert problems('--beans', 'a', '--config', tmp_path) == [
        f'{tmp_path}: cannot be read: Is a directory']
    binary = tmp_path / 'binary.yaml'
    binary.write_bytes(b'\xff\xfe\xfa')
    assert problems('--beans', 'a', '--config', binary)[0].startswith(f'{binary}: expected YAML')
    assert problems('--beans', 'a', '--config') == ['--config: expected a value, found none']


def test_one_value_stands_for_a_list_of_one(file):
    config = file({'brew': {'beans': 'a b', 'spices': 'salt'}})
    recipe = brew('--config', config)
    assert (recipe.beans, recipe.spices) == ((Path('a b'),), ('salt',))


def test_a_key_given_twice_is_refused_with_its_line(file):
    config = file('brew:\n  beans: [a]\n  cups: 3\n  cups: 4\n')
    assert problems('--config', config, '--beans', 'a') == [
        f"{config}: expected YAML: line 4: 'cups' is given a second time"]
    config = file('teach: {}\nbrew: {beans: [a]}\nteach: {}\n')
    assert "line 3: 'teach'" in problems('--config', config, '--beans', 'a')[0]
    config = file('x: &x {cups: 3}\nbrew: {<<: *x, beans: [a], cups: 4}\n')
    assert problems('--config', config)[0].startswith(f"{config}: 'x': expected one of")


def test_wrong_types_are_told_in_plain_words(file):
    config = file({'brew': {'beans': [5, 'a'], 'cups': 1.5, 'milk': 7, 'name': [1], 'spices': {}}})
    assert problems('--config', config) == [
        f'{config}: brew.beans: expected a path, found 5',
        f'{config}: brew.cups: expected a whole number, found 1.5',
        f'{config}: brew.milk: expected true or false, found 7',
        f'{config}: brew.spices: expected text, found {{}}',
        f'{config}: brew.name: expected text, found [1]',
    ]


@pytest.mark.parametrize('words', [['1'], ['1', '2'], ['1', '2', '3', '4']])
def test_a_list_of_a_fixed_length(words):
    class Shares(Recipe):
        """Share a cake."""

        split: tuple[float, float, float] = Field((1, 0, 0), description='three shares')

    with pytest.raises(RecipeError, match=f'--split: expected 3 values, found {len(words)}$'):
        parse(Shares, 'brew', ['--split', *words], SECTIONS)


def test_what_no_single_option_is_to_blame_for():
    class Journey(Recipe):
        """Go there."""

        bus: str | None = Field(None, description='by bus')

        @field_validator('bus')
        @classmethod
        def _some(cls, value):
            if value is None:
                raise several_options('expected --bus or --train {at least}')
            return value

    with pytest.raises(RecipeError, match=r'\n  expected --bus or --train {at least}$'):
        parse(Journey, 'brew', [], SECTIONS)


def test_other_verbs_in_the_file_are_left_alone(file):
    config = file({'teach': {'whatever': 1}, 'brew': {'beans': ['a']}, 'extract': None})
    assert brew('--config', config).beans == (Path('a'),)
    assert brew('--config', file({'teach': {}}), '--beans', 'a').cups == 2


def test_a_value_as_long_as_a_book_is_cut(file):
    config = file({'brew': {'beans': ['a'], 'cups': 'x' * 100_000}})
    [line] = problems('--config', config)
    assert len(line) < 600


def test_home_is_expanded_in_files_as_the_shell_does(file, monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    config = file({'brew': {'beans': ['~/a', 'b~'], 'name': '~'}})
    recipe = brew('--config', config)
    assert recipe.beans == (tmp_path / 'a', Path('b~'))
    assert recipe.name == '~'


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValueError, match='frozen'):
        brew('--beans', 'a').cups = 4


def test_help_lists_every_option_with_its_default(capsys):
    with pytest.raises(SystemExit) as end:
        brew('--help')
    assert end.value.code == 0
    text = re.sub(r'\s+', ' ', capsys.readouterr().out)
    assert 'Brew coffee from beans.' in text
    for part in (
            '--config FILE', '--beans [PATH ...] bags of beans (required)',
            '--cups N number of cups (default: 2)', '--strength X 100 % is one',
            '--water-celsius X temperature (default: 93.0)',
            '--method filter|press the way (default: filter)',
            '--roast light|dark the roast (default: dark)',
            '--milk [true|false] with milk (default: false)', '--spices [TEXT ...] what else',
            '--name TEXT name (default: coffee)'):
        assert part in text, part


VALUES = strategies.fixed_dictionaries({
    'beans': strategies.lists(
        strategies.text('abc/. é', min_size=1).filter(lambda text: '\0' not in text), max_size=3),
    'cups': strategies.integers(1, 10**6),
    'water_celsius': strategies.floats(-300, 300),
    'method': strategies.sampled_from(['filter', 'press']),
    'roast': strategies.sampled_from(['light', 'dark']),
    'milk': strategies.booleans(),
    'name': strategies.text(
        strategies.characters(exclude_categories=('Cs', 'Cc')), max_size=20),
})


@given(VALUES)
def test_a_file_and_the_command_line_say_the_same(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / 'same.yaml'
    path.write_text(yaml.safe_dump({'brew': values}, allow_unicode=True), encoding='utf-8')
    # Written with '=', values may begin with a dash, as in any program that uses argparse.
    words = ['--beans', *values['beans']]
    words += [f'--{name.replace("_", "-")}={value}' for name, value in values.items()
              if name != 'beans']
    from_file, from_words = brew('--config', path), brew(*words)
    assert from_file == from_words
    assert from_file.model_dump(mode='json', include=set(values)) == {
        **values, 'beans': [str(Path(bean)) for bean in values['beans']]}


@given(VALUES)
def test_what_a_manifest_records_is_a_recipe_again(values):
    recipe = Brew(**values)
    assert Brew(**recipe.model_dump(mode='json')) == recipe


@given(strategies.binary(max_size=200))
def test_no_file_ends_in_a_traceback(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / 'any.yaml'
    path.write_bytes(content)
    with pytest.raises(RecipeError):
        brew('--config', path)


@given(strategies.lists(strategies.text(max_size=8).filter(
    lambda word: word not in ('-h', '--help', '--config') and not word.startswith('-h')
    and not word.startswith('--config='))))
def test_no_command_line_ends_in_a_traceback(words):
    try:
        brew(*words)
    except RecipeError:
        pass
