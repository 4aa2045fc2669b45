"""Where the model is and which key opens it, checked before anything is sent.

The one idea: one environment variable, ``BEAMWRIGHT_MODELS=loopback``, forbids every address outside this machine; with
it set, nothing can reach a provider by mistake. The key lives in an `Endpoint` only, which is never recorded.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from agent.language_model import ModelError
from agent.settings import ModelSettings

SWITCH_VARIABLE = "BEAMWRIGHT_MODELS"
_PROVIDER_URL = "https://api.openai.com/v1"
_PLACEHOLDER = "no-key"
"""Sent where there is no key: local servers do not look at it, but the protocol wants one."""


@dataclass(frozen=True)
class Endpoint:
    """A checked address and its key."""

    url: str
    key: str = field(repr=False)
    is_loopback: bool

    def without_key(self, text: str) -> str:
        """The text of a server, which may have repeated the key."""
        return text if self.key == _PLACEHOLDER else text.replace(self.key, "[key]")


def endpoint(settings: ModelSettings) -> Endpoint:
    """The address and key that ``settings`` and the environment name.

    Raises
    ------
    ModelError
        The address is no HTTP address, is forbidden, or needs a key that the environment does not hold.
    """
    url = settings.base_url or os.environ.get("OPENAI_BASE_URL") or _PROVIDER_URL
    host = _host(url)
    is_loopback = _is_loopback(host)
    _check_switch(url, is_loopback)
    key = os.environ.get(settings.key_variable, "")
    if not key and url == _PROVIDER_URL:
        raise ModelError(
            f"the environment variable {settings.key_variable} is not set, and {url} needs a key. Set it, or name a "
            "server of your own with --base-url.",
            "key-refused",
        )
    return Endpoint(url, key or _PLACEHOLDER, is_loopback)


def _host(url: str) -> str:
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ModelError("the base URL holds a user name or password; put the key into the environment instead.")
    if parts.query or parts.fragment:
        raise ModelError(
            "the base URL holds a part after ? or #, which may be a key; leave it out, and put a key into the "
            "environment instead."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ModelError(f"the base URL {url!r} is no HTTP address; write it like http://localhost:8000/v1.")
    return parts.hostname


def _check_switch(url: str, is_loopback: bool) -> None:
    switch = os.environ.get(SWITCH_VARIABLE, "")
    if switch not in ("", "loopback"):
        raise ModelError(f"{SWITCH_VARIABLE}={switch!r} is not known; it is 'loopback' or not set.")
    if switch and not is_loopback:
        raise ModelError(
            f"{SWITCH_VARIABLE}=loopback forbids {url}: only models on this machine may be asked. Unset it to allow "
            "other addresses.",
            "connection",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
