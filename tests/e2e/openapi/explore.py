"""Lets schemathesis call every operation of an OpenAPI document, as every role, with valid and invalid input."""

import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig
from schemathesis.core.control import SkipTest
from schemathesis.core.result import Ok
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.openapi.system import EVERYBODY, Service, Who

Case: TypeAlias = "schemathesis.Case[Any]"
Operation: TypeAlias = "schemathesis.APIOperation[Any, Any, Any, Any]"

SEED = 20260131
TIMEOUT_S = 240
RETRY_S = 60.0
"""How long a response with `Retry-After` is not a failure: a busy machine may send some, but not without end."""
LEAST_TRIES = 10
LATER = (429, 503, 504)
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
LAST = ("DELETE /v1/me/sessions", "DELETE /v1/tokens", "DELETE /v1/me")
"""Called last, because nothing can be tested after them."""
PUBLIC_KEYS = "/.well-known/jwks.json"
_COLLECTION = re.compile(r"/(\w+)/\{(\w+)\}")


@dataclass
class Found:
    """The tried operations and the failures. `broken` has the first example by operation and kind of failure."""

    operations: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        return self.answers.total()

    def __str__(self) -> str:
        answers = ", ".join(f"{status}: {count}" for status, count in sorted(self.answers.items()))
        return f"{self.operations} operations, {self.requests} requests ({answers})"


def explore(service: Service, things: Mapping[str, str], examples: int, retry_s: float = RETRY_S) -> Found:
    """Runs in its own process, because Hypothesis controls `random`, which the services use, too."""
    return Explorer(service, things, examples, retry_s).run()


class Explorer:
    """Explores one service, deterministically by the seed and the document."""

    def __init__(self, service: Service, things: Mapping[str, str], examples: int, retry_s: float) -> None:
        self._service = service
        self._things = things
        self._examples = examples
        self._retry_s = retry_s
        self._refused_for_good: set[str] = set()
        self._session = requests.Session()
        self._found = Found()

    def run(self) -> Found:
        with self._session:
            for operation in sorted(self._operations(), key=lambda each: (each.label in LAST, each.label)):
                self._found.operations += 1
                self._try(operation)
        return self._found

    def _operations(self) -> Iterator[Operation]:
        # Identity comes from the roles and is not generated.
        generation = GenerationConfig(with_security_parameters=False)
        project = ProjectConfig(generation=generation, max_stream_events=2)
        config = schemathesis.Config(projects=ProjectsConfig(default=project))
        schema = schemathesis.openapi.from_dict(self._service.document, config=config)
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            yield found.ok()

    def _try(self, operation: Operation) -> None:
        for mode in schemathesis.GenerationMode:
            cases = operation.as_strategy(mode, feedback=NO_FEEDBACK)

            @seed(SEED)
            @settings(
                max_examples=self._examples,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                verbosity=Verbosity.quiet,
                suppress_health_check=list(HealthCheck),
            )
            @given(cases, st.sampled_from(EVERYBODY), st.randoms(use_true_random=False))
            def each(case: Case, who: Who, chance: random.Random) -> None:
                self._call(case, who, chance)

            try:
                each()
            except (SkipTest, Unsatisfiable):  # an operation without input has no invalid input
                continue

    def _call(self, case: Case, who: Who, chance: random.Random) -> None:
        self._name_what_exists(case, chance)
        answer = self._answer(case, who)
        self._found.answers[answer.status_code] += 1
        own = [errors_are_problems, *([nobody_gets_in] if who == "nobody" else [])]
        try:
            case.validate_response(answer, checks=[*CHECKS, *own])
        except schemathesis.errors.FailureGroup as failures:
            for failure in failures.exceptions:
                wrong = f"{case.operation.label}, {answer.status_code}: {failure}"
                example = f"as {who}: {failure}\n{case.as_curl_command()}"
                self._found.broken.setdefault(wrong.partition("\n")[0], example)

    def _answer(self, case: Case, who: Who) -> schemathesis.Response:
        """Repeat the request while the response says so, as a client does. Give up only once per operation."""
        ends = time.monotonic() + self._retry_s
        tries = 0
        while True:
            tries += 1
            answer = case.call(
                base_url=self._service.url,
                session=self._session,
                headers=self._service.credentials[who].headers(),
                timeout=TIMEOUT_S,
            )
            if not _asks_to_come_back(answer) or case.operation.label in self._refused_for_good:
                return answer
            if tries >= LEAST_TRIES and time.monotonic() > ends:
                self._refused_for_good.add(case.operation.label)
                return answer
            time.sleep(0.05)

    def _name_what_exists(self, case: Case, chance: random.Random) -> None:
        """Use the id of an existing thing in half of the paths."""
        for collection, parameter in _COLLECTION.findall(case.path):
            if collection in self._things and chance.random() < 0.5:
                case.path_parameters[parameter] = self._things[collection]


def _asks_to_come_back(answer: schemathesis.Response) -> bool:
    return answer.status_code in LATER and "retry-after" in answer.headers


def errors_are_problems(_: schemathesis.CheckContext, answer: schemathesis.Response, case: Case) -> None:
    """Every error is `application/problem+json` with the status that was sent, and has a request id."""
    assert "x-request-id" in answer.headers, "no X-Request-Id"
    if answer.status_code >= 400 and case.method.upper() != "HEAD":
        assert answer.headers["content-type"] == ["application/problem+json"], "not problem+json"
        assert answer.json()["status"] == answer.status_code, "another status in the body"


def nobody_gets_in(_: schemathesis.CheckContext, answer: schemathesis.Response, case: Case) -> None:
    """Without credentials, only operations are accessible that the document declares as public."""
    is_open = case.operation.definition.raw.get("security") == [] or case.path == PUBLIC_KEYS
    assert is_open or answer.status_code >= 400, "to be had without credentials"
