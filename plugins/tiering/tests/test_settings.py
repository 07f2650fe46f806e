import pytest
from crmcore_tiering import Tiering

from crmcore import Crm
from crmcore.errors import ConfigurationError, InputError


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"scheme": "abc"}, "^scheme is 'abc'; 'pareto' or 'rfm' or 'predicted' is expected$"),
        ({"scheme": ["rfm"]}, r"^scheme is \['rfm'\]; 'pareto' or 'rfm' or 'predicted' is"),
        ({"review_every_days": -1}, "review_every_days is -1"),
        ({"review_every_days": 1.5}, "^review_every_days is 1.5; a whole number is expected$"),
        ({"a_percent": True}, "^a_percent is True; a whole number is expected$"),
        ({"a_percent": 95, "b_percent": 80}, "a must come before b"),
        ({"a_percent": 80, "b_percent": 84}, "neither touch"),
        ({"b_percent": 99}, "stick out"),
        ({"a_percent": 2}, "stick out"),
        ({"band_percent": -1}, "do not fit"),
        ({"a_score": 8, "b_score": 13}, "b must come before a"),
        ({"a_score": 15}, "stick out"),
        ({"b_score": 4}, "stick out"),
        ({"band_score": 3}, "neither touch"),
    ],
)
def test_refused(settings, problem):
    """A setting that makes no sense is refused, with its name and one sentence."""
    with pytest.raises(ConfigurationError, match=problem) as caught:
        Tiering(**settings)

    assert isinstance(caught.value, ValueError)


def test_refused_in_code_as_in_a_file(tmp_path):
    """A scheme that there is not is told alike in code and in crm.toml, with the nearest."""
    told = "'rmf' (did you mean 'rfm'?); 'pareto' or 'rfm' or 'predicted' is expected"
    (tmp_path / "crm.toml").write_text('[plugins.tiering]\nscheme = "rmf"\n')

    with pytest.raises(ConfigurationError) as in_code:
        Tiering(scheme="rmf")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError) as in_file:
        Crm.from_config(tmp_path / "crm.toml")

    assert f"scheme is {told}" == str(in_code.value)
    assert str(in_file.value).endswith(f"[plugins.tiering]: field 'scheme': {told}")


GOLD = {"name": "gold", "percent": 50, "score": 12}
REST = {"name": "rest"}


@pytest.mark.parametrize(
    ("tiers", "problem"),
    [
        ("gold", "^tiers is 'gold'; a list of Tier is expected$"),
        ([GOLD], "^tiers has only 'gold'; two or more are expected$"),
        ([GOLD, 7], r"^tiers\[1\] is 7; a Tier with a name is expected$"),
        ([GOLD, {"percent": 7}], r"^tiers\[1\] is .*; a Tier with a name is expected$"),
        (
            [GOLD | {"percnt": 1}, REST],
            r"^tiers\[0\] has no field 'percnt' \(did you mean 'percent",
        ),
        ([GOLD, GOLD | {"percent": 70}, REST], r"^tiers\[1\].name is 'gold', as another's is$"),
        ([GOLD, {"name": "none"}], r"^tiers\[1\].name is 'none'; a name of its own"),
        ([GOLD, {"name": " "}], r"^tiers\[1\].name is ' '; a name of its own"),
        ([GOLD, REST | {"percent": 90}], r"^tiers\[1\].percent is 90, but the last tier"),
        ([GOLD, {"name": "b", "percent": 40}, REST], "they must rise from tier to tier"),
        ([GOLD, {"name": "b", "percent": 54}, REST], "neither touch"),
        ([{"name": "gold", "percent": 2}, REST], "stick out"),
        ([{"name": "gold"}, REST], "stick out"),
        ([GOLD | {"most_contacts": -2}, REST], "most_contacts is -2; a whole number of at least"),
        ([GOLD | {"contact_days": 0}, REST], "contact_days is 0"),
        ([GOLD | {"cost_minor": 1.5}, REST], "cost_minor is 1.5; a whole number"),
        ([GOLD | {"benefits": {"a": [1]}}, REST], r"benefits has 'a': \[1\]; texts, numbers"),
    ],
)
def test_refused_tiers(tiers, problem):
    """Tiers that nobody could grade by are refused, with which one and why."""
    with pytest.raises(ConfigurationError, match=problem):
        Tiering(tiers=tiers)


def test_refused_scores():
    """For RFM the scores have to fall."""
    tiers = [GOLD, {"name": "b", "score": 13}, REST]
    with pytest.raises(ConfigurationError, match="from 3 to 15, they must fall from tier to tier"):
        Tiering(scheme="rfm", tiers=tiers)


def test_tiers_of_a_file(tmp_path):
    """Tiers stand in crm.toml as tables of their own, and bring what the shop says."""
    (tmp_path / "crm.toml").write_text(
        "[[plugins.tiering.tiers]]\n"
        'name = "gold"\npercent = 60\nbenefits = { shipping = "free", points = 2, lounge = true }\n'
        '[[plugins.tiering.tiers]]\nname = "rest"\n'
    )
    with Crm.from_config(tmp_path / "crm.toml") as crm:
        tiering = crm.plugin(Tiering)

        assert {"shipping": "free", "points": 2, "lounge": True} == tiering.benefits("gold")
        assert {} == tiering.benefits("rest")
        with pytest.raises(InputError, match=r"no tier 'glod' \(did you mean 'gold'\?\)"):
            tiering.benefits("glod")
        with crm.begin() as tx, tx.acting(Tiering) as (plugin, ctx):
            plugin.review_now(ctx, ctx.clock.now())
        assert {"gold": 0, "rest": 0} == crm.report("tiering").figures["tiers"]


def test_extremes():
    """The widest bands that still leave a way up and down are accepted."""
    Tiering(a_percent=1, b_percent=100, band_percent=0)
    Tiering(a_percent=33, b_percent=68, band_percent=17, review_every_days=0)
    Tiering(scheme="rfm", a_score=14, b_score=5, band_score=1)
