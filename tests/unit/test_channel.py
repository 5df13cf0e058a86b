"""When a connection is closed because its client is too slow"""
from time import monotonic

import pytest

from payments_service.server.channel import WRITE_TIMEOUT_SECONDS, Channel


@pytest.fixture
def channel():
    """Make a connection without a socket, whose client has been silent for long."""
    made = Channel.__new__(Channel)
    made.requests, made.receiving_since = [], None
    made._last_activity = monotonic() - 2 * WRITE_TIMEOUT_SECONDS
    made.total_outbufs_len = 1
    return made


def test_an_unread_response_is_dropped_after_its_timeout(channel):
    channel.response_since = monotonic() - 2 * WRITE_TIMEOUT_SECONDS
    assert channel.is_overdue()


def test_a_response_that_took_long_to_make_is_not_dropped(channel):
    channel.response_since = monotonic()
    assert not channel.is_overdue()
