"""Requests and responses. Money is in minor units of the order's currency."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_extra_types.currency_code import Currency

from services.orders.models import Status

Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
"""Any pattern also rejects lone surrogates, which no database stores."""
Sku = Annotated[Text, Field(max_length=64)]
QUANTITY = Field(ge=1, le=10_000)
UNIT_PRICE = Field(ge=0, le=1_000_000_000)

TextQuery = Annotated[
    Annotated[Text, Field(max_length=100)] | None,
    Query(
        alias="q",
        description="part of an item's name, its SKU or the reference, or the end of the order's id",
        examples=["green tea"],
    ),
]
FromQuery = Annotated[AwareDatetime | None, Query(alias="from", description="only orders placed at or after this")]
ToQuery = Annotated[AwareDatetime | None, Query(alias="to", description="only orders placed before this")]


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, from_attributes=True)

    sku: Sku = Field(examples=["tea"])
    name: Text = Field(examples=["Green tea"])
    quantity: Annotated[int, QUANTITY] = Field(examples=[2])
    unit_price: Annotated[int, UNIT_PRICE] = Field(examples=[1250])


class NewOrder(BaseModel):
    """The limits keep the largest total, 10¹⁵, well inside a bigint."""

    model_config = ConfigDict(extra="forbid", strict=True)

    currency: Currency = Field(examples=["EUR"])
    items: list[Item] = Field(min_length=1, max_length=100)

    @property
    def total(self) -> int:
        return sum(item.quantity * item.unit_price for item in self.items)

    @property
    def item_count(self) -> int:
        return sum(item.quantity for item in self.items)


class OrderSummary(BaseModel):
    """An order in a list."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_id: UUID
    status: Status
    currency: str = Field(examples=["EUR"])
    total: int = Field(examples=[2500])
    item_count: int = Field(description="the sum of the quantities", examples=[2])
    created_at: datetime
    updated_at: datetime


class Order(OrderSummary):
    items: list[Item]


class Change(BaseModel):
    """`at` is when the order got this status."""

    model_config = ConfigDict(from_attributes=True)

    status: Status
    at: datetime


class History(BaseModel):
    """The statuses of an order, oldest first. Of changes that were made before they were recorded, only the last is
    known."""

    items: list[Change]
