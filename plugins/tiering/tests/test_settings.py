import pytest
from crmcore_tiering import Tiering

from crmcore import Crm
from crmcore.errors import ConfigurationError


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"scheme": "abc"}, "^scheme is 'abc'; 'pareto' or 'rfm' is expected$"),
        ({"scheme": ["rfm"]}, r"^scheme is \['rfm'\]; 'pareto' or 'rfm' is expected$"),
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
    told = "'rmf' (did you mean 'rfm'?); 'pareto' or 'rfm' is expected"
    (tmp_path / "crm.toml").write_text('[plugins.tiering]\nscheme = "rmf"\n')

    with pytest.raises(ConfigurationError) as in_code:
        Tiering(scheme="rmf")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError) as in_file:
        Crm.from_config(tmp_path / "crm.toml")

    assert f"scheme is {told}" == str(in_code.value)
    assert str(in_file.value).endswith(f"[plugins.tiering]: field 'scheme': {told}")


def test_extremes():
    """The widest bands that still leave a way up and down are accepted."""
    Tiering(a_percent=1, b_percent=100, band_percent=0)
    Tiering(a_percent=33, b_percent=68, band_percent=17, review_every_days=0)
    Tiering(scheme="rfm", a_score=14, b_score=5, band_score=1)
