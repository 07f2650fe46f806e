import pytest
from crmcore_tiering import Tiering


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"scheme": "abc"}, "scheme"),
        ({"review_every_days": -1}, "review_every_days is -1"),
        ({"review_every_days": 1.5}, "review_every_days"),
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
    with pytest.raises((ValueError, TypeError), match=problem):
        Tiering(**settings)


def test_extremes():
    """The widest bands that still leave a way up and down are accepted."""
    Tiering(a_percent=1, b_percent=100, band_percent=0)
    Tiering(a_percent=33, b_percent=68, band_percent=17, review_every_days=0)
    Tiering(scheme="rfm", a_score=14, b_score=5, band_score=1)
