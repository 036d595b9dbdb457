# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rosbags of any age, format and state of repair, read without ROS."""

from edgevl_training.bags.bag import Bag, BagMessage, Loss, open_bag, Topic
from edgevl_training.bags.layout import find_bags
from edgevl_training.bags.topics import find_topics

__all__ = ['Bag', 'BagMessage', 'Loss', 'Topic', 'find_bags', 'find_topics', 'open_bag']
