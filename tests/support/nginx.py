"""nginx with the shipped configuration"""
import grp
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from .postgresql import USER
from .project import PROJECT
from .server import Server
from .waiting import wait_until

# PATH may lack the folder that Debian installs it in.
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
SITE = (PROJECT / "payments_service" / "deploy" / "nginx.conf").read_text()

# The main configuration that includes the site, in a folder of the test: like Debian's, with its examples for gzip.
MAIN_CONFIGURATION = """{user}
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log stderr;
events {{ }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type application/octet-stream;
    gzip on;
    gzip_vary on;
    gzip_proxied any;
    gzip_types text/plain text/css application/json application/javascript text/xml text/javascript;
    include {folder}/site;
}}
"""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def example(line: str) -> str:
    """Return the shipped configuration with an example line enabled."""
    assert SITE.count(f"#{line}") == 1
    return SITE.replace(f"#{line}", line)


class Nginx(Server):
    """nginx in a process of its own, with a site file, in front of services on the given ports."""

    def __init__(self, site: str, *ports: int) -> None:
        # Not below pytest's folder, which only its own user can read.
        self.folder = Path(tempfile.mkdtemp(prefix="payments-nginx-"))
        self.port = free_port()
        replacements = {"listen 80;": f"listen 127.0.0.1:{self.port};", "listen [::]:80;": ""}
        replacements["/var/log/nginx"] = self.folder
        replacements |= {f"127.0.0.1:{9154 + index} ": f"127.0.0.1:{port} " for index, port in enumerate(ports)}
        for shipped, here in replacements.items():
            assert shipped in site
            site = site.replace(shipped, str(here))
        user = ""
        if USER:
            # As on Debian: root starts it, and another user runs the workers.
            self.folder.chmod(0o755)
            user = f"user {USER['user']} {grp.getgrgid(USER['group']).gr_name};"
        (self.folder / "site").write_text(site)
        (self.folder / "conf").write_text(MAIN_CONFIGURATION.format(folder=self.folder, user=user))
        command = [NGINX, "-p", self.folder, "-e", "stderr", "-c", self.folder / "conf"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.log = []
        self.serves_or_ended = threading.Event()
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()
        wait_until(self.takes_connections)

    def takes_connections(self) -> bool:
        """Tell whether it accepts connections. Fails if it has ended."""
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        except OSError:
            assert self.process.poll() is None, self.log
            return False

    def access_log(self) -> str:
        """Return its access log."""
        return (self.folder / "payments.log").read_text()
