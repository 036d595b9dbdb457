# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One slot, newest wins, between real threads."""

import threading

from edgevl_ros.core.mailbox import Mailbox


def test_the_newest_replaces_and_is_counted():
    mailbox = Mailbox()
    for item in range(5):
        mailbox.put(item)
    assert mailbox.take(0) == 4
    assert mailbox.take(0) is None
    assert mailbox.replaced == 4


def test_a_waiting_reader_is_woken_by_an_item_and_by_closing():
    mailbox = Mailbox()
    taken = []

    def read():
        while not mailbox.closed:
            taken.append(mailbox.take())

    reader = threading.Thread(target=read)
    reader.start()
    mailbox.put('frame')
    while not taken:
        pass
    mailbox.close()
    reader.join(5)
    assert not reader.is_alive()
    assert taken[0] == 'frame'


def test_a_closed_mailbox_gives_nothing():
    mailbox = Mailbox()
    mailbox.put(1)
    mailbox.close()
    assert mailbox.take() is None


def test_no_item_is_taken_twice_and_all_are_accounted_for():
    mailbox = Mailbox()
    taken = []

    def read():
        while (item := mailbox.take()) is not None:
            taken.append(item)
            if item == 20000:
                return

    reader = threading.Thread(target=read)
    reader.start()
    for item in range(1, 20001):
        mailbox.put(item)
    reader.join(10)
    assert not reader.is_alive()
    assert taken == sorted(set(taken))
    assert len(taken) + mailbox.replaced == 20000
