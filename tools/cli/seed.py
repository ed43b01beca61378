"""Demo data, written like real data: through the services' own functions and their outboxes.

Rollups and notifications therefore come from the real jobs, once the services run; no mails are sent. Running it again
adds what is missing and duplicates nothing. For development only.
"""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pydantic_extra_types.currency_code import Currency

from services.orders import service as orders
from services.orders.models import Status
from services.orders.schemas import Item, NewOrder
from services.orders.search import Search
from services.orders.settings import Settings as OrderSettings
from services.users.accounts import service as users
from services.users.passwords import Passwords
from services.users.repository import UserRepository
from services.users.settings import DEFAULTS
from services.users.settings import Settings as UserSettings
from shared.clock import now
from shared.db.engine import Database
from shared.http.tokens import Role
from tools import demo

DAYS = 30


@dataclass(frozen=True)
class Person:
    email: str
    name: str
    orders: int
    role: Role = "user"


PEOPLE = (
    Person(demo.ADMIN, "Ada Admin", 0, "admin"),
    Person(demo.USER, "Dana Demo", 120),
    Person("noor@example.com", "Noor Haddad", 60),
    Person("liam@example.com", "Liam O'Brien", 45),
    Person("mei@example.com", "Mei Tanaka", 40),
    Person("sofia@example.com", "Sofía Núñez", 30),
    Person("kwame@example.com", "Kwame Mensah", 25),
)
GOODS = (
    Item(sku="tea-100", name="Green tea, 100 g", quantity=1, unit_price=1250),
    Item(sku="mug-blue", name="Mug, blue", quantity=1, unit_price=1490),
    Item(sku="kettle-1l", name="Kettle, 1 l", quantity=1, unit_price=4900),
    Item(sku="honey-250", name="Honey, 250 g", quantity=1, unit_price=790),
    Item(sku="tray-oak", name="Tray, oak", quantity=1, unit_price=3400),
    Item(sku="gift-card", name="Gift card", quantity=1, unit_price=5000),
)
COURSES: tuple[tuple[Status, ...], ...] = (
    (),
    (Status.PAID,),
    (Status.PAID, Status.SHIPPED),
    (Status.PAID, Status.SHIPPED),
    (Status.CANCELLED,),
)
"""The possible histories of an order."""


@dataclass(frozen=True)
class PastOrder:
    body: NewOrder
    placed_at: datetime
    changes: tuple[tuple[Status, datetime], ...]


def past_orders(person: Person, until: datetime) -> Iterator[PastOrder]:
    """Return the orders of the last 30 days: the same for the same user and time."""
    chance = random.Random(person.email)
    for _ in range(person.orders):
        placed_at = until - timedelta(days=DAYS) * chance.random() ** 0.8
        goods = [
            item.model_copy(update={"quantity": chance.choice((1, 1, 1, 2, 3))})
            for item in chance.sample(GOODS, chance.randint(1, 3))
        ]
        changes, moment = [], placed_at
        for status in chance.choice(COURSES):
            moment += (until - moment) * chance.uniform(0.02, 0.3)
            changes.append((status, moment))
        yield PastOrder(NewOrder(currency=Currency("EUR"), items=goods), placed_at, tuple(changes))


async def seed() -> int:
    """Write missing data; return the number of orders written."""
    user_settings, order_settings = UserSettings(), OrderSettings()
    async with Database.open(user_settings) as users_db, Database.open(order_settings) as orders_db:
        with Passwords.running(user_settings.hash_threads, DEFAULTS) as passwords:
            password_hash = await passwords.hash(demo.PASSWORD)
        until = now()
        written = 0
        for person in PEOPLE:
            user_id = await _account(users_db, person, password_hash, until)
            written += await _orders(orders_db, user_id, person, until)
        return written


async def _account(db: Database, person: Person, password_hash: str, until: datetime) -> UUID:
    async with db.begin() as session:
        known = await UserRepository(session).get_by_email(person.email)
        if known:
            return known.id
        user = await users.register(
            session,
            email=person.email,
            name=person.name,
            password_hash=password_hash,
            role=person.role,
            created_at=until - timedelta(days=DAYS + 1),
            email_verified=True,
        )
        return user.id


async def _orders(db: Database, user_id: UUID, person: Person, until: datetime) -> int:
    if (await orders.read_page(db, user_id, Search(), None, 1)).items:
        return 0
    past = list(past_orders(person, until))
    async with db.connection() as connection, connection.transaction():
        placed = [
            await orders.place(connection, user_id, one.body, created_at=one.placed_at, mail=False) for one in past
        ]
    async with db.begin() as session:
        for order, course in zip(placed, past, strict=True):
            for status, at in course.changes:
                await orders.move(session, order.id, user_id, status, at=at)
    return len(placed)


def run() -> None:
    """`dashboard seed`"""
    asyncio.run(seed())
