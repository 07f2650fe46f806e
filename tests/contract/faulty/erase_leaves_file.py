"""Letters: what customers would have us write is put into a folder, for whoever writes it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from attrs import define, frozen
from typing_extensions import override

from crmcore import (
    Context,
    CustomerErased,
    CustomerExported,
    Erased,
    Erasure,
    InteractionsRecorded,
    Kind,
    Plugin,
    PluginTable,
    hookimpl,
    personal,
)


@frozen(kw_only=True)
class Asked:
    """What is to be written, in the customer's own words."""

    words: str | Erased = personal()


@define(eq=False)
class Letters(Plugin):
    """Puts letters to be written into a folder, each customer's into one of its own."""

    name: ClassVar[str] = "letters"
    tables: ClassVar[tuple[PluginTable, ...]] = ()

    folder: str = ""

    def __attrs_post_init__(self) -> None:
        self._folder = Path(self.folder or tempfile.gettempdir())

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("letters.asked", payload=Asked)]

    @hookimpl
    @override
    def after_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "letters.asked" not in event.kinds:
            return
        for item in event:
            if item.kind == "letters.asked" and isinstance(item.payload.words, str):
                path = self._folder_of(item.customer_id) / f"{item.id}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(item.payload.words, encoding="utf-8")

    @hookimpl
    @override
    def export_customer(self, ctx: Context, event: CustomerExported) -> Mapping[str, Any] | None:
        letters = sorted(self._folder_of(event.customer_id).glob("*.txt"))
        return {"letters": [letter.read_text(encoding="utf-8") for letter in letters]}

    @hookimpl
    @override
    def erase_customer(self, ctx: Context, event: CustomerErased) -> Iterable[Erasure] | None:
        letters = tuple(sorted(self._folder_of(event.customer_id).glob("*.txt")))
        if not event.planned:
            with suppress(OSError):
                self._folder_of(event.customer_id).rmdir()
        return [Erasure("letters to be written", count=len(letters), files=letters)]

    def _folder_of(self, customer: int) -> Path:
        return self._folder / f"crmcore-letters-{customer}"
