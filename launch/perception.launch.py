# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Label what a camera sees.

Example: ros2 launch edgevl_ros perception.launch.py rgb_topic:=/camera/color/image_raw
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from edgevl_ros.nodes.launch_arguments import chosen_parameters
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PARAMS_FILE = str(
    Path(get_package_share_directory('edgevl_ros')) / 'config' / 'perception.yaml'
)

# An empty value leaves the parameter as the parameter file has it.
ARGUMENTS = (
    ('bundle', '', 'Folder of the bundle to run; empty for the one in params_file.'),
    ('rgb_topic', '/camera/color/image_raw', 'Colour image topic, without transport suffix.'),
    ('depth_topic', '/camera/aligned_depth_to_color/image_raw',
     'Depth image topic registered to colour, without transport suffix.'),
    ('image_transport', '',
     'raw, or compressed for JPEG or PNG colour and compressedDepth depth; '
     'empty for what params_file says.'),
    ('vocabulary', '',
     'Labels, "kitchen, corridor" or "[kitchen, corridor]"; empty for those in params_file.'),
    ('params_file', PARAMS_FILE, 'Parameter file of the node.'),
    ('namespace', '', 'Namespace of the node.'),
    ('use_sim_time', '', 'Take time from /clock (simulation, bags): true or false.'),
    ('log_level', 'info', 'debug, info, warn, error or fatal.'),
    ('autostart', '', 'Configure and activate at start: true (the default) or false.'),
)


def make_node(context):
    """Make the node action from the arguments of this launch."""
    arguments = {
        name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS
    }
    chosen = chosen_parameters(arguments)
    return [
        Node(
            package='edgevl_ros',
            executable='perception_node',
            name='edgevl_perception',
            namespace=arguments['namespace'],
            output='screen',
            parameters=[arguments['params_file'], *([chosen] if chosen else [])],
            remappings=[
                ('image', arguments['rgb_topic']),
                ('depth', arguments['depth_topic']),
            ],
            arguments=['--ros-args', '--log-level', arguments['log_level']],
        )
    ]


def generate_launch_description():
    """Describe the launch: arguments, then one node."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=make_node)])
