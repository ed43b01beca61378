"""A feature slice of a service: what its folder adds. The service's `main.py` lists the slices that it mounts.

Each slice has a module `feature` with a function `feature(settings, tuning)`, which returns a `Feature`. To remove a
slice, delete its folder and its line in that list.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import walk_packages
from typing import Any, Generic, TypeVar

from fastapi import APIRouter

from shared.config.settings import ServiceSettings

HostT = TypeVar("HostT")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature(Generic[HostT]):
    """`HostT` is the type of the running service as its slices see it."""

    routes: Sequence[APIRouter] = ()
    body_limits: Mapping[str, int] = field(default_factory=dict)
    """The maximum body of requests, by path, where it is larger than usual."""
    open: Callable[[HostT], AbstractAsyncContextManager[None]] | None = None
    """Starts what the slice runs, until the block is left."""


@dataclass(frozen=True, slots=True)
class ServiceTuning:
    """Times and amounts of a service that no deployment changes; a subclass adds its own. Tests pass others."""

    features: tuple[object, ...] = ()
    """The tuning of feature slices, where it is not the default."""

    def of(self, kind: type[T]) -> T:
        """Return the tuning of one slice."""
        return next((each for each in self.features if isinstance(each, kind)), None) or kind()


class Features(Generic[HostT]):
    """What all slices of a service add together."""

    def __init__(self, features: Sequence[Feature[HostT]]) -> None:
        self._features = features
        self.routes = [router for each in features for router in each.routes]
        self.body_limits = {path: limit for each in features for path, limit in each.body_limits.items()}

    async def open(self, host: HostT, until: AsyncExitStack) -> None:
        """Start what the slices run, until the stack is left."""
        for each in self._features:
            if each.open:
                await until.enter_async_context(each.open(host))


def load(service: str, names: Iterable[str], settings: ServiceSettings, tuning: object) -> Features[Any]:
    """Return the slices of a service, such as `services.users`. Raises `ValidationError` for their settings."""
    return Features([import_module(f"{service}.{name}.feature").feature(settings, tuning) for name in names])


def settings_of(service: str) -> list[type[ServiceSettings]]:
    """Return the settings of a service, such as `services.users`: its own first, and those of its slices."""
    found = walk_packages(import_module(service).__path__, f"{service}.")
    modules = sorted((each.name for each in found if each.name.endswith(".settings")), key=lambda name: name.count("."))
    return [
        kind
        for module in map(import_module, modules)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, ServiceSettings) and kind.__module__ == module.__name__
    ]
