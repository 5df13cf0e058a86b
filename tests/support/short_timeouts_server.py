"""Start the service as wsgi.py does, with short timeouts for slow clients"""
import sys

sys.path.insert(0, sys.argv[1])

import wsgi  # noqa: E402
from payments_service.server import channel  # noqa: E402

channel.READ_TIMEOUT_SECONDS = channel.WRITE_TIMEOUT_SECONDS = channel.BLOCKED_THREAD_TIMEOUT_SECONDS = 1
channel.BLOCK_THREAD_BYTES = 24 * 1024 * 1024
wsgi.main()
