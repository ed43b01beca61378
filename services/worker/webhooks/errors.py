"""What can be wrong with a request about webhooks.

DashboardError
├── NotFound
│   ├── WebhookNotFound      404
│   └── DeliveryNotFound     404
└── Conflict
    ├── TooManyWebhooks      409
    ├── WebhookTurnedOff     409
    ├── CallUnderWay         409
    └── PingsWaiting         409
"""

from shared.errors import Conflict, NotFound


class WebhookNotFound(NotFound):
    code, title = "webhook_not_found", "No such webhook"


class DeliveryNotFound(NotFound):
    code, title = "delivery_not_found", "No such delivery"


class TooManyWebhooks(Conflict):
    code, title = "too_many_webhooks", "The maximum number of webhooks is reached"


class WebhookTurnedOff(Conflict):
    code, title = "webhook_turned_off", "This webhook is disabled"


class CallUnderWay(Conflict):
    code, title = "call_under_way", "This delivery is in flight"


class PingsWaiting(Conflict):
    code, title = "pings_waiting", "Earlier pings of this webhook are still waiting"
