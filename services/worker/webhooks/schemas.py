"""Requests and responses about webhooks."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema

from services.worker.webhooks.address import MAX_URL

EventName = Literal[
    "order.created", "order.paid", "order.shipped", "order.cancelled", "import.completed", "user.updated"
]
State = Literal["pending", "delivered", "failed", "cancelled"]
StateQuery = Annotated[State | None, Query(description="only deliveries in this state")]


def _each_once(names: list[EventName]) -> list[EventName]:
    return list(dict.fromkeys(names))


Url = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_URL, pattern=r"^[^\x00]*$"),
    Field(description="of a receiver on the internet", examples=["https://example.com/hooks/dashboard"]),
]
Events = Annotated[list[EventName], Field(min_length=1, max_length=20), AfterValidator(_each_once)]
Description = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class NewWebhook(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: Url
    events: Events
    description: Description | None = None


class WebhookChange(BaseModel):
    """Omitted fields stay unchanged. Enabling a webhook clears the reason why it was disabled."""

    model_config = ConfigDict(extra="forbid")

    url: Url | SkipJsonSchema[None] = None
    events: Events | SkipJsonSchema[None] = None
    description: Description | None = None
    enabled: bool | SkipJsonSchema[None] = None


class Webhook(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    url: str = Field(examples=["https://example.com/hooks/dashboard"])
    description: str | None = Field(examples=["my shop"])
    events: list[str] = Field(examples=[["order.created"]])
    enabled: bool
    disabled_reason: Literal["owner", "failing", "gone", "revoked"] | None
    disabled_at: datetime | None
    failing_since: datetime | None = Field(description="the first failure after the last success")
    last_success_at: datetime | None = Field(description="to the minute")
    created_at: datetime
    updated_at: datetime


class WebhookWithSecret(Webhook):
    secret: str = Field(description="for verifying signatures; shown only once", examples=["whsec_…"])


class Delivery(BaseModel):
    """One event for one webhook. `attempts`, `response_status`, `error` and `duration_ms` describe the calls so far,
    the last three the most recent one."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    event_id: UUID = Field(description="the header `webhook-id`, the same with each attempt")
    event_type: str = Field(examples=["order.created"])
    state: State
    attempts: int = Field(examples=[1])
    response_status: int | None = Field(examples=[204])
    error: str | None
    duration_ms: int | None = Field(examples=[85])
    next_attempt_at: datetime | None
    created_at: datetime
    updated_at: datetime
