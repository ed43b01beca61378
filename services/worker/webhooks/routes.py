"""The HTTP routes of webhooks, limited to the caller's own."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from services.worker.webhooks.repository import (
    CallUnderWay,
    DeliveryNotFound,
    PingsWaiting,
    TooManyWebhooks,
    WebhookNotFound,
    WebhookTurnedOff,
)
from services.worker.webhooks.schemas import (
    Delivery,
    NewWebhook,
    StateQuery,
    Webhook,
    WebhookChange,
    WebhookWithSecret,
)
from services.worker.webhooks.service import Webhooks
from shared.http.identity import CallerDep
from shared.http.openapi import described
from shared.http.pagination import Cursor, Limit, Page

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


async def _webhooks(request: Request) -> Webhooks:
    webhooks: Webhooks = request.app.state.webhooks
    return webhooks


WebhooksDep = Annotated[Webhooks, Depends(_webhooks)]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    **described("create_webhook", "Create a webhook", WebhookNotFound, TooManyWebhooks),
)
async def create_webhook(
    body: NewWebhook, caller: CallerDep, webhooks: WebhooksDep, response: Response
) -> WebhookWithSecret:
    """Register a URL for your own events. Only this response contains the secret."""
    created = await webhooks.create(caller.user_id, body)
    response.headers["Location"] = f"/v1/webhooks/{created.id}"
    return created


@router.get("", **described("list_webhooks", "List your webhooks"))
async def list_webhooks(
    caller: CallerDep, webhooks: WebhooksDep, cursor: Cursor = None, limit: Limit = 20
) -> Page[Webhook]:
    """List your own webhooks, newest first."""
    return await webhooks.read_page(caller.user_id, cursor, limit)


@router.get("/{webhook_id}", **described("read_webhook", "Read a webhook", WebhookNotFound))
async def read_webhook(webhook_id: UUID, caller: CallerDep, webhooks: WebhooksDep) -> Webhook:
    """Return one webhook and its health."""
    return await webhooks.read(caller.user_id, webhook_id)


@router.patch("/{webhook_id}", **described("change_webhook", "Change a webhook", WebhookNotFound))
async def change_webhook(webhook_id: UUID, body: WebhookChange, caller: CallerDep, webhooks: WebhooksDep) -> Webhook:
    """Change its URL, events or description, or disable or enable it."""
    return await webhooks.change(caller.user_id, webhook_id, body)


@router.delete(
    "/{webhook_id}",
    status_code=HTTPStatus.NO_CONTENT,
    **described("delete_webhook", "Delete a webhook", WebhookNotFound),
)
async def delete_webhook(webhook_id: UUID, caller: CallerDep, webhooks: WebhooksDep) -> None:
    """Delete it and its deliveries; waiting deliveries are not made any more."""
    await webhooks.delete(caller.user_id, webhook_id)


@router.post("/{webhook_id}/secret", **described("replace_webhook_secret", "Create a new secret", WebhookNotFound))
async def replace_secret(webhook_id: UUID, caller: CallerDep, webhooks: WebhooksDep) -> WebhookWithSecret:
    """Create a new secret, shown only once. For a day calls are signed with both, so that every call can be
    verified."""
    return await webhooks.replace_secret(caller.user_id, webhook_id)


@router.post(
    "/{webhook_id}/test",
    status_code=HTTPStatus.ACCEPTED,
    **described("test_webhook", "Send a test event", WebhookNotFound, WebhookTurnedOff, PingsWaiting),
)
async def ping_webhook(webhook_id: UUID, caller: CallerDep, webhooks: WebhooksDep) -> Delivery:
    """Send a `webhook.ping`; the delivery shows its outcome."""
    return await webhooks.ping(caller.user_id, webhook_id)


@router.get(
    "/{webhook_id}/deliveries", **described("list_deliveries", "List the deliveries of a webhook", WebhookNotFound)
)
async def list_deliveries(
    webhook_id: UUID,
    caller: CallerDep,
    webhooks: WebhooksDep,
    state: StateQuery = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[Delivery]:
    """List deliveries of the last days, newest first."""
    return await webhooks.deliveries_page(caller.user_id, webhook_id, state, cursor, limit)


@router.get(
    "/{webhook_id}/deliveries/{delivery_id}",
    **described("read_delivery", "Read a delivery", WebhookNotFound, DeliveryNotFound),
)
async def read_delivery(webhook_id: UUID, delivery_id: UUID, caller: CallerDep, webhooks: WebhooksDep) -> Delivery:
    """Return one delivery."""
    return await webhooks.read_delivery(caller.user_id, webhook_id, delivery_id)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=HTTPStatus.ACCEPTED,
    **described(
        "replay_delivery", "Repeat a delivery", WebhookNotFound, DeliveryNotFound, WebhookTurnedOff, CallUnderWay
    ),
)
async def replay_delivery(webhook_id: UUID, delivery_id: UUID, caller: CallerDep, webhooks: WebhooksDep) -> Delivery:
    """Repeat a delivery, from its first attempt: the same message, with the same `webhook-id`."""
    return await webhooks.replay(caller.user_id, webhook_id, delivery_id)
