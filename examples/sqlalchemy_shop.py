"""A web shop on SQLAlchemy: each request is one transaction, of the shop's rows and crmcore's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, ForeignKey, Numeric, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from crmcore import Crm, Identifier
from crmcore.errors import RetryTransaction


class Base(DeclarativeBase):
    """The shop's own tables."""


class Product(Base):
    """What the shop sells, and how many are left."""

    __tablename__ = "shop_product"
    name: Mapped[str] = mapped_column(primary_key=True)
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    stock: Mapped[int]


class Order(Base):
    """One product, bought once."""

    __tablename__ = "shop_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    product: Mapped[str] = mapped_column(ForeignKey("shop_product.name"))


class SoldOutError(Exception):
    """Nothing is left of a product."""


class TeaShop:
    """A shop as web frameworks have it: a session for each request, and views that get it."""

    def __init__(self, engine: Engine, crm: Crm) -> None:
        self.engine = engine
        self.crm = crm
        Base.metadata.create_all(engine)

    @contextmanager
    def request(self) -> Iterator[Session]:
        """What a framework calls a dependency: committed after the view, or rolled back."""
        with Session(self.engine) as session, session.begin():
            yield session

    def buy(self, session: Session, email: str, name: str) -> int:
        """A view: the order, the stock and what crmcore makes of it belong together."""
        product = session.get_one(Product, name)
        order = Order(email=email, product=name)
        session.add(order)
        product.stock -= 1
        session.flush()  # gives the order its id
        with self.crm.join(session) as tx:
            tx.record(
                "order.placed",
                email=email,
                amount=product.price,
                source="web",
                source_key=f"order-{order.id}",
                subject=f"order:{order.id}",
            )
        if product.stock < 0:
            raise SoldOutError(name)
        return order.id

    def post(self, email: str, name: str) -> int:
        """Serve a request, again if another one stood in its way."""
        for _ in range(2):
            try:
                with self.request() as session:
                    return self.buy(session, email, name)
            except RetryTransaction:
                continue
        with self.request() as session:
            return self.buy(session, email, name)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[TeaShop]:
    url = f"sqlite:///{tmp_path}/shop.db"
    engine = create_engine(url)
    with Crm(url, currency="EUR", zone="Europe/Berlin") as crm:
        made = TeaShop(engine, crm)
        with made.request() as session:
            session.add(Product(name="Assam", price=Decimal("8.90"), stock=2))
        yield made
    engine.dispose()


def test_an_order_and_its_customer_are_one(shop: TeaShop) -> None:
    """Each order is in the shop's table and in crmcore's ledger, under the same number."""
    first = shop.post("ada@example.com", "Assam")
    second = shop.post("ada@example.com", "Assam")

    ada = shop.crm.customer(Identifier("email", "ada@example.com"))
    assert "ordering" == ada.stages[0].stage
    assert {f"order:{first}", f"order:{second}"} == {i.subject for i in ada.latest}
    assert [890, 890] == [i.amount_minor for i in ada.latest]


def test_a_sale_that_fails_was_never_recorded(shop: TeaShop) -> None:
    """The third of two packets is rolled back: no order, no stock below zero, no customer."""
    shop.post("ada@example.com", "Assam")
    shop.post("ada@example.com", "Assam")
    with pytest.raises(SoldOutError):
        shop.post("eve@example.com", "Assam")

    with shop.request() as session:
        assert 2 == session.scalar(select(func.count()).select_from(Order))
        assert 0 == session.get_one(Product, "Assam").stock
    assert shop.crm.find_customer(Identifier("email", "eve@example.com")) is None
