"""`crm email forget`: who never confirmed is forgotten, and nobody else."""

import pytest

from crmcore import Identifier
from plugins.email_link.tests.commanding import Desk
from plugins.email_link.tests.shops import DAY, shop
from plugins.email_link.tests.test_sign_ups import STRICT, pass_time, signed_up
from tests.support.databases import shop_file


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, shop_file(tmp_path))


def test_e3_who_never_confirmed_is_forgotten_by_a_command(desk):
    """Once their time is over; the second call finds nobody."""
    with shop(url=desk.url, gate=STRICT) as crm:
        signed_up(crm)
        pass_time(crm, 8 * DAY)
        signed_up(crm, "ben@example.com")

    assert {"forgotten": 1} == desk.json("forget")
    assert "0 sign-ups forgotten." == desk.email("forget").strip()
    with shop(url=desk.url) as crm:
        known = [Identifier("guest_email", f"{name}@example.com") for name in ("ada", "ben")]
        assert [False, True] == [crm.find_customer(each) is not None for each in known]
