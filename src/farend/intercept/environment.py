"""The environment's part: proxies that would swallow what is rerouted, and what makes a subprocess come here."""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
import threading
from pathlib import Path
from typing import Final

from farend.errors import MissingExtra
from farend.stage import tls

PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy")
BUNDLES: Final = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "WEBSOCKET_CLIENT_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)
"""Where programs look for the authorities that they trust: OpenSSL and what builds on it, then some by name."""


class PastTheProxy:
    """Keeps hosts out of the proxy that the environment names, while they are rerouted.

    Where there is a proxy, clients would dial it, and nobody would see the host that they mean.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[tuple[str, ...]] = []
        self._before: str | None = None
        self._written: str | None = None
        """What we have put into `no_proxy`; None while nothing there is ours."""

    def hold(self, hosts: tuple[str, ...]) -> None:
        """Let these hosts be reached with no proxy."""
        with self._lock:
            self._held.append(hosts)
            if self._written is None and any(os.environ.get(name) or os.environ.get(name.upper()) for name in PROXIES):
                self._before = os.environ.get("no_proxy")
                self._write()
            elif self._is_ours:
                self._write()

    def release(self, hosts: tuple[str, ...]) -> None:
        """Hold them no more; after the last, the environment is as it was."""
        with self._lock:
            self._held.remove(hosts)
            if self._is_ours:
                self._write()
            if not self._held:
                self._written = None

    @property
    def _is_ours(self) -> bool:
        """Whether nobody else has changed it since we did."""
        return self._written is not None and self._written == os.environ.get("no_proxy")

    def _write(self) -> None:
        if self._held:
            before = os.environ.get("NO_PROXY") if self._before is None else self._before
            self._written = ",".join([*([before] if before else []), *(host for hosts in self._held for host in hosts)])
            os.environ["no_proxy"] = self._written
        elif self._before is None:
            del os.environ["no_proxy"]
        else:
            os.environ["no_proxy"] = self._before


past_the_proxy: Final = PastTheProxy()


def for_subprocesses(proxy: str, bundle: str | None) -> dict[str, str]:
    """The variables that let another program's connections come through `proxy`, and trust us."""
    variables = dict.fromkeys([*PROXIES[:3], *(name.upper() for name in PROXIES[:3])], proxy)
    variables |= {"no_proxy": "", "NO_PROXY": "", "NODE_USE_ENV_PROXY": "1"}
    if bundle is not None:
        variables |= dict.fromkeys(BUNDLES, bundle)
    return variables


def write_bundle() -> Path | None:
    """A file with the throw-away authority, and all that are trusted anyway; None without `trustme`."""
    try:
        ours = tls.authority().cert_pem.bytes()
    except MissingExtra:
        return None
    handle, name = tempfile.mkstemp(prefix="farend-", suffix=".pem")
    with open(handle, "wb") as file:
        file.write(ours + b"\n" + _trusted_anyway())
    return Path(name)


def _trusted_anyway() -> bytes:
    """The authorities that programs trust where nobody tells them otherwise."""
    file: str | None = ssl.get_default_verify_paths().cafile
    with contextlib.suppress(ImportError):
        import certifi

        file = certifi.where()
    return b"" if file is None else Path(file).read_bytes()
