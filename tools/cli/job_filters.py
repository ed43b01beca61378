"""The options of commands that filter jobs: the same filters as in the API and at `/ops`."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

Filters = dict[str, str]
"""The given filters, by their names in the API."""

OPTIONS: dict[str, tuple[str, str, str]] = {
    "job": ("job", "--job", "Only this job."),
    "group": ("error_group", "--group", "Only failures with this cause."),
    "user": ("user_id", "--user", "Only of this user id."),
    "event_type": ("event_type", "--type", "Only of this event or task type."),
    "since": ("from", "--from", "Only those that arrived since this time."),
    "until": ("to", "--to", "Only those that arrived before this time."),
    "search": ("q", "--search", "An id of an event, or its beginning; a user id; part of a type or an error."),
}
"""By parameter: the name in the API, the option and its help."""


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options. It gets those that are given as its argument `filters`."""

    @functools.wraps(command)
    def with_options(*arguments: Any, **options: Any) -> None:
        given = {name: options.pop(parameter) for parameter, (name, *_) in OPTIONS.items()}
        command(*arguments, filters={name: value for name, value in given.items() if value is not None}, **options)

    signature = inspect.signature(command, eval_str=True)
    own = [each for each in signature.parameters.values() if each.name != "filters"]
    with_options.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*own, *(_parameter(name, *option) for name, (_, *option) in OPTIONS.items())]
    )
    return with_options


def _parameter(name: str, option: str, text: str) -> inspect.Parameter:
    annotation = Annotated[str | None, typer.Option(option, help=text)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
