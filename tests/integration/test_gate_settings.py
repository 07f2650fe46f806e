"""`[gate]` in crm.toml: what is right is taken, what is not is named with its cure."""

import pytest

from crmcore import Crm
from crmcore.domain.gate import Cap, GateSettings, Holdout
from crmcore.domain.quiet import QuietHours
from crmcore.errors import ConfigurationError

WRONG = [
    ("basis = { promotions = 'opt_in' }", "did you mean 'promotion'"),
    ("basis = { promotion = 'optin' }", "did you mean 'opt_in'"),
    ("basis = 3", "basis"),
    ("caps = [{ most = 3 }]", "days = 7"),
    ("caps = [{ most = 3, days = 7, per = 'day' }]", "one of the two is expected"),
    ("caps = [{ most = -1, days = 7 }]", "most is -1"),
    ("caps = [{ most = 1, days = 0 }]", "days is 0"),
    ("caps = [{ most = 1, per = 'dya' }]", "did you mean 'day'"),
    ("caps = [{ most = 1, day = 7 }]", "did you mean 'days'"),
    ("caps = [{ most = 1, days = 7, purposes = ['promotoin'] }]", "did you mean 'promotion'"),
    ("quiet = [{ since = '9:00', until = '10:00' }]", "'9:00'"),
    ("quiet = [{ since = '09:00' }]", "until"),
    ("quiet = [{ since = '09:00', until = '10:00', purposes = ['pormotion'] }]", "'promotion'"),
    ("quiet = [{ since = '00:00', until = '00:00' }]", "no moment of a week"),
    ("holdouts = [{ name = 'a', share = 1.5 }]", "share is 1.5"),
    ("holdouts = [{ share = 0.5 }]", "name"),
    ("holdouts = [{ name = 'a', share = 0.5 }, { name = 'a', share = 0.1 }]", "two named 'a'"),
    ("cap = []", "did you mean 'caps'"),
]


@pytest.mark.parametrize(("line", "says"), WRONG)
def test_settings_that_are_not_right(tmp_path, line, says):
    """What is misspelt or out of range in [gate] stops the start, and is named with its cure."""
    path = tmp_path / "crm.toml"
    path.write_text(f'[crm]\ndatabase = "sqlite://"\n[gate]\n{line}\n', encoding="utf-8")

    with pytest.raises(ConfigurationError, match=says) as caught:
        Crm.from_config(path)

    assert "[gate]" in str(caught.value)


def test_settings_of_a_file_are_those_of_the_gate(tmp_path):
    """[gate] of a crm.toml is what `GateSettings` takes."""
    path = tmp_path / "crm.toml"
    path.write_text(
        '[crm]\ndatabase = "sqlite://"\n'
        '[gate]\nbasis = { news = "double_opt_in" }\n'
        '[[gate.caps]]\nmost = 3\ndays = 7\npurposes = ["promotion"]\n'
        '[[gate.quiet]]\nsince = "21:00"\nuntil = "08:00"\nweekdays = ["sat"]\n'
        '[[gate.holdouts]]\nname = "winter"\nshare = 0.1\n',
        encoding="utf-8",
    )
    with Crm.from_config(path) as crm:
        assert crm.runtime.gate == GateSettings(
            basis={"news": "double_opt_in"},
            caps=[Cap(most=3, days=7, purposes=["promotion"])],
            quiet=[QuietHours(since="21:00", until="08:00", weekdays=["sat"])],
            holdouts=[Holdout(name="winter", share=0.1)],
        )


def test_a_cap_of_one_is_one_message():
    """What a cap says of itself counts as people do."""
    assert "at most 1 asking message within 30 days" == str(Cap(most=1, days=30, asks=True))
    assert "at most 2 messages on a day" == str(Cap(most=2, per="day"))
