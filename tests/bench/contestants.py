"""Gateways in front of the same stub services: ours, and the ways to do without it."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from uuid import UUID, uuid4

from services.local.ports import free_port
from services.local.processes import Child
from shared.tokens import UserTokens, b64url
from tests.bench.bed import Bed
from tests.bench.cpu import OTHER_CORE
from tests.bench.wrk import Request

USERS = 500
NODE = Path("tests/bench/peers/node")
NGINX_CONF = Path("tests/bench/peers/nginx.conf")
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")
LUA_MODULE = Path("/usr/lib/nginx/modules/ngx_http_lua_module.so")
SECRET = "a secret that only the benchmarks know"


@dataclass(frozen=True)
class Served:
    """A gateway that serves; `requests` are one for each user."""

    name: str
    child: Child
    url: str
    requests: Sequence[Request]


class Audience:
    """Users with tokens, and the key set that verifies them."""

    def __init__(self, users: int = USERS) -> None:
        tokens = UserTokens([b64url(b"k" * 32)], ttl_s=24 * 3600)
        self.jwks = dumps(tokens.jwks)
        self.ids = [uuid4() for _ in range(users)]
        self._tokens = [tokens.issue(user_id, uuid4(), "user") for user_id in self.ids]

    def with_tokens(self, headers: Mapping[str, str]) -> list[Request]:
        return [Request("/v1/dashboard", {"Authorization": f"Bearer {token}", **headers}) for token in self._tokens]

    def plain(self) -> list[Request]:
        return [plain_request(user_id) for user_id in self.ids]


def plain_request(user_id: UUID) -> Request:
    return Request(f"/dashboard/{user_id}", {})


def stub(bed: Bed, jwks: str, name: str = "stub") -> str:
    """The URL of stub services."""
    port = free_port()
    keys = bed.folder / "jwks.json"
    keys.write_text(jwks)
    bed.serving(bed.python(name, "-m", "tests.bench.stub", str(port), str(keys), core=OTHER_CORE), port)
    return f"http://127.0.0.1:{port}"


def gateway_environment(bed: Bed, port: int, backends: Mapping[str, str], jwks_url: str) -> dict[str, str]:
    """Our gateway as it is configured when nobody configures it, in front of these services."""
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


def our_gateway(bed: Bed, backends: Mapping[str, str], jwks_url: str) -> tuple[Child, str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = gateway_environment(bed, port, backends, jwks_url)
    return bed.ready(bed.python("gateway", "-m", "services.cli", "serve", "gateway", env=env), f"{url}/readyz"), url


def granian_gateway(bed: Bed, backend: str) -> tuple[Child, str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = gateway_environment(bed, port, all_at(backend), backend)
    options = ["--interface", "asgi", "--loop", "uvloop", "--workers", "1", "--no-ws", "--log-level", "warning"]
    app = ["--factory", "tests.bench.peers.granian_gateway:create_app"]
    child = bed.python("granian", "-m", "granian", *options, "--port", str(port), *app, env=env)
    return bed.ready(child, f"{url}/readyz"), url


def all_at(backend: str) -> dict[str, str]:
    return dict.fromkeys(("users", "orders", "worker"), backend)


def plain_fastapi(bed: Bed, backend: str) -> tuple[Child, str]:
    port = free_port()
    child = bed.python("plain", "-m", "tests.bench.peers.plain_gateway", str(port), backend)
    return bed.serving(child, port), f"http://127.0.0.1:{port}"


def fastify(script: str) -> Callable[[Bed, str], tuple[Child, str]]:
    def start(bed: Bed, backend: str) -> tuple[Child, str]:
        port = free_port()
        child = bed.start(f"fastify-{script}", "node", f"{script}.mjs", str(port), backend, cwd=NODE)
        return bed.serving(child, port), f"http://127.0.0.1:{port}"

    return start


def nginx(bed: Bed, backend: str, conf: Path = NGINX_CONF) -> tuple[Child, str]:
    port = free_port()
    folder = bed.folder / conf.stem
    folder.mkdir()
    text = conf.read_text()
    for name, value in {"FOLDER": str(folder), "PORT": str(port), "BACKEND": backend.rpartition(":")[2]}.items():
        text = text.replace(f"@{name}@", value)
    (folder / "nginx.conf").write_text(text)
    child = bed.start(conf.stem, NGINX or "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"))
    return bed.serving(child, port), f"http://127.0.0.1:{port}"


def needs_node() -> str | None:
    if not shutil.which("node"):
        return "node is not installed"
    return None if (NODE / "node_modules").is_dir() else f"`npm ci` has not been run in {NODE}"


def _needs_nginx() -> str | None:
    there = NGINX and LUA_MODULE.exists()
    return None if there else "nginx with its lua module is not installed"


PLAIN, MERGE, BATCHING, CAPTURE = (
    "FastAPI + httpx",
    "Fastify + undici, merge",
    "Fastify + undici, batching",
    "nginx + lua",
)


@dataclass(frozen=True)
class Peer:
    start: Callable[[Bed, str], tuple[Child, str]]
    missing: Callable[[], str | None] = lambda: None


PEERS = {
    PLAIN: Peer(plain_fastapi),
    MERGE: Peer(fastify("merge"), needs_node),
    BATCHING: Peer(fastify("batching"), needs_node),
    CAPTURE: Peer(nginx, _needs_nginx),
}
