# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Options, parameters and launch arguments of the recorder are the same thing."""

from pathlib import Path
import subprocess
import sys
from types import SimpleNamespace

from edgevl_training.errors import RecipeError
from edgevl_training.recording.definitions import definition_of
from edgevl_training.recording.messages import Role
from edgevl_training.recording.parameters import (
    chosen_parameters,
    launch_arguments,
    parameter_defaults,
    recipe_from,
    refuse_parameters,
)
from edgevl_training.recording.qos import describe, offered_qos, Request, request_for
from edgevl_training.recording.recipe import RecordRecipe
from edgevl_training.recording.topics import (
    explain_absence,
    found_name,
    TopicFinder,
    Wanted,
    wanted_topics,
)
import pytest
import yaml

RGB, DEPTH = '/camera/color/image_raw', '/camera/aligned_depth_to_color/image_raw'
IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
NOTHING = {name: '' for name, _, _ in launch_arguments()}


def names(**options):
    wanted = wanted_topics(RecordRecipe(out=Path('x'), **options))
    return {w.role: w.names for w in wanted if w.role is not Role.OTHER}


def test_defaults_of_parameters_are_those_of_the_recipe(tmp_path):
    defaults = parameter_defaults()
    assert set(defaults) == set(RecordRecipe.model_fields)
    assert recipe_from({**defaults, 'out': str(tmp_path)}) == RecordRecipe(out=tmp_path)
    # rclpy fixes the type of a parameter by its default.
    assert {type(value) for value in defaults.values()} == {float, int, list, str}
    assert defaults['extra_topics'] == ['']


def test_every_parameter_that_does_not_fit_is_named():
    with pytest.raises(RecipeError) as refused:
        recipe_from({**parameter_defaults(), 'mode': 'sometimes', 'interval': -1.0})
    message = str(refused.value)
    assert 'out: ' in message
    assert 'mode: ' in message
    assert 'interval: ' in message


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        ({'prefix': '../x'}, 'letters, digits'), ({'prefix': ''}, 'letters, digits'),
        ({'rgb_topic': '', 'depth_topic': 'none'}, 'at least one'),
        ({'rgb_topic': RGB, 'depth_topic': RGB}, f'expected two topics, found {RGB} twice'),
        ({'out': ' '}, 'expected a folder'), ({'interval': float('nan')}, 'finite'),
        ({'mode': 'change', 'context': 3.0}, 'buffer_seconds'),
        ({'split_mb': float('nan')}, 'split_mb'), ({'queue_mb': 0}, 'queue_mb'),
    ],
)
def test_what_cannot_be_is_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        RecordRecipe(**{'out': Path('x'), **options})


def test_parameters_fit_that_mean_the_same(tmp_path):
    given = {
        'out': str(tmp_path), 'max_gb': 1, 'interval': 1, 'prefix': 2026, 'stable_frames': 4.0,
        'extra_topics': '/a',
    }
    found = recipe_from({**parameter_defaults(), **given})
    assert (found.max_gb, found.interval, found.prefix) == (1.0, 1.0, '2026')
    assert (found.stable_frames, found.extra_topics) == (4, ('/a',))
    for nothing in ([], [''], '', None):
        assert recipe_from({'out': 'x', 'extra_topics': nothing}).extra_topics == ()


def test_parameters_that_do_not_fit_are_told_with_what_was_found_all_at_once():
    with pytest.raises(RecipeError) as refused:
        recipe_from({'mode': 'never', 'max_gb': True, 'interval': 'often'})
    told = str(refused.value)
    assert 'out: is required; give it as -p out:=' in told
    assert "mode: input should be 'continuous'" in told
    for found in ("found 'never'", 'found True', "found 'often'"):
        assert found in told


def test_the_verb_refuses_parameters():
    refuse_parameters([])
    with pytest.raises(RecipeError, match=r'give them as --mode, --split-mb'):
        refuse_parameters(iter(['mode', 'split_mb']))


@pytest.mark.parametrize('nothing', ['', 'none'])
def test_no_topic_can_be_said_everywhere(nothing, tmp_path):
    assert RecordRecipe(out=tmp_path, depth_topic=nothing).depth_topic == ''
    chosen = chosen_parameters({**NOTHING, 'out': 'x', 'depth_topic': 'none'})
    assert recipe_from({**parameter_defaults(), **chosen}).depth_topic == ''
    assert chosen_parameters({**NOTHING, 'extra_topics': '[]'}) == {'extra_topics': ['']}


def test_only_launch_arguments_that_were_given_become_parameters(monkeypatch, tmp_path):
    assert chosen_parameters(NOTHING) == {}
    monkeypatch.setenv('HOME', str(tmp_path))
    given = {
        **NOTHING, 'out': '~/bags', 'mode': 'interval', 'interval': '2', 'stable_frames': '4',
        'extra_topics': '[/odom, /scan]',
    }
    assert chosen_parameters(given) == {
        'out': str(tmp_path / 'bags'), 'mode': 'interval', 'interval': 2.0, 'stable_frames': 4,
        'extra_topics': ['/odom', '/scan'],
    }
    assert type(chosen_parameters(given)['interval']) is float
    assert chosen_parameters({**NOTHING, 'extra_topics': '/odom, /scan'}) == {
        'extra_topics': ['/odom', '/scan']
    }


@pytest.mark.parametrize(
    ('name', 'text'),
    [('interval', 'often'), ('stable_frames', '2.5'), ('extra_topics', '[/odom'),
     ('extra_topics', '/odom,,/scan'), ('extra_topics', '[[1]]')],
)
def test_launch_arguments_that_do_not_fit_are_refused_by_name(name, text):
    with pytest.raises(ValueError, match=f'{name}: expected'):
        chosen_parameters({**NOTHING, name: text})


def test_the_help_needs_no_ros():
    code = (
        'import sys\n'
        'sys.modules.update(dict.fromkeys(("rclpy", "diagnostic_msgs", "rcl_interfaces")))\n'
        'from edgevl_training.cli import main\n'
        'sys.exit(main(["record", "--help"]))\n'
    )
    done = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0
    for name in RecordRecipe.model_fields:
        assert f'--{name.replace("_", "-")} ' in done.stdout


def test_the_verb_lists_all_that_is_wrong(capsys):
    from edgevl_training.cli import main

    assert main(['record', '--mode', 'never', '--interval', '0', '--ros-args', '-r', 'a:=b']) == 2
    told = capsys.readouterr().err
    assert '3 things to mend' in told
    assert '--out: is required' in told


def test_camera_info_is_the_sibling_of_the_image():
    found = names()
    assert found[Role.COLOR_INFO] == ('/camera/color/camera_info',)
    assert found[Role.DEPTH_INFO] == ('/camera/aligned_depth_to_color/camera_info',)
    assert names(rgb_topic=f'{RGB}/compressed')[Role.COLOR_INFO] == found[Role.COLOR_INFO]
    assert Role.DEPTH not in names(depth_topic='')


def test_transports_are_sought_in_order():
    assert names()[Role.COLOR] == (RGB, f'{RGB}/compressed', f'{RGB}/compressedDepth')
    assert names()[Role.DEPTH] == (DEPTH, f'{DEPTH}/compressedDepth', f'{DEPTH}/compressed')
    assert names(transport='raw')[Role.COLOR] == (RGB,)
    assert names(transport='compressed')[Role.DEPTH][0] == f'{DEPTH}/compressedDepth'
    assert names(rgb_topic=f'{RGB}/compressed')[Role.COLOR] == (f'{RGB}/compressed',)


def test_a_remapped_camera_takes_what_belongs_to_it_along():
    remapped = {
        'color/image_raw': '/camera/image', 'depth/image_raw': '/robot/depth/image_raw',
        '/robot/depth/image_raw/compressed': '/jpeg', '/camera/camera_info': '/info',
    }
    options = RecordRecipe(
        out=Path('x'), rgb_topic='color/image_raw', depth_topic='depth/image_raw'
    )
    wanted = {w.role: w.names for w in wanted_topics(options, lambda n: remapped.get(n, n))}
    assert wanted[Role.COLOR] == (
        '/camera/image', '/camera/image/compressed', '/camera/image/compressedDepth'
    )
    assert wanted[Role.COLOR_INFO] == ('/info',)
    assert '/jpeg' in wanted[Role.DEPTH]
    with pytest.raises(RecipeError, match='found /one twice'):
        wanted_topics(options, lambda _: '/one')


def test_every_topic_is_recorded_once():
    options = RecordRecipe(out=Path('x'), extra_topics=(RGB, '/odom', '/odom', '/tf_static'))
    wanted = [w.names[0] for w in wanted_topics(options)]
    assert len(wanted) == len(set(wanted)) == 6


def test_a_second_choice_is_taken_only_when_the_first_does_not_come():
    wanted = Wanted(Role.COLOR, (RGB, f'{RGB}/compressed'))
    seen = {}
    assert found_name(wanted, {}, seen, 0.0) is None
    graph = {f'{RGB}/compressed': [COMPRESSED]}
    assert found_name(wanted, graph, seen, 10.0) is None
    assert found_name(wanted, {**graph, RGB: [IMAGE]}, dict(seen), 10.1) == RGB
    assert found_name(wanted, graph, seen, 11.0) == f'{RGB}/compressed'


def test_the_image_topics_that_exist_are_named_for_one_that_does_not():
    graph = {'/webcam/image': [IMAGE], '/jpeg': [COMPRESSED], '/odom': ['nav_msgs/msg/Odometry']}
    told = explain_absence(Wanted(Role.COLOR, (RGB,)), graph)
    assert told == (
        f'{RGB}: nobody publishes it; still waiting '
        '(image topics that exist: /jpeg, /webcam/image)'
    )
    assert 'image topics' not in explain_absence(Wanted(Role.OTHER, ('/scan',)), graph)


def test_a_topic_of_another_type_is_no_camera():
    wanted = Wanted(Role.COLOR, ('/chatter', '/chatter/compressed'))
    graph = {'/chatter': ['std_msgs/msg/String'], '/webcam': [IMAGE]}
    assert found_name(wanted, graph, {}, 0.0) is None
    assert explain_absence(wanted, graph) == (
        f'/chatter: expected {IMAGE} or {COMPRESSED}, found std_msgs/msg/String; still waiting '
        '(image topics that exist: /webcam)'
    )
    both = {'/chatter': ['std_msgs/msg/String', IMAGE]}
    assert TopicFinder([wanted], 0.0).find(both, 0.0) == [(wanted, '/chatter', IMAGE)]


def test_a_topic_about_to_be_taken_is_not_missed():
    wanted = Wanted(Role.COLOR, (RGB, f'{RGB}/compressed'))
    finder = TopicFinder([wanted], 0.0)
    graph = {f'{RGB}/compressed': [COMPRESSED]}
    assert finder.find(graph, 9.9) == []
    assert finder.complaints(graph, 10.0) == ([], True)


def test_missed_topics_are_named_after_a_while_and_again_until_they_come():
    finder = TopicFinder(wanted_topics(RecordRecipe(out=Path('x'), depth_topic='')), 0.0)
    graph = {'/odom': ['nav_msgs/msg/Odometry']}
    assert finder.find(graph, 1.0) == []
    assert finder.complaints(graph, 4.9) == ([], False)
    (complaint,), due = finder.complaints(graph, 5.0)
    assert complaint.startswith(RGB), 'camera_info and /tf_static may be absent'
    assert due
    assert finder.complaints(graph, 10.0) == ([complaint], False)
    assert finder.complaints(graph, 35.0) == ([complaint], True)
    ((wanted, *found),) = finder.find({RGB: [IMAGE]}, 36.0)
    assert found == [RGB, IMAGE]
    finder.settle(wanted)
    assert finder.complaints(graph, 37.0) == ([], False)


def profile(reliability, durability):
    forever = SimpleNamespace(nanoseconds=2**63 - 1)
    return SimpleNamespace(
        history=3, depth=0, reliability=reliability, durability=durability, deadline=forever,
        lifespan=forever, liveliness=1, liveliness_lease_duration=forever,
        avoid_ros_namespace_conventions=False,
    )


def test_a_subscription_asks_for_what_every_publisher_offers():
    reliable, best_effort, latched = profile(1, 2), profile(2, 2), profile(1, 1)
    assert request_for([reliable]) == Request(reliable=True, transient_local=False)
    assert request_for([reliable, best_effort]) == Request(False, False)
    assert request_for([latched, latched]) == Request(True, True)
    assert request_for([latched, reliable]) == Request(True, False)
    assert str(Request(True, False)) == 'reliable, volatile'
    topic = describe('/map', 'a/msg/B', Role.OTHER, [SimpleNamespace(qos_profile=latched)])
    assert topic.latched
    assert topic.type_hash == '', 'Humble knows none'


def test_offers_are_written_down_as_rosbag2_does():
    (written,) = yaml.safe_load(offered_qos([profile(2, 1)]))
    assert written['deadline'] == {'sec': 9223372036, 'nsec': 854775807}
    assert (written['reliability'], written['durability']) == (2, 1)
    assert list(written) == [
        'history', 'depth', 'reliability', 'durability', 'deadline', 'lifespan', 'liveliness',
        'liveliness_lease_duration', 'avoid_ros_namespace_conventions',
    ]


def test_definitions_hold_every_type_once(tmp_path, monkeypatch):
    texts = {
        'a_msgs/Outer': '# Comment\nb_msgs/Inner[<=3] many\nb_msgs/msg/Inner one\nLocal local\n'
                        'string<=5 text\nuint8 KIND=3\n',
        'a_msgs/Local': 'float64[3] xyz\n',
        'b_msgs/Inner': 'int32 value  # not Other other\n',
    }
    for name, text in texts.items():
        package, _, kind = name.partition('/')
        path = tmp_path / 'share' / package / 'msg' / f'{kind}.msg'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/nowhere:{tmp_path}')
    parts = definition_of('a_msgs/msg/Outer').split('=' * 80 + '\n')
    assert [part.splitlines()[0] for part in parts] == [
        '# Comment', 'MSG: b_msgs/Inner', 'MSG: a_msgs/Local'
    ]
    assert definition_of('a_msgs/msg/Absent') is None


def test_definitions_of_this_installation_are_understood():
    pytest.importorskip('sensor_msgs', reason='sensor_msgs is not installed')
    from rosbags.typesys import get_types_from_msg, get_typestore, Stores

    for name in ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CameraInfo'):
        types = get_types_from_msg(definition_of(name), name)
        store = get_typestore(Stores.ROS2_HUMBLE)
        assert types[name] == store.fielddefs[name]
        assert 'builtin_interfaces/msg/Time' in types
