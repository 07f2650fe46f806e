"""Tables of plugins: a policy that is none is refused when the table is declared."""

import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table

from crmcore import Keep, PluginTable
from crmcore.errors import ConfigurationError

note = Table("crm_notes_note", MetaData(), Column("customer_id", BigInteger, primary_key=True))


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        (
            {"merge": "recomputed"},
            "merge is 'recomputed' (did you mean 'recompute'?); 'move', 'recompute' or 'keep_both' "
            "is expected",
        ),
        ({"merge": None}, "merge is None; 'move', 'recompute' or 'keep_both' is expected"),
        (
            {"erase": "forget"},
            "erase is 'forget'; 'delete', 'anonymise' or Keep(reason) is expected",
        ),
        ({"erase": "keep"}, "erase is 'keep'; 'delete', 'anonymise' or Keep(reason) is expected"),
    ],
)
def test_a_policy_that_is_none(policies, told):
    """What is found, what is expected, and the nearest right word are named."""
    with pytest.raises(ConfigurationError) as caught:
        PluginTable(note, **{"derived": False, "merge": "move", "erase": "delete"} | policies)

    assert f"table 'crm_notes_note': {told}" == str(caught.value)


def test_policies_that_are():
    """Each of them is taken."""
    for merge in ("move", "recompute", "keep_both"):
        for erase in ("delete", "anonymise", Keep("the law wants invoices for ten years")):
            made = PluginTable(note, derived=False, merge=merge, erase=erase)
            assert (merge, erase) == (made.merge, made.erase)
