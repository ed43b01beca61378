"""Mails to send without a worker."""

from email.message import EmailMessage
from typing import Any

from services.worker.dialogue import Progress
from services.worker.settings import Settings
from services.worker.smtp import Mailer
from tests.support.worker.world import settings_for as worker_settings


def settings_for(url: str, **more: Any) -> Settings:
    return worker_settings("", "", smtp_url=url, **more)


def letter(text: str = "Hello.") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "no-reply@shop.example", "ada@example.com"
    message.set_content(text)
    return message


async def send(mailer: Mailer, message: EmailMessage | None = None) -> Progress:
    async def confirm() -> None:
        pass

    progress = Progress()
    await mailer.send(message or letter(), progress, confirm)
    return progress
