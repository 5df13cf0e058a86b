"""Tell systemd when the service is ready and when it stops."""
import logging
import os
import re
import socket

logger = logging.getLogger(__name__)


def notify(state: str) -> None:
    """Send a state, such as "READY=1", to systemd if it started the service (sd_notify(3)); log a failure.

    One datagram needs no library.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            # "@" stands for the NUL byte that an abstract socket's name begins with.
            sender.connect(re.sub("^@", "\0", address))
            sender.send(state.encode())
    except OSError as error:
        logger.warning("NOTIFY_SOCKET %s does not take %s: %s", address, state, error)
