"""A client to be checked by `farend check-client`: Chromium, without a window. Its page sends back what it gets."""

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PAGE = """<!doctype html><script>
const client = new WebSocket(%r)
client.binaryType = "arraybuffer"
client.onmessage = (event) => client.send(event.data)
</script>"""


def chromium() -> str | None:
    """Where it is; None where it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def main(url: str) -> None:
    program = chromium()
    if program is None:
        sys.exit("Chromium is not installed")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        page = Path(home, "page.html")
        page.write_text(PAGE % url)
        arguments = [program, *OPTIONS, f"--user-data-dir={home}/profile", page.as_uri()]
        browser = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            browser.wait()
        finally:
            browser.kill()
            browser.wait()


if __name__ == "__main__":
    main(sys.argv[1])
