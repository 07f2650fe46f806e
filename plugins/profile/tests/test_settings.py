import pytest
from crmcore_profile import AttributeSettings, Profile, Stated

from crmcore import Crm
from crmcore.errors import ConfigurationError, InputError


def size(**settings):
    return {"attributes": {"shoe_size": AttributeSettings(**settings)}}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"attributes": []}, r"^attributes is \[\]; a table of tables is expected$"),
        ({"attributes": {"size": 7}}, r"^attributes.size is 7; a table, in code Attribute"),
        ({"attributes": {"Shoe Size": AttributeSettings()}}, "a name of up to 40 small letters"),
        ({"attributes": {"hour": AttributeSettings()}}, "a trait of another meaning"),
        (size(type="numbr"), r"^attributes.shoe_size.type is 'numbr' \(did you mean 'number'\?\)"),
        (size(policy="latest"), "'newest' or 'most_trusted' or 'most_frequent' is expected$"),
        (size(type="choice"), "a choice has options"),
        (size(type="number", options=["1"]), "nothing else has any"),
        (size(weight=-1), "^attributes.shoe_size.weight is -1; a whole number from 0 to 36525"),
        (size(stale_after_days=True), "stale_after_days is True"),
        ({"age_bands": [18, 18]}, r"^age_bands is \[18, 18\]; ascending ages from 1 to 149"),
        ({"age_bands": 18}, "^age_bands is 18"),
        ({"child_groups": {"baby": 3}}, "^child_groups is {'baby': 3}; names with different ages"),
        ({"child_groups": {}}, "^child_groups is {}"),
        ({"child_groups": {"a": 0, "b": 0}}, "different ages in months"),
        ({"leap_day": "feb29"}, "^leap_day is 'feb29'"),
        ({"half_life_days": 0}, "^half_life_days is 0; a whole number from 1 to 36525"),
        ({"overdue_percent": 99}, "^overdue_percent is 99"),
        ({"shipping_minor": -1}, "^shipping_minor is -1"),
    ],
)
def test_refused(settings, problem):
    """A setting that makes no sense is refused, with its name and one sentence."""
    with pytest.raises(ConfigurationError, match=problem):
        Profile(**settings)


def test_from_a_file(tmp_path):
    """What crm.toml says of an attribute changes that, and leaves all else as it comes."""
    (tmp_path / "crm.toml").write_text(
        """
        [crm]
        database = "sqlite://"
        [plugins.profile]
        shipping_minor = 450
        [plugins.profile.attributes.gender]
        weight = 5
        [plugins.profile.attributes.children]
        enabled = false
        [plugins.profile.attributes.shoe_size]
        type = "number"
        question = "Which size do you wear?"
        """
    )
    with Crm.from_config(tmp_path / "crm.toml") as crm:
        profile = crm.plugin(Profile)
        traits = crm.assembly.traits

    assert 450 == profile.costs.shipment_minor
    assert {"profile.shoe_size", "profile.gender", "profile.age_band"} <= set(traits)
    assert {"profile.children", "profile.life_stage"}.isdisjoint(traits)
    stated = Stated(attribute="gender", value="female")
    assert stated == profile.draft("gender", "female", customer=1).payload


def test_told_in_a_file(tmp_path):
    """A misspelt setting of an attribute is told with the nearest right one."""
    (tmp_path / "crm.toml").write_text("[plugins.profile.attributes.city]\nwieght = 5\n")

    with pytest.raises(ConfigurationError, match=r"wieght' \(did you mean 'weight'\?\)"):
        Crm.from_config(tmp_path / "crm.toml")


def test_drafts_are_checked():
    """A draft is made of an attribute that there is, and a value that it can have."""
    profile = Profile()

    with pytest.raises(InputError, match=r"no attribute 'brithday' \(did you mean 'birthday'\?\)"):
        profile.draft("brithday", "1984-05-17", customer=1)
    with pytest.raises(InputError, match="birthday is '17 May'; a date such as 1984-05-17, or"):
        profile.draft("birthday", "17 May", customer=1)
