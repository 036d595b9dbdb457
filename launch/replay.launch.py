# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Label what a recorded camera saw.

Example: ros2 launch edgevl_ros replay.launch.py bag:=drive rgb_topic:=/camera/color/image_raw
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from edgevl_ros.nodes.launch_arguments import parse_boolean
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

PERCEPTION = str(
    Path(get_package_share_directory('edgevl_ros')) / 'launch' / 'perception.launch.py'
)


def play_bag(context):
    """Play the bag with its clock, and end the launch when it ends."""
    command = ['ros2', 'bag', 'play', LaunchConfiguration('bag').perform(context),
               '--clock', '100', '--rate', LaunchConfiguration('rate').perform(context),
               # The node needs a moment to open its bundle and to be discovered.
               '--delay', LaunchConfiguration('delay').perform(context)]
    if parse_boolean('loop', LaunchConfiguration('loop').perform(context)):
        command.append('--loop')
    player = ExecuteProcess(cmd=command, output='screen')
    return [
        player,
        RegisterEventHandler(OnProcessExit(target_action=player, on_exit=end_launch)),
    ]


def end_launch(event, _context):
    """End the launch with the player, and say whether it got to the end of the bag."""
    ended = 'the bag has ended' if event.returncode == 0 else (
        f'ros2 bag play failed with exit status {event.returncode}; see its output above'
    )
    return [EmitEvent(event=Shutdown(reason=ended))]


def generate_launch_description():
    """Describe the launch: perception.launch.py in simulated time, and the player."""
    return LaunchDescription(
        [
            DeclareLaunchArgument('bag', description='rosbag2 folder or file to play.'),
            DeclareLaunchArgument('rate', default_value='1.0', description='Playing speed.'),
            DeclareLaunchArgument(
                'delay', default_value='3.0', description='Seconds before playing starts.'
            ),
            DeclareLaunchArgument(
                'loop', default_value='false', description='Play the bag again and again.'
            ),
            # Declares every argument of perception.launch.py too, such as rgb_topic.
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(PERCEPTION),
                launch_arguments={'use_sim_time': 'true'}.items(),
            ),
            OpaqueFunction(function=play_bag),
        ]
    )
