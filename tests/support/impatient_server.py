"""Start the service as wsgi.py does, with less patience for slow clients"""
import sys

sys.path.insert(0, sys.argv[1])

import wsgi  # noqa: E402
from payments_service import server  # noqa: E402

server.PATIENCE_SECONDS = server.THREAD_SECONDS = 1
server.WAITING_BYTES = 24 * 1024 * 1024
wsgi.main()
