"""Start the service as wsgi.py does, with other limits: limited_server.py PROJECT NAME=VALUE...

The names are those of wsgi.py, and of the module for connections.
"""
import sys

sys.path.insert(0, sys.argv[1])

import wsgi  # noqa: E402
from payments_service.server import channel  # noqa: E402

for limit in sys.argv[2:]:
    name, _, value = limit.partition("=")
    module = wsgi if hasattr(wsgi, name) else channel
    assert hasattr(module, name)
    setattr(module, name, int(value))
wsgi.main()
