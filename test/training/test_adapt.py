# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One command finds its recipe, changes it, and refuses before hours of work what cannot end."""
from __future__ import annotations

import shutil

import pytest

pytest.importorskip('pydantic', reason='pydantic is not installed')
pytest.importorskip('pyarrow', reason='pyarrow is not installed')
pytest.importorskip('torch', reason='torch is not installed')

from edgevl_training import adapt, cli  # noqa: E402, I100
from edgevl_training.adapt import _text_of  # noqa: E402
from edgevl_training.adaptation import options  # noqa: E402
from edgevl_training.adaptation.check import check  # noqa: E402
from edgevl_training.adaptation.moments import without_labels  # noqa: E402
from edgevl_training.adaptation.options import (  # noqa: E402
    find_recipe,
    sections_of,
    shipped_recipes,
    with_recipe_found,
)
from edgevl_training.adaptation.recipe import AdaptRecipe, SOURCE_OPTIONS  # noqa: E402
from edgevl_training.adaptation.run_step import _made_from, run_step  # noqa: E402
from edgevl_training.adaptation.steps import first_steps, last_steps, VERBS  # noqa: E402
from edgevl_training.errors import OtherOutputError, RecipeError, TrainingError  # noqa: E402
from edgevl_training.export import ExportRecipe  # noqa: E402
from edgevl_training.extraction.recipe import ExtractRecipe  # noqa: E402
from edgevl_training.output import OutputFolder  # noqa: E402
from edgevl_training.recipe import parse  # noqa: E402
from support.adapting import make_images, make_superset, settings  # noqa: E402
from support.source_tree import ROOT  # noqa: E402

NAMES = {'eurosat', 'paper-dat-t', 'paper-swin-t', 'paper-vit-s', 'quick-cpu'}


@pytest.fixture
def images(tmp_path):
    """Give a folder of a few pairs."""
    return make_images(tmp_path / 'images', 4)


@pytest.fixture
def refused(tmp_path, capsys):
    """Give a function that returns what the command refuses, having made nothing."""
    def run(*words):
        assert cli.main(['adapt', '--out', str(tmp_path / 'bundle'), *map(str, words)]) == 2
        assert not (tmp_path / 'bundle.work').exists()
        return capsys.readouterr().err
    return run


def test_recipes_are_found_by_name_in_the_source_tree():
    assert set(shipped_recipes()) == NAMES
    assert find_recipe('eurosat') == ROOT / 'config' / 'training' / 'eurosat.yaml'


@pytest.mark.parametrize('package', [
    'lib/python3.11/site-packages/edgevl_training', 'local/lib/dist-packages/edgevl_training'])
def test_recipes_are_found_by_name_in_an_installation(package, tmp_path, monkeypatch):
    share = tmp_path / 'share' / 'edgevl_ros' / 'config' / 'training'
    shutil.copytree(ROOT / 'config' / 'training', share)
    monkeypatch.setattr(options, '_PACKAGE', tmp_path / package)
    assert set(shipped_recipes()) == NAMES
    assert find_recipe('quick-cpu') == share / 'quick-cpu.yaml'


def test_a_recipe_of_ones_own_is_found_by_its_path(tmp_path):
    (tmp_path / 'mine.yaml').write_text('teach:\n  teacher: conse\n')
    assert find_recipe(str(tmp_path / 'mine.yaml')) == tmp_path / 'mine.yaml'


def test_an_unknown_recipe_is_refused_with_those_that_exist(refused):
    message = refused('--config', 'paper-vit')
    assert "found 'paper-vit'; did you mean paper-vit-s?" in message
    assert all(name in message for name in NAMES)


def test_the_quick_recipe_is_taken_and_settings_are_joined():
    words, path = with_recipe_found(['--set', 'a.b=1', 'c.d=2', '--out', 'x', '--set', 'e.f=3'])
    assert path.stem == 'quick-cpu'
    assert words[-4:] == ['--set', 'a.b=1', 'c.d=2', 'e.f=3']
    assert words[:2] == ['--out', 'x']


def test_options_change_the_recipe(tmp_path):
    (tmp_path / 'mine.yaml').write_text(
        'extract:\n  bags: [old]\n  rate: 2\ncurate:\n  tau: 0.3\n')
    recipe = AdaptRecipe(
        out='x', images=('new',), second_scale=0.5,
        set=('curate.split=[0.5, 0.25, 0.25]', 'curate.tau=null', 'distill.final-learning-rate=0',
             'distill.epochs=1', 'distill.epochs=2'))
    assert sections_of(tmp_path / 'mine.yaml', recipe, ('extract', 'curate', 'distill')) == {
        'extract': {'images': ['new'], 'rate': 2, 'second_scale': 0.5},
        'curate': {'tau': None, 'split': ['0.5', '0.25', '0.25']},
        'distill': {'final_learning_rate': '0', 'epochs': '2'},
    }


def test_what_is_asked_of_extract_means_the_same_here():
    for name in SOURCE_OPTIONS:
        own, of_extract = AdaptRecipe.model_fields[name], ExtractRecipe.model_fields[name]
        assert own.description == of_extract.description, name
        assert own.default in (None, ()), name


def test_everything_wrong_is_told_at_once_under_the_name_it_was_given_by(refused, images):
    message = refused(
        '--images', images, '--second-name', 'thermal', '--depth-kind', 'filled',
        '--set', 'distill.epochs=two', 'contrast.nonsense=1', 'distill.data=x',
        '--set', 'curate.superset=nowhere.txt', 'teach.teacher=conze')
    for part in (
        '--depth-kind: does not go with --layout folder',
        '--set distill.epochs: expected a whole number',
        '--set contrast.nonsense: no such option',
        '--set distill.data: adapt decides that itself',
        'nowhere.txt: expected indoor, outdoor, satellite or a text file',
        "found 'conze'",
    ):
        assert part in message
    assert 'Traceback' not in message


def test_a_mistake_in_the_recipe_is_told_with_its_place(refused, images, tmp_path):
    (tmp_path / 'mine.yaml').write_text('curate:\n  superset: indoor\ndistill:\n  image_size: 5\n')
    message = refused('--config', tmp_path / 'mine.yaml', '--images', images)
    assert f'{tmp_path / "mine.yaml"}: distill.image_size: expected at least 16' in message


def test_a_section_that_is_none_is_told(refused, images, tmp_path):
    (tmp_path / 'mine.yaml').write_text('distill: 5\n')
    message = refused('--config', tmp_path / 'mine.yaml', '--images', images)
    assert f'{tmp_path / "mine.yaml"}: distill: expected options' in message
    assert 'found 5' in message


@pytest.mark.parametrize(('layout', 'stems', 'said'), [
    ('folder', ('0001', '0002'), 'neighbouring file names are taken for neighbouring moments'),
    ('folder', ('frame1', 'frame2'), 'neighbouring file names'),
    ('folder', ('kitchen/1', 'office/1'), 'agree_seconds is 0 here'),
    ('folder', ('kitchen_1', 'office_1'), 'agree_seconds is 0 here'),
    ('eurosat-ms', (), 'agree_seconds is 0 here'),
    ('scannet', (), ''),
])
def test_a_teacher_is_not_averaged_over_what_people_have_sorted(layout, stems, said, tmp_path):
    for stem in stems:
        path = tmp_path / 'rgb' / f'{stem}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    sections = {'extract': {'images': [str(tmp_path)], 'layout': layout},
                'curate': {'agree_seconds': 2.0}}
    found, notice = without_labels(sections)
    assert said in notice and bool(said) == bool(notice)
    assert found['curate']['agree_seconds'] == (0 if 'is 0 here' in said else 2)
    assert without_labels({**sections, 'extract': {'bags': ['x']}})[1] == ''
    sections['curate']['agree_seconds'] = '0'
    assert without_labels(sections) == (sections, '')


@pytest.mark.parametrize(('words', 'said'), [
    (('--set', 'distil.epochs=2'), "expected one of the verbs .*, found 'distil'"),
    (('--set', 'epochs=2'), 'expected VERB.OPTION=VALUE'),
    (('--set', 'curate.split=[1,'), 'expected a list'),
    (('--set', 'curate.split=[a,b,c]'), "--set curate.split: expected a number, found 'a'"),
    (('--set', 'teach.teacher=[a, b]'), '--set teach.teacher: expected text'),
    (('--fusion', '1'), '--fusion 1: no such option'),
    (('--vocabulary', 'kitchen', 'Kitchen'), '--vocabulary: expected distinct labels'),
    (('--vocabulary', 'nowhere.txt'), '--vocabulary: nowhere.txt: expected a text file'),
    ((), 'expected either --bags or --images'),
    (('--out', '/'), '--out: expected a folder with a name'),
    (('--out', '.'), 'expected nothing or a bundle, found something else'),
    (('--out', 'nowhere', '--work', 'nowhere/work'), '--work nowhere/work: .* outside of --out'),
    (('--out', 'nowhere', '--work', 'nowhere'), '--work nowhere: .* outside of --out'),
    (('--out', f'{__file__}/bundle'), '--out .*: expected a place to write to'),
    (('--set', 'distill.student=vitt_s'), 'vitt_s'),
    (('--set', 'distill.weights=/no/such.safetensors'), '--weights: expected imagenet, none or'),
    (('--set', 'distill.student=vit_s'), '--train-size 160: expected a student that takes'),
    (('--set', 'distill.student=dat_t'), 'dat_t: no ImageNet weights are published'),
    (('--set', 'distill.student=dat_t', 'distill.weights=none', 'distill.image_size=100'),
     'dat_t: '),
])
def test_what_cannot_be_is_refused(refused, words, said):
    import re

    assert re.search(said, refused(*words))


def test_asking_about_crops_wants_targets_of_single_pictures_and_says_so_first(refused, images):
    ask = ('--images', images, '--set', 'distill.teacher=conse')
    message = refused(*ask)
    assert 'edgevl teach --views whole' in message and 'curate --center 0' in message
    message = refused(*ask[:-1], 'distill.teacher=nobody')
    assert "found 'nobody'" in message


def test_half_precision_wants_a_gpu_and_says_so_first(refused, images, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    message = refused('--config', 'paper-vit-s', '--images', images)
    assert 'distill.precision: bf16 needs a CUDA GPU' in message
    assert '--set contrast.precision=no' in message


def test_something_else_in_the_place_of_the_bundle_is_left_alone(refused, images, tmp_path):
    (tmp_path / 'bundle').mkdir()
    (tmp_path / 'bundle' / 'diary.txt').write_text('dear')
    assert 'expected nothing or a bundle' in refused('--images', images)
    assert (tmp_path / 'bundle' / 'diary.txt').read_text() == 'dear'


def steps(tmp_path, measured=True):
    recipe = AdaptRecipe(out=tmp_path / 'bundle')
    sections = {verb: {} for verb in VERBS}
    return [*first_steps(recipe), *last_steps(recipe, sections, measured)]


def test_without_held_out_pairs_nothing_is_made_to_compare(tmp_path):
    assert [step.verb for step in steps(tmp_path, measured=False)] == [
        verb for verb in VERBS if verb != 'evaluate']
    pack = steps(tmp_path, measured=False)[-1]
    assert '--evaluated' not in pack.arguments
    assert '--evaluated' in steps(tmp_path)[-1].arguments


def adapted(tmp_path, monkeypatch, failing):
    """Let one of the folders fail its verb; give the status and the steps that ran before."""
    ran = []

    def run_one(planned, number, _):
        step = planned[number]
        if step.folder.name == failing:
            raise TrainingError('not the network that was trained')
        ran.append(step)
        return 0

    monkeypatch.setattr(adapt, 'run_step', run_one)
    monkeypatch.setattr(adapt, '_measurable', lambda *_: (True, ()))
    recipe, sections = AdaptRecipe(out=tmp_path / 'bundle'), {verb: {} for verb in VERBS}
    return adapt._adapt(recipe, sections, tmp_path / 'recipe.yaml'), ran


@pytest.mark.parametrize(('failing', 'left_out', 'kept'), [
    ('exported_ptq', 'ptq', 'fp32'), ('ptq', 'ptq', 'fp32'), ('exported_fp32', 'fp32', 'ptq'),
])
def test_a_bundle_is_made_though_something_to_compare_with_is_not(
    tmp_path, monkeypatch, capsys, failing, left_out, kept
):
    status, ran = adapted(tmp_path, monkeypatch, failing)
    assert status == 0
    said = capsys.readouterr().err
    assert 'not the network' in said and f'goes on without {left_out}' in said
    assert ran[-1].verb == 'pack' and ran[-2].verb == 'evaluate'
    models = [word.partition('=')[0] for word in ran[-2].arguments if '=' in word]
    assert models == [name for name in ('fp32', 'ptq', 'int8') if name != left_out]
    assert kept in models
    assert f'exported_{left_out}' not in [step.folder.name for step in ran]


def test_what_is_deployed_must_be_what_was_trained(tmp_path, monkeypatch):
    with pytest.raises(TrainingError, match='not the network'):
        adapted(tmp_path, monkeypatch, 'exported')


def test_calibrating_alone_does_not_depend_on_how_long_stage_2_trains(tmp_path):
    recipe = AdaptRecipe(out=tmp_path / 'bundle')
    sections = {verb: {} for verb in VERBS}
    sections['contrast'] = {'epochs': 7, 'calibration': 'max', 'weight_bits': '8'}
    [ptq] = [step for step in last_steps(recipe, sections, True) if '--ptq' in step.arguments]
    assert ptq.arguments[-2:] == ('--calibration=max', '--weight-bits=8')
    assert ptq.words('recipe.yaml')[0] == '--data'


def test_a_folder_of_other_options_names_all_that_was_made_from_it(tmp_path):
    """What does not depend on it is not named, and what is not there yet neither."""
    planned = steps(tmp_path)
    for step in planned[:9]:
        with OutputFolder(step.folder, 'another', {}) as output:
            output.finish({})
    [stage2] = [n for n, step in enumerate(planned) if step.folder.name == 'stage2']
    (tmp_path / 'recipe.yaml').write_text('{}')
    make_images(tmp_path / 'images', 2)
    with pytest.raises(RecipeError):
        run_step(planned, 0, tmp_path / 'recipe.yaml')
    (tmp_path / 'recipe.yaml').write_text(f'extract:\n  images: {tmp_path / "images"}\n')
    with pytest.raises(OtherOutputError) as caught:
        run_step(planned, 0, tmp_path / 'recipe.yaml')
    advice = str(caught.value).splitlines()[-1]
    assert 'remove' in advice
    assert all(str(step.folder) in advice for step in planned[:9])
    assert str(tmp_path / 'bundle.work' / 'evaluated') not in advice
    assert [step.folder.name for step in _made_from(planned, stage2)] == [
        'stage2', 'exported', 'evaluated', 'bundle']


def test_settings_reach_every_verb(tmp_path, images):
    """The options that other tests are quick by are options that verbs have."""
    words, path = with_recipe_found(
        ['--images', str(images), '--out', str(tmp_path / 'bundle'),
         *settings(make_superset(tmp_path / 'phrases.txt'))])
    recipe = parse(AdaptRecipe, 'adapt', words, list(cli.VERBS))
    sections = sections_of(path, recipe, VERBS)
    file = tmp_path / 'recipe.yaml'
    file.write_text(_text_of(sections, path))
    planned = [*first_steps(recipe), *last_steps(recipe, sections, True)]
    check(recipe, sections, planned, file, path)


def test_the_half_precision_twin_is_exported_where_that_is_asked_for(tmp_path, images):
    """So that a device can compare INT8 with it; a bundle holds nothing else for that."""
    for given, twins in (((), ()), (('export.twins=[fp16]',), ('fp16',))):
        words, path = with_recipe_found(
            ['--images', str(images), '--out', str(tmp_path / 'bundle'), '--set', *given])
        recipe = parse(AdaptRecipe, 'adapt', words, list(cli.VERBS))
        sections = sections_of(path, recipe, VERBS)
        file = tmp_path / 'recipe.yaml'
        file.write_text(_text_of(sections, path))
        (step,) = (step for step in last_steps(recipe, sections, True)
                   if step.folder.name == 'exported')
        assert parse(ExportRecipe, 'export', step.words(file), list(cli.VERBS)).twins == twins


def test_several_processes_are_told_how_to_share_the_work(
    tmp_path, images, capsys, monkeypatch
):
    words = ['--images', str(images), '--out', str(tmp_path / 'bundle')]
    work = tmp_path / 'bundle.work'
    monkeypatch.setenv('WORLD_SIZE', '2')
    monkeypatch.setenv('RANK', '1')
    assert cli.main(['adapt', *words]) == 2
    assert capsys.readouterr().err == ''
    monkeypatch.setenv('RANK', '0')
    assert cli.main(['adapt', *words]) == 2
    commands = capsys.readouterr().err.splitlines()[1:]
    assert [line.split(' --config')[0].split()[-1] for line in commands] == [
        'extract', 'teach', 'curate', 'distill', 'contrast']
    assert ['torchrun' in line for line in commands] == [False, True, False, True, True]
    assert f'--out {work / "stage2"} --data {work / "curated"}' in commands[-1]
    assert 'teacher: conse' in (work / 'recipe.yaml').read_text()
