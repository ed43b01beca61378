"""Gateways in front of the same stub services: ours, and the alternatives."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from json import dumps
from pathlib import Path
from uuid import uuid4

from shared.http.tokens import UserTokens, b64url
from tools.devstack.system.ports import free_port
from tools.devstack.system.processes import Child
from tools.lab.bench.bed import Bed
from tools.lab.bench.cpu import OTHER_CORE
from tools.lab.bench.wrk import Request

USERS = 500
NODE = Path("tools/lab/bench/peers/node")
NGINX_CONF = Path("tools/lab/bench/peers/nginx.conf")
TLS_FRONT_CONF = Path("tools/lab/bench/peers/tls_front.conf")
LUA_MODULE = Path("/usr/lib/nginx/modules/ngx_http_lua_module.so")
SECRET = "a secret that only the benchmarks know"
Started = tuple[Child, str]
"""A process and its URL."""


@dataclass(frozen=True)
class Served:
    """A running gateway. `requests` has one request per user; `first` has those for the warm-up, if they are different;
    `front` is a process in front of the gateway."""

    name: str
    child: Child
    url: str
    requests: Sequence[Request]
    first: Sequence[Request] | None = None
    front: Child | None = None

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in (self.child, self.front) if child]


class Audience:
    """Users with tokens, and the key set that verifies them."""

    def __init__(self, users: int = USERS) -> None:
        self._issuer = UserTokens([b64url(b"k" * 32)], ttl_s=24 * 3600)
        self.jwks = dumps(self._issuer.jwks)
        self.ids = [uuid4() for _ in range(users)]
        self._tokens = [self._issuer.issue(user_id, uuid4(), "user") for user_id in self.ids]

    def with_tokens(self, headers: Mapping[str, str]) -> list[Request]:
        return [Request("/v1/dashboard", {"Authorization": f"Bearer {token}", **headers}) for token in self._tokens]

    def plain(self, headers: Mapping[str, str] | None = None) -> list[Request]:
        return [Request(f"/dashboard/{user_id}", headers or {}) for user_id in self.ids]


def stub(bed: Bed, jwks: str, name: str = "stub", panel_bytes: int | None = None) -> str:
    """Start stub services whose panels have about this size, and return their URL."""
    port = free_port()
    keys = bed.folder / "jwks.json"
    keys.write_text(jwks)
    env = {"STUB_PANEL_BYTES": str(panel_bytes)} if panel_bytes else {}
    argv = ["-m", "tools.lab.bench.stub", str(port), str(keys)]
    bed.serving(bed.python(name, *argv, core=OTHER_CORE, env=env), port)
    return f"http://127.0.0.1:{port}"


def gateway_environment(bed: Bed, port: int, backends: Mapping[str, str], jwks_url: str) -> dict[str, str]:
    """Return the settings of our gateway in its default configuration, in front of these services."""
    return {
        "ENVIRONMENT": "development",
        "INTERNAL_TOKEN_SECRET": SECRET,
        "GATEWAY_PORT": str(port),
        "GATEWAY_INTERNAL_PORT": str(free_port()),
        **{f"GATEWAY_{name.upper()}_URL": url for name, url in backends.items()},
        "GATEWAY_JWKS_URL": f"{jwks_url}/.well-known/jwks.json",
        "GATEWAY_REDIS_URL": bed.backends.redis.url,
        "GATEWAY_RABBITMQ_URL": bed.backends.rabbitmq.url,
    }


def our_gateway(
    bed: Bed, backends: Mapping[str, str], jwks_url: str, tree: Path | None = None, panels: Path | None = None
) -> Started:
    """Start our gateway, from this checkout or from another one, with its own panels file or with this one."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = gateway_environment(bed, port, backends, jwks_url)
    if panels is not None:
        env["GATEWAY_PANELS_FILE"] = str(panels.absolute())
    name = "-".join(["gateway", *([tree.name] if tree else []), *([panels.stem] if panels else [])])
    command = [_python(tree), "-m", "tools.cli.main", "serve", "gateway"]
    return bed.ready(bed.start(name, *command, env=env, cwd=tree), f"{url}/readyz"), url


def _python(tree: Path | None) -> str:
    """Return the interpreter of the checkout's own environment, if it has one."""
    own = tree.absolute() / ".venv/bin/python" if tree else None
    return str(own) if own and own.exists() else sys.executable


def all_at(backend: str) -> dict[str, str]:
    return dict.fromkeys(("users", "orders", "worker"), backend)


def plain_fastapi(client: str) -> Callable[[Bed, str], Started]:
    def start(bed: Bed, backend: str) -> Started:
        port = free_port()
        child = bed.python(f"plain-{client}", "-m", "tools.lab.bench.peers.plain_gateway", str(port), backend, client)
        return bed.serving(child, port), f"http://127.0.0.1:{port}"

    return start


def fastify(script: str) -> Callable[[Bed, str], Started]:
    def start(bed: Bed, backend: str) -> Started:
        port = free_port()
        child = bed.start(f"fastify-{script}", "node", f"{script}.mjs", str(port), backend, cwd=NODE)
        return bed.serving(child, port), f"http://127.0.0.1:{port}"

    return start


def nginx(bed: Bed, backend: str, conf: Path = NGINX_CONF) -> Started:
    return _nginx(bed, conf, {"BACKEND": _port_of(backend)})


def tls_nginx(bed: Bed, backend: str, certificate: Path) -> Started:
    """Start the same with TLS; `certificate` has the chain and the key."""
    child, url = _nginx(bed, NGINX_CONF, {"BACKEND": _port_of(backend)}, certificate)
    return child, url.replace("http:", "https:")


def tls_front(bed: Bed, url: str, certificate: Path) -> Started:
    """Start an nginx that terminates TLS in front of the gateway."""
    child, front = _nginx(bed, TLS_FRONT_CONF, {"BACKEND": _port_of(url)}, certificate)
    return child, front.replace("http:", "https:")


def _nginx(bed: Bed, conf: Path, values: Mapping[str, str], certificate: Path | None = None) -> Started:
    port = free_port()
    folder = bed.folder / f"nginx-{port}"
    folder.mkdir()
    tls = f"ssl_certificate {certificate}; ssl_certificate_key {certificate};" if certificate else ""
    text = conf.read_text()
    listen = {"LISTEN": f"127.0.0.1:{port}{' ssl' if certificate else ''}", "TLS": tls}
    for name, value in {"FOLDER": str(folder), **listen, **values}.items():
        text = text.replace(f"@{name}@", value)
    (folder / "nginx.conf").write_text(text)
    child = bed.start(folder.name, nginx_binary() or "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"))
    return bed.serving(child, port), f"http://127.0.0.1:{port}"


def _port_of(url: str) -> str:
    return url.rpartition(":")[2]


def nginx_binary() -> str | None:
    return shutil.which("nginx", path="/usr/sbin:/usr/bin")


def needs_node() -> str | None:
    if not shutil.which("node"):
        return "node is not installed"
    return None if (NODE / "node_modules").is_dir() else f"`npm ci` has not been run in {NODE}"


def _needs_nginx() -> str | None:
    return None if nginx_binary() and LUA_MODULE.exists() else "nginx with its lua module is not installed"


def _needs_aiohttp() -> str | None:
    return None if find_spec("aiohttp") else "aiohttp is not installed"


PLAIN, AIOHTTP, MERGE, BATCHING, CAPTURE = (
    "FastAPI + httpx",
    "FastAPI + aiohttp",
    "Fastify + undici, merge",
    "Fastify + undici, batching",
    "nginx + lua",
)


@dataclass(frozen=True)
class Peer:
    start: Callable[[Bed, str], Started]
    missing: Callable[[], str | None] = lambda: None


PEERS = {
    PLAIN: Peer(plain_fastapi("httpx")),
    AIOHTTP: Peer(plain_fastapi("aiohttp"), _needs_aiohttp),
    MERGE: Peer(fastify("merge"), needs_node),
    BATCHING: Peer(fastify("batching"), needs_node),
    CAPTURE: Peer(nginx, _needs_nginx),
}
