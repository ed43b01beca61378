"""Mails to send without a worker."""

from contextlib import AbstractAsyncContextManager
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any
from uuid import uuid4

from services.worker.email.messages import OutgoingMail
from services.worker.email.smtp import Mailer
from services.worker.email.smtp_protocol import Progress
from services.worker.settings import Settings
from tests.support.worker.world import settings_for as worker_settings
from tests.support.worker.world import tuning_of


def settings_for(url: str, **more: Any) -> Settings:
    return worker_settings("", "", smtp_url=url, **more)


def mailing(settings: Settings) -> AbstractAsyncContextManager[Mailer]:
    return Mailer.open(settings, tuning_of(settings))


def letter(text: str = "Hello.") -> OutgoingMail:
    message = EmailMessage(SMTP)
    message["From"], message["To"] = "no-reply@shop.example", "ada@example.com"
    message.set_content(text)
    return OutgoingMail("no-reply@shop.example", "ada@example.com", f"<{uuid4()}@shop.example>", message.as_bytes())


async def send(mailer: Mailer, mail: OutgoingMail | None = None) -> Progress:
    async def confirm() -> None:
        pass

    progress = Progress()
    await mailer.send(mail or letter(), progress, confirm)
    return progress
