"""Headless Chromium driven over its own pipe (DevTools protocol), with nothing but the standard library.

It takes messages on descriptor 3 and answers on 4, each ended by a zero byte.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import time

from needs import need_program
from waiting import HANG_S

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def found():
    """Return the program, or skip the test where there is none."""
    return need_program(NAMES, "apt-get install chromium-headless-shell")


class Page:
    """One page in a browser of its own; a context manager. Everything it said is kept."""

    def __init__(self, folder, *, width=1280, height=900):
        self._folder, self._size = folder, f"{width},{height}"
        self._last, self._buffer = 0, b""
        self.events = []

    def __enter__(self):
        theirs_in, write_end = os.pipe()
        read_end, theirs_out = os.pipe()
        # They must be 3 and 4 in the child; free numbers above 9 keep one from overwriting the other.
        high_in, high_out = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out))
        arguments = [
            found(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
            f"--user-data-dir={self._folder}", f"--window-size={self._size}", "--no-first-run", "about:blank",
        ]  # fmt: skip
        shell = f'exec 3<&{high_in} 4>&{high_out} {high_in}<&- {high_out}>&-; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *arguments], pass_fds=(high_in, high_out), stderr=subprocess.DEVNULL
        )
        for descriptor in (theirs_in, theirs_out, high_in, high_out):
            os.close(descriptor)
        self._write, self._read = write_end, read_end
        self._session = None
        targets = self("Target.getTargets")["targetInfos"]
        page = next(t for t in targets if t["type"] == "page")
        self._session = self("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait(HANG_S)
        os.close(self._write)
        os.close(self._read)

    def __call__(self, method, **params):
        """Ask, and wait for the answer."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(HANG_S)
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _next(self, within_s):
        until = time.monotonic() + within_s
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(until - time.monotonic(), 0))
            chunk = os.read(self._read, 1 << 16) if ready else b""
            if not chunk:
                raise RuntimeError("the browser said nothing more")
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, url):
        """Load a page to its end."""
        self("Page.navigate", url=url)
        for _ in range(20 * HANG_S):
            if self.run("document.readyState") == "complete":
                return
            time.sleep(0.05)
        raise RuntimeError(f"{url} did not load")

    def run(self, script):
        """The value of an expression in the page."""
        answer = self("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description"))
        return answer["result"].get("value")

    def move(self, x, y):
        self("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key, code=None, number=None, modifiers=0):
        """A key down and up."""
        number = (
            number
            or {"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}[key]
        )
        for kind in ("rawKeyDown", "keyUp"):
            self(
                "Input.dispatchKeyEvent", type=kind, key=key, code=code or key, windowsVirtualKeyCode=number,
                modifiers=modifiers,
            )  # fmt: skip

    def drag(self, start, end):
        """The left button down at one place and up at another."""
        for kind, (x, y), buttons in (("mousePressed", start, 1), ("mouseMoved", end, 1), ("mouseReleased", end, 0)):
            button = "none" if kind == "mouseMoved" else "left"
            self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=buttons, clickCount=1)

    def touch(self, x, y):
        """A finger down and up again."""
        self("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def colours(self, scheme):
        """What the reader's system says: light or dark."""
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path, *, whole=True):
        shot = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self):
        return base64.b64decode(self("Page.printToPDF", printBackground=True)["data"])

    def complaints(self):
        """Errors of scripts, of the console and of the content policy."""
        said = [e for e in self.events if e.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled")]
        logged = [e for e in self.events if e.get("method") == "Log.entryAdded"]
        return [*said, *logged]

    def requested(self):
        """Addresses that were asked for."""
        sent = [e for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [e["params"]["request"]["url"] for e in sent]
