"""Virtual hosts on a shared broker, for tests whose messages no one else may consume."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from uuid import uuid4

from tests.support.backends.interface import RabbitBackend

_AT_ONCE = 8
# One call for many, because each rabbitmqctl may start its own Erlang.
_CHANGE = """
[ok = rabbit_vhost:delete(Name, <<"tests">>) || Name <- [{old}]],
[begin
   ok = rabbit_vhost:add(Name, <<"tests">>),
   ok = rabbit_auth_backend_internal:set_permissions(<<"{user}">>, Name, <<".*">>, <<".*">>, <<".*">>, <<"tests">>)
 end || Name <- [{new}]].
"""


class Vhosts:
    """Empty virtual hosts without policies, created and deleted several at a time; each is used once."""

    def __init__(self, rabbitmq: RabbitBackend) -> None:
        self._rabbitmq = rabbitmq
        self._free: list[str] = []
        self._used: list[str] = []

    def take(self) -> str:
        """Return the URL of an unused one."""
        if not self._free:
            self._free = [f"tests_{uuid4().hex[:12]}" for _ in range(_AT_ONCE)]
            self._change(self._free)
        return urlsplit(self._rabbitmq.url)._replace(path=f"/{self._free.pop()}").geturl()

    def give_back(self, url: str) -> None:
        """Give a virtual host back that is no longer used."""
        self._used.append(urlsplit(url).path[1:])

    def close(self) -> None:
        self._used += self._free
        self._free = []
        self._change([])

    def _change(self, new: list[str]) -> None:
        _change(self._rabbitmq, self._used, new)
        self._used = []


@contextmanager
def empty_vhost(rabbitmq: RabbitBackend, prefix: str = "tests") -> Iterator[str]:
    """Provide the URL of a single one."""
    name = f"{prefix}_{uuid4().hex[:12]}"
    _change(rabbitmq, [], [name])
    try:
        yield urlsplit(rabbitmq.url)._replace(path=f"/{name}").geturl()
    finally:
        _change(rabbitmq, [name], [])


def _change(rabbitmq: RabbitBackend, old: list[str], new: list[str]) -> None:
    user = urlsplit(rabbitmq.url).username or "guest"
    rabbitmq.rabbitmqctl("eval", _CHANGE.format(old=_binaries(old), new=_binaries(new), user=user))


def _binaries(names: list[str]) -> str:
    return ", ".join(f'<<"{name}">>' for name in names)
