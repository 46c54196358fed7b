"""A real browser for tests: Chromium without a window, driven over its DevTools protocol by a pair of pipes.

The protocol is JSON, each message ended by a NUL: https://chromedevtools.github.io/devtools-protocol/.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ANSWER_S = 30.0
KEYS = {"Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40, "Tab": 9}
SHIFT = 8


class Browser:
    """One browser with one page; its profile lies in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number, self._left = folder, 0, b""

    def __enter__(self) -> Self:
        (told, self._tell), (self._hear, heard) = os.pipe(), os.pipe()
        flags = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --remote-debugging-pipe"
        profile = f"--user-data-dir={self._folder / 'profile'}"
        # Chromium reads from descriptor 3 and writes to 4.
        command = f'exec 3<&{told} 4>&{heard}; exec "$0" "$@"'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", command, str(CHROMIUM), *flags.split(), profile, "about:blank"],
            pass_fds=(told, heard),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(told)
        os.close(heard)
        os.set_blocking(self._hear, False)
        self._session = ""
        pages = self._ask("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._ask("Page.enable")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._tell)  # It ends when nobody is there to tell it anything.
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._hear)

    def open(self, address: str) -> None:
        """Go to an address, and wait until the page and its scripts are there."""
        self._ask("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def look(self, expression: str) -> Any:
        """What a JavaScript expression is on the page."""
        found = self._ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str, seconds: float = 20) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + seconds
        while not self.look(f"Boolean({expression})"):
            assert time.monotonic() < deadline, f"it did not come to {expression}"
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """Click the first thing that is found so, as soon as it can be seen."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.until(f"{found}?.checkVisibility()")
        self.look(f"{found}.click()")

    def type(self, text: str) -> None:
        """Put text where the cursor is, in the place of what is selected."""
        self._ask("Input.insertText", text=text)

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key and let it go."""
        facts: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        if shift:
            facts["modifiers"] = SHIFT
        for what in ("rawKeyDown", "keyUp"):
            self._ask("Input.dispatchKeyEvent", type=what, **facts)

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._tell, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + ANSWER_S
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._left:
            assert time.monotonic() < deadline and self._process.poll() is None, "the browser does not answer"
            try:
                self._left += os.read(self._hear, 1 << 16)
            except BlockingIOError:
                time.sleep(0.005)
        message, _, self._left = self._left.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found
