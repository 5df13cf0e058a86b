"""A headless Chromium"""
import json
import os
import select
import shutil
import signal

from .tokens import make_token
from .waiting import wait_until

BROWSER = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)

# No access to the network. In containers root has no sandbox and little shared memory.
OPTIONS = """--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run
    --no-proxy-server --disable-background-networking --disable-component-update --disable-sync""".split()
RESOLVE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"


class Browser:
    """A headless Chromium and its newest tab, driven by its DevTools protocol: JSON before NULs, on its fds 3 and 4."""

    def __init__(self, folder):
        self.output, fd_4 = os.pipe()
        fd_3, self.input = os.pipe()
        log = os.O_WRONLY | os.O_CREAT
        self.pid = os.posix_spawn(
            BROWSER,
            [BROWSER, *OPTIONS, RESOLVE, "--remote-debugging-pipe", f"--user-data-dir={folder}/profile"],
            os.environ | {"HOME": str(folder)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, f"{folder}/browser.log", log, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, fd_3, 3),
                (os.POSIX_SPAWN_DUP2, fd_4, 4),
            ],
            setsid=True,
        )
        os.close(fd_3)
        os.close(fd_4)
        self.received = b""
        self.called = 0
        self.session = {}
        self.events = []

    def open(self):
        """Open a tab. Its events are collected in `events`."""
        self.session, self.events = {}, []
        target = self.call("Target.createTarget", url="about:blank")
        self.session = {"sessionId": self.call("Target.attachToTarget", **target, flatten=True)["sessionId"]}
        for domain in ("Network", "Log", "Runtime", "Audits"):
            self.call(f"{domain}.enable")

    def close(self):
        """End it."""
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.input)
        os.close(self.output)

    def call(self, method, **params):
        """Return the result of a method of the protocol."""
        self.called += 1
        message = {"id": self.called, "method": method, "params": params} | self.session
        os.write(self.input, json.dumps(message).encode() + b"\0")
        while (message := self.receive()).get("id") != self.called:
            if message.get("sessionId") == self.session.get("sessionId"):
                self.events.append(message)
        assert "error" not in message, message
        return message["result"]

    def receive(self):
        """Return its next message."""
        while b"\0" not in self.received:
            assert select.select([self.output], [], [], 60)[0]
            received = os.read(self.output, 1 << 16)
            assert received, "Chromium has ended"
            self.received += received
        message, _, self.received = self.received.partition(b"\0")
        return json.loads(message)

    def run(self, script):
        """Run a script in the page and return its result."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, script):
        """Wait until a script's result is true and return it."""
        return wait_until(lambda: self.run(script))

    def visit(self, address, token=None):
        """Open an address in a new tab, signed in by a cookie with a token, by default one that grants everything."""
        self.open()
        self.call("Network.clearBrowserCookies")
        cookie = {"name": "accessToken", "value": make_token() if token is None else token}
        if token != "":
            self.call("Network.setCookie", url=address, **cookie, httpOnly=True, sameSite="Lax")
        self.call("Page.navigate", url=address)

    def click(self, selector):
        """Click an element as a user does, so that the page may use the clipboard."""
        script = f"document.querySelector('{selector}').click()"
        self.call("Runtime.evaluate", expression=script, userGesture=True)

    def asked(self):
        """Return the URLs that the page has requested, without data URLs."""
        self.run("0")
        sent = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent if not params["request"]["url"].startswith("data:")]

    def complaints(self):
        """Return what the console shows and what the page's Content-Security-Policy blocked."""
        self.run("0")
        return [
            event
            for event in self.events
            if event["method"] in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
            or event["method"] == "Audits.issueAdded"
            and event["params"]["issue"]["code"] == "ContentSecurityPolicyIssue"
        ]


SHOWN_OPERATIONS = """[...document.querySelectorAll(".opblock")].map(block => [
    block.querySelector(".opblock-summary-method").innerText,
    block.querySelector(".opblock-summary-path").dataset.path,
    block.querySelector(".permission").innerText,
])"""


class Page(Browser):
    """The page /docs in a browser."""

    def show(self, address, token=None):
        """Show the page at an address, as `visit` does."""
        self.visit(address, token)
        self.wait_for("document.querySelectorAll('.opblock').length")

    def sign_in_status(self):
        """Return what the page says of the sign-in."""
        return self.wait_for("document.querySelector('.sign-in').innerText")

    def authorize(self, token):
        """Enter a token."""
        self.click(".btn.authorize")
        self.wait_for("!!document.querySelector('#auth-bearer-value')")
        self.run("document.querySelector('#auth-bearer-value').focus()")
        self.call("Input.insertText", text=token)
        self.click(".modal-btn.authorize")
        self.wait_for("!document.querySelector('#auth-bearer-value')")
        self.click(".btn-done")

    def copy_curl(self):
        """Copy the command for curl that is shown, and return what the clipboard has."""
        self.call("Browser.grantPermissions", permissions=["clipboardReadWrite"])
        self.call("Page.bringToFront")
        self.click(".curl-command .copy-to-clipboard button")
        self.run("navigator.clipboard.readText().then(text => { window.copied = text; })")
        return self.wait_for("window.copied")

    def try_out(self, method, path, **inputs):
        """Expand an operation, execute it with its example, and return the status and the body that are shown.

        `inputs` has texts for its parameters, and for its `body`.
        """
        block = f"document.querySelector('.opblock-{method}:has([data-path=\"{path}\"])')"
        for button in (".opblock-summary-control", ".try-out__btn"):
            self.wait_for(f"!!{block}.querySelector('{button}')")
            self.run(f"{block}.querySelector('{button}').click()")
        for name, text in inputs.items():
            field = ".body-param__text" if name == "body" else f"tr[data-param-name={name}] input"
            self.wait_for(f"!!{block}.querySelector('{field}')")
            self.run(f"{block}.querySelector('{field}').select()")
            self.call("Input.insertText", text=text)
            # The page reads it at once when the user goes on.
            self.run("document.activeElement.blur()")
        self.wait_for(f"!!{block}.querySelector('.execute')")
        self.run(f"{block}.querySelector('.execute').click()")
        shown = f"{block}.querySelector('.live-responses-table .response')"
        self.wait_for(f"!!{shown}?.querySelector('pre')")
        return (
            int(self.run(f"{shown}.querySelector('.response-col_status').innerText")),
            self.run(f"{shown}.querySelector('pre').innerText"),
        )


class CashUpPage(Browser):
    """The page /payments/cash-up in a browser."""

    def show(self, address, token=None, width=1280):
        """Show the page at an address, as `visit` does, in a window of that width, and wait until it has loaded."""
        self.visit(address, token)
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        return self.settle()

    def settle(self):
        """Wait until everything is loaded. Return what the page says of that."""
        return self.wait_for("/^(As of|Not)/.exec(document.querySelector('#status')?.textContent)?.input")

    def read(self, selector):
        """Return the text of an element as it is shown, with a blank for each line break and tab."""
        shown = self.wait_for(f"document.querySelector('{selector}')?.innerText")
        return " ".join(shown.split())

    def has(self, selector, text):
        """Wait until an element shows a text."""
        wait_until(lambda: text in self.read(selector))

    def type(self, element, text):
        """Type a text into an element in place of what it holds."""
        self.run(f"{element}.select()")
        self.call("Input.insertText", text=text)

    def count(self, line, counted, remaining=None):
        """Type what was counted of a line and, for cash, what is left in the drawer."""
        for place, text in enumerate([counted, remaining]):
            if text is not None:
                self.type(f"({FIND_LINE % line}).querySelectorAll('input')[{place}]", text)

    def double_click(self, selector):
        """Click an element twice with the mouse."""
        script = f"""(() => {{
            const element = document.querySelector('{selector}');
            element.scrollIntoView({{block: "center"}});
            const {{left, top, width, height}} = element.getBoundingClientRect();
            return {{x: Math.round(left + width / 2), y: Math.round(top + height / 2)}};
        }})()"""
        place = self.run(script)
        for clicks in (1, 2):
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=clicks, **place)

    def wait_for_event(self, method):
        """Wait for an event of the protocol and return its parameters."""

        def find():
            self.run("0")
            return next((event["params"] for event in self.events if event["method"] == method), None)

        return wait_until(find)


# The fieldset of a line that can be counted.
FIND_LINE = """[...document.querySelectorAll("#count-lines fieldset")]
    .find(line => line.querySelector("legend").textContent === "%s")"""
