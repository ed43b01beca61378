"""One service as a process whose tuning a test chooses: `python -m tests.support.tuned_service NAME [JSON]`.

Its settings come from the environment, as in production; what is tuned is a JSON object of the fields of its `Tuning`.
"""

import importlib
import json
import sys
from collections.abc import Mapping
from typing import Any

from pydantic_settings import BaseSettings


def command(service: str, tuning: Mapping[str, Any]) -> list[str]:
    """The command line that serves `service` with this tuning."""
    return [sys.executable, "-m", "tests.support.tuned_service", service, json.dumps(dict(tuning))]


def tuning_in(settings: BaseSettings) -> dict[str, Any]:
    """What tests gave beside the settings themselves, to a class of settings that allows it."""
    return dict(settings.model_extra or {})


if __name__ == "__main__":
    name, values = sys.argv[1:]
    main = importlib.import_module(f"services.{name}.main")
    main.run(main.Tuning(**json.loads(values)))
