"""Start the service as wsgi.py does, with other limits for its connections: limited_server.py PROJECT NAME=VALUE..."""
import sys

sys.path.insert(0, sys.argv[1])

import wsgi  # noqa: E402
from payments_service.server import channel  # noqa: E402

for limit in sys.argv[2:]:
    name, _, value = limit.partition("=")
    assert hasattr(channel, name)
    setattr(channel, name, int(value))
wsgi.main()
