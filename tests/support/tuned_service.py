"""One service as a process whose tuning a test chooses: `python -m tests.support.tuned_service NAME [JSON]`.

Its settings come from the environment, as in production; what is tuned is a JSON object of the fields of its `Tuning`,
and of those of its feature slices.
"""

import gc
import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from pydantic_settings import BaseSettings

from shared.feature import settings_of


def command(service: str, tuning: Mapping[str, Any]) -> list[str]:
    """The command line that serves `service` with this tuning."""
    return [sys.executable, "-m", "tests.support.tuned_service", service, json.dumps(dict(tuning))]


def tuning_in(settings: BaseSettings) -> dict[str, Any]:
    """What tests gave beside the settings themselves, to a class of settings that allows it."""
    return dict(settings.model_extra or {})


def tuning_from(service: str, values: Mapping[str, Any]) -> Any:
    """The service's `Tuning`. What is no field of it, or of a slice's, is a setting of a slice."""
    features = tuple(made_of(kind, values) for kind in tunings_of_features(service))
    return made_of(importlib.import_module(f"services.{service}.main").Tuning, {**values, "features": features})


def tunings_of_features(service: str) -> Iterator[type[Any]]:
    """The dataclass `…Tuning` next to the settings of each slice."""
    for module in dict.fromkeys(kind.__module__ for kind in settings_of(f"services.{service}")):
        for name, kind in vars(importlib.import_module(module)).items():
            if name.endswith("Tuning") and name not in ("Tuning", "ServiceTuning") and isinstance(kind, type):
                yield kind


def made_of(kind: type[Any], values: Mapping[str, Any]) -> Any:
    return kind(**{field.name: values[field.name] for field in fields(kind) if field.name in values})


if __name__ == "__main__":
    name, values = sys.argv[1:]
    gc.disable()  # importing makes no garbage, and to look for it takes a fifth of the time
    tuning, main = tuning_from(name, json.loads(values)), importlib.import_module(f"services.{name}.main")
    gc.enable()
    main.run(tuning)
