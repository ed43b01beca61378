"""The catalog: the services, panels and routes that a panels file declares, validated and ready for use."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from services.gateway.catalog.document import Document, Key, Mistake, read_document
from services.gateway.catalog.schema import VARIABLE, PanelsFile, PanelTable, RouteTable, ServiceTable, Table
from services.gateway.panels import Panel, Panels, Service, ServiceSpec
from services.gateway.proxy.operations import Operation, shape_of
from services.gateway.settings import PANELS_FILE, BaseUrls
from shared.config.settings import environment
from shared.contracts.panels import MAX_PANELS
from shared.http.tokens import USER_ISSUER

ACCOUNTS: Service = "users"
"""The service that has the accounts, sessions and the audit log, if it is declared."""
ENVIRONMENT, FILE = "env:", "file:"
MODELS: Mapping[str, type[Table]] = {"services": ServiceTable, "panels": PanelTable, "routes": RouteTable}

_base_urls = TypeAdapter(BaseUrls)


@dataclass(frozen=True, eq=False)
class Catalog:
    """Everything that one version of the file declares, in its order."""

    services: Mapping[Service, ServiceSpec]
    panels: Panels
    operations: tuple[Operation, ...]
    sources: Mapping[Path, str] = field(default_factory=dict)
    """The files that it was read from, secrets included, and a digest of each."""

    @property
    def forwarded(self) -> list[bytes]:
        """The names of the callers' headers that services get, in lower case."""
        return sorted({name.encode() for spec in self.services.values() for name in spec.forward})

    @property
    def has_accounts(self) -> bool:
        return ACCOUNTS in self.services

    @property
    def internal(self) -> list[Service]:
        return [spec.name for spec in self.services.values() if spec.internal]

    def panels_of(self, service: Service) -> list[Panel]:
        return [panel for panel in self.panels if panel.service == service]


def load(path: Path, own_paths: Collection[str] = (), urls: Mapping[Service, str] | None = None) -> Catalog:
    """Read and validate a panels file. Raises `InvalidPanelsFile`, which names every mistake.

    `own_paths`: the paths that the gateway answers itself, such as `/v1/users/{id}/dashboard`. `urls` replace those in
    the file, by service; by default those in the variables `GATEWAY_<SERVICE>_URL`.
    """
    document = read_document(path)
    try:
        file = PanelsFile.model_validate(document.values)
    except ValidationError as invalid:
        raise document.invalid([_mistake(error) for error in invalid.errors()]) from invalid
    return _Builder(document, file, own_paths, urls).build()


@cache
def packaged() -> Catalog:
    """Return the catalog of the packaged file as it is: for documents, and for tests."""
    return load(PANELS_FILE, urls={})


def digest_of(path: Path, content: bytes | None = None) -> str:
    """Return a digest of the file's content, which is read if it is not given; one that cannot be read differs from
    every content."""
    try:
        return hashlib.sha256(path.read_bytes() if content is None else content).hexdigest()
    except OSError as unreadable:
        return repr(unreadable)


def _mistake(error: ErrorDetails) -> Mistake:
    key = tuple(part for part in error["loc"] if part != "[key]")
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = MODELS.get(str(key[0]), PanelsFile) if len(key) > 1 else PanelsFile
        message = f"unknown key; known: {', '.join(known.model_fields)}"
    elif error["type"] == "missing":
        message = "is missing"
    return Mistake(key, message)


class _Builder:
    """Checks the references between tables, and builds the catalog; collects every mistake."""

    def __init__(
        self, document: Document, file: PanelsFile, own_paths: Collection[str], urls: Mapping[Service, str] | None
    ) -> None:
        self._own_shapes = {shape_of(path) for path in own_paths}
        self._document = document
        self._file = file
        self._given_urls = urls
        self._mistakes: list[Mistake] = []
        self._sources = {document.path: digest_of(document.path, document.text.encode())}

    def build(self) -> Catalog:
        """Raises `InvalidPanelsFile`."""
        services = {name: self._service(name, table) for name, table in self._file.services.items()}
        panels = tuple([self._panel(name, table, services) for name, table in self._file.panels.items()])
        operations = tuple(self._operations(panels, services))
        self._check_touched_by(operations)
        self._check_batches(panels)
        if self._mistakes:
            raise self._document.invalid(self._mistakes)
        return Catalog(services, panels, operations, self._sources)

    def _service(self, name: Service, table: ServiceTable) -> ServiceSpec:
        panels = [panel for panel in self._file.panels.values() if panel.service == name]
        internal = any(panel.protocol == "batch" for panel in panels) if table.internal is None else table.internal
        issuers = table.issuers
        if issuers is None and internal and ACCOUNTS in self._file.services:
            issuers = [USER_ISSUER]
        return ServiceSpec(
            name=name,
            urls=self._urls(name, table),
            internal=internal,
            issuers=None if issuers is None else frozenset(issuers),
            headers=tuple(
                (header, self._resolved(("services", name, "headers", header), value))
                for header, value in table.headers.items()
            ),
            forward=tuple(header.lower() for header in table.forward),
            concurrency=table.concurrency,
        )

    def _urls(self, name: Service, table: ServiceTable) -> str:
        """Return the URLs that replace those of the file, or these."""
        variable = f"GATEWAY_{name.upper().replace('-', '_')}_URL"
        given: str | None = None
        try:
            given = environment(variable) if self._given_urls is None else self._given_urls.get(name)
            given = None if given is None else _base_urls.validate_python(given)
        except ValueError as invalid:
            self._add(("services", name, "url"), f"{variable}: {_first_line(invalid)}")
        return given or table.url

    def _resolved(self, key: Key, value: str) -> str:
        """Return the value of a header: itself, an environment variable, or the content of a file."""
        if value.startswith(ENVIRONMENT):
            variable = value.removeprefix(ENVIRONMENT)
            found = os.environ.get(variable)
            if not found:
                self._add(key, f"the environment variable {variable} is not set")
        elif value.startswith(FILE):
            path = Path(value.removeprefix(FILE))
            try:
                content = path.read_bytes()
                self._sources[path] = digest_of(path, content)
                found = content.decode().strip()
            except (OSError, UnicodeDecodeError) as unreadable:
                self._add(key, f"the file cannot be read: {unreadable}")
                found = None
        else:
            found = value
        if found and not (found.isascii() and found.isprintable()):
            self._add(key, "has a value that no header may have")
        return found or ""

    def _panel(self, name: str, table: PanelTable, services: Mapping[Service, ServiceSpec]) -> Panel:
        key: Key = ("panels", name)
        service = services.get(table.service)
        if service is None:
            self._unknown((*key, "service"), "service", table.service, services)
        known_events = self._file.known_events
        for number, event in enumerate(table.changed_by):
            if event not in known_events:
                self._unknown((*key, "changed_by", number), "event", event, known_events)
        is_rest = table.protocol == "rest"
        claims = any(variable != "user_id" for variable in VARIABLE.findall(table.get or ""))
        # What the response depends on. URLs and secrets may change without changing the data.
        read_as = f"{table.service} {table.get} {table.pick} {table.kind}"
        return Panel(
            name=name,
            service=table.service,
            timeout_ms=table.timeout_ms,
            kind=table.kind,
            protocol=table.protocol,
            title=table.title or name.replace("_", " ").replace("-", " ").capitalize(),
            roles=tuple(table.roles),
            knows_users=table.knows_users,
            changed_by=tuple(table.changed_by),
            max_age_s=table.max_age_s,
            get=table.get or "",
            pick=tuple(_unescaped(part) for part in table.pick.split("/")[1:]),
            own_only=is_rest and (claims or bool(service and service.forward)),
            issuers=service.issuers if service else None,
            version=hashlib.sha256(read_as.encode()).hexdigest()[:8] if is_rest else "",
        )

    def _operations(self, panels: Panels, services: Mapping[Service, ServiceSpec]) -> Iterator[Operation]:
        seen: dict[tuple[str, str], int] = {}
        names = [panel.name for panel in panels]
        touched_by = defaultdict[str, set[str]](set)
        for name, table in self._file.panels.items():
            for signature in table.touched_by:
                touched_by[_normal(signature)].add(name)
        for number, route in enumerate(self._file.routes):
            key: Key = ("routes", number)
            if route.service not in self._file.services:
                self._unknown((*key, "service"), "service", route.service, self._file.services)
            for index, panel in enumerate(route.touches):
                if panel not in names:
                    self._unknown((*key, "touches", index), "panel", panel, names)
            operation = self._operation(route, services.get(route.service))
            touched = {*(names if route.ends == "user" else route.touches), *touched_by[operation.signature]}
            operation = operation.touching(tuple(name for name in names if name in touched))
            first = seen.setdefault((operation.method, operation.shape), number)
            if first != number:
                self._add((*key, "path"), f"is declared twice; first as routes[{first + 1}]")
            if operation.shape in self._own_shapes:
                self._add((*key, "path"), "is the gateway's own")
            self._check_target(key, operation)
            yield operation

    def _operation(self, route: RouteTable, service: ServiceSpec | None) -> Operation:
        return Operation(
            method=route.method,
            path=route.path,
            service=route.service,
            access=route.access,
            others=route.others,
            audited=route.audited,
            ends=route.ends,
            takes_password=route.takes_password,
            session_only=route.session_only,
            names_caller=route.names_caller,
            max_body_bytes=route.max_body_bytes,
            upload=route.upload,
            target=route.target or "",
            issuers=(service and service.issuers) or frozenset(),
        )

    def _check_target(self, key: Key, operation: Operation) -> None:
        missing = set(operation.target_parameters) - set(operation.parameters)
        if missing:
            self._add((*key, "target"), f"has {{{min(missing)}}}, which the path has not")

    def _check_touched_by(self, operations: tuple[Operation, ...]) -> None:
        """A panel may be touched by a route that this file does not pass through only if it passes none through."""
        known = {operation.signature for operation in operations}
        for name, table in self._file.panels.items():
            for number, signature in enumerate(table.touched_by):
                if known and _normal(signature) not in known:
                    key = ("panels", name, "touched_by", number)
                    self._add(key, f'there is no route "{signature}"; a route is written as "POST /v1/orders/{{id}}"')

    def _check_batches(self, panels: Panels) -> None:
        for service in self._file.services:
            batch = [panel.name for panel in panels if panel.service == service and panel.protocol == "batch"]
            if len(batch) > MAX_PANELS:
                self._add(("panels", batch[MAX_PANELS]), f"a service has at most {MAX_PANELS} batch panels")

    def _unknown(self, key: Key, kind: str, name: str, known: Mapping[str, object] | list[str]) -> None:
        self._add(key, f"there is no {kind} {name!r}; known: {', '.join(known)}")

    def _add(self, key: Key, message: str) -> None:
        self._mistakes.append(Mistake(key, message))


def _normal(signature: str) -> str:
    return " ".join(signature.split())


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _first_line(invalid: ValueError) -> str:
    if isinstance(invalid, ValidationError):
        return str(invalid.errors()[0]["msg"]).removeprefix("Value error, ")
    return str(invalid)
