"""Each law of what comes twice is broken by a plugin that is wrong there."""

from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest
from attrs import define, evolve

from crmcore import Content, MessageDraft, hookimpl
from crmcore.testing.laws.after import AfterLaws
from tests.contract.support import breaks, shop_with
from tests.contract.tallies import Tally

LAWS = AfterLaws()


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Plugins here write files where they are run."""
    monkeypatch.chdir(tmp_path)


@define(eq=False)
class Telling(Tally):
    """Writes to customers, and files, after the commit; named by the interaction."""

    @hookimpl
    def after_interactions_recorded(self, ctx, event):
        for item in event:
            if item.kind != "order.placed":
                continue
            Path(f"told-{item.id}.txt").write_text(item.kind)
            content = Content(text="Thank you")
            draft = MessageDraft(
                key=self.key(item),
                customer=item.customer_id,
                purpose="service",
                channel="email",
                content=content,
            )
            ctx.send(draft)

    def key(self, item):
        return f"thanks/{item.source}/{item.source_key}"


@define(eq=False)
class Appending(Telling):
    """Appends to a file."""

    @hookimpl
    def after_interactions_recorded(self, ctx, event):
        with Path("told.txt").open("a") as file:
            file.writelines(f"{item.source_key}\n" for item in event)


@define(eq=False)
class Numbering(Telling):
    """Names what it says by the number of the call."""

    numbers: ClassVar = count()

    def key(self, item):
        return f"thanks/{next(self.numbers)}"


@define(eq=False)
class Repeating(Tally):
    """Names what it decides by the number of the call."""

    numbers: ClassVar = count()

    def thanks(self, item):
        return evolve(super().thanks(item), source_key=f"thanked:{next(self.numbers)}")


@define(eq=False)
class Adding(Tally):
    """Does not clear what it makes anew."""

    @hookimpl
    def recompute_customers(self, ctx, event):
        """It adds to what is there, as live."""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_right_plugin_keeps_them(tmp_path, kind):
    """All laws of what comes twice hold for it."""
    shop = shop_with(Telling, tmp_path, kind)
    LAWS.test_told_twice(shop)
    LAWS.test_told_from_the_beginning(shop)
    LAWS.test_decided_twice(shop)


@pytest.mark.parametrize("law", [LAWS.test_told_twice, LAWS.test_told_from_the_beginning])
@pytest.mark.parametrize(
    ("plugin", "told"), [(Appending, "files that differ: told.txt"), (Numbering, "crm_message")]
)
def test_telling_twice_is_found(tmp_path, law, plugin, told):
    """A file that grows, and a message that is sent again, break both laws."""
    found = breaks(law, shop_with(plugin, tmp_path))

    assert found.startswith("after_interactions_recorded does more when it is told twice")
    assert told in found


@pytest.mark.parametrize(
    ("plugin", "told"), [(Repeating, "it decides something else"), (Adding, "derives other rows")]
)
def test_doing_twice_is_found(tmp_path, plugin, told):
    """A key that does not follow from the fact, and rows that are not cleared, break the law."""
    assert told in breaks(LAWS.test_decided_twice, shop_with(plugin, tmp_path))
