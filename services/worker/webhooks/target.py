"""The URL of a webhook, parsed once and strictly: the checked URL is the one that is connected to."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from yarl import URL

MAX_URL = 2048
PORTS = {"http": 80, "https": 443}
ALLOWED = re.compile(r"[!-~\u00a1-\U0010ffff]+")
NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
LOCAL_SUFFIXES = ("localhost", "local", "internal", "home.arpa", "localdomain", "lan", "onion")


class BadTarget(ValueError):
    """A URL that is not allowed, and the reason."""


@dataclass(frozen=True, slots=True)
class Target:
    """`host` is in lower case and ASCII (IDNA), without a trailing dot or brackets; `path` includes its query."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str, *, https_only: bool, local_names: bool = False) -> "Target":
        """Raises `BadTarget`. `local_names` allows names that are never public, such as `localhost`."""
        parts = _split(url)
        if parts.scheme not in PORTS:
            raise BadTarget("must begin with https://")
        if parts.scheme == "http" and https_only:
            raise BadTarget("must begin with https://; plain http is not allowed here")
        if parts.raw_user is not None or parts.raw_password is not None:
            raise BadTarget("must not contain a user name or password")
        if parts.raw_fragment:
            raise BadTarget("must not have a fragment")
        if not parts.port:
            raise BadTarget("has an invalid port")
        host = _host(parts.raw_host or "", local_names=local_names)
        return cls(parts.scheme, host, parts.port, parts.raw_path_qs)

    @property
    def is_address(self) -> bool:
        return ":" in self.host or self.host.replace(".", "").isdigit()

    @property
    def lane(self) -> str:
        """Return the identity of a host for the limits."""
        return f"{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """Return the value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def _split(url: str) -> URL:
    if len(url) > MAX_URL:
        raise BadTarget(f"must be at most {MAX_URL} characters")
    if not ALLOWED.fullmatch(url) or "\\" in url:
        raise BadTarget("must be a URL without spaces, backslashes and control characters")
    try:
        return URL(url)
    except (ValueError, UnicodeError):
        raise BadTarget("is not a URL") from None


def _host(raw: str, *, local_names: bool) -> str:
    host = raw.lower().removesuffix(".")
    if ":" in host and "%" not in host:
        return _checked(IPv6Address, host)
    labels = host.split(".")
    if not all(0 < len(label) < 64 and re.fullmatch(r"[a-z0-9_-]+", label) for label in labels) or len(host) > 253:
        raise BadTarget("has no valid host")
    # As in browsers: a host that ends in a number is an IPv4 address, and only its ordinary notation is accepted.
    if NUMBER.fullmatch(labels[-1]):
        return _checked(IPv4Address, host)
    if not local_names and (len(labels) == 1 or any(host.endswith(f".{suffix}") for suffix in LOCAL_SUFFIXES)):
        raise BadTarget("must name a host on the internet")
    return host


def _checked(kind: type[IPv4Address] | type[IPv6Address], host: str) -> str:
    try:
        return str(kind(host))
    except AddressValueError:
        raise BadTarget("has an IP address in a form that is not accepted") from None
