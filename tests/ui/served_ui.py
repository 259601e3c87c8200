"""The ui of a folder, served by a thread."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Event, Thread

import trio
from waiting import HANG_S

from lens.pricing import standard_book
from lens.server import open_listeners, serve
from lens.ui.app import App, addresses
from lens.ui.folder import Folder


@contextmanager
def served(root):
    """The address to open, as long as the block lasts."""
    told, ready = {}, Event()

    async def main():
        listeners = await open_listeners("127.0.0.1:0")
        hosts = [listeners[0].socket.getsockname()[:2]]
        with trio.CancelScope() as told["scope"]:
            told["url"], told["token"] = addresses(hosts, "a-token")[0], trio.lowlevel.current_trio_token()
            ready.set()
            await serve(listeners, App(Folder(root), standard_book(), "a-token", "127.0.0.1").handler)

    thread = Thread(target=trio.run, args=(main,))
    thread.start()
    ready.wait(HANG_S)
    try:
        yield told["url"]
    finally:
        told["token"].run_sync_soon(told["scope"].cancel)
        thread.join(HANG_S)
