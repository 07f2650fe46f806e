"""Trials of configurations, against figures counted here by plain Python."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from math import ceil

import pytest
from attrs import define, evolve

from crmcore import Draft, Identifier, Money, Plugin, Report, ReportResult, hookimpl
from crmcore.configuration import Configuration, ShopSettings
from crmcore.domain.relationship import RelationshipSettings
from crmcore.errors import ConfigurationError, HistoryError
from crmcore.replay.history import History, cdnow_mapping, cdnow_path, load_history
from crmcore.replay.trial import kinds_of, try_configuration

DELIVERED, AT_RISK, LAPSED = 14, 14 + 90, 14 + 90 + 90  # days without an order


def configuration(tmp_path, *plugins, **shop):
    settings = ShopSettings(currency="USD", **shop)
    path = tmp_path / "crm.toml"
    return Configuration(
        path=path, shop=settings, relationship=RelationshipSettings(), plugins=tuple(plugins)
    )


@pytest.fixture
def tiering():
    return pytest.importorskip("crmcore_tiering").Tiering()


@pytest.fixture(scope="module")
def rows():
    """The tenth of the CDNOW log that comes as a file of its own: customer, day, cents."""
    found = []
    for line in cdnow_path().with_name("CDNOW_sample.txt").read_text().splitlines():
        number, _, day, _, dollars = line.split()
        at = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).date()
        found.append((number, at, round(float(dollars) * 100)))
    return sorted(found, key=lambda row: row[1])


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    mapping = evolve(
        cdnow_mapping(),
        columns=("customer_id", "sample_id", "date", "number_of_cds", "dollar_value"),
    )
    path = cdnow_path().with_name("CDNOW_sample.txt")
    return load_history(path, mapping, kinds=kinds_of(configuration(tmp_path_factory.mktemp("k"))))


@pytest.fixture(scope="module")
def trial(tmp_path_factory, history):
    from crmcore_tiering import Tiering

    return try_configuration(configuration(tmp_path_factory.mktemp("trial"), Tiering()), history)


def small(*days, name="small", cents=1000):
    """Return a history of one customer who orders on these days of 2024."""
    drafts = [
        Draft(
            "order.placed",
            identifiers=(Identifier("account", "7"),),
            occurred_at=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day),
            amount=Money(cents, "USD"),
            source="shop",
            source_key=f"{place:04d}",
        )
        for place, day in enumerate(days)
    ]
    return History(name=name, drafts=tuple(drafts), rows_read=len(drafts))


def stage_after(days_quiet, orders):
    if days_quiet < DELIVERED:
        return "ordering"
    if days_quiet >= LAPSED:
        return "lapsed"
    if days_quiet >= AT_RISK:
        return "at_risk"
    return "new" if orders == 1 else "repeat" if orders < 5 else "loyal"


def days_of(rows):
    """Return each customer's days with an order, one for each order."""
    found: dict[str, list[date]] = {}
    for customer, day, _ in rows:
        found.setdefault(customer, []).append(day)
    return found


class TestFigures:
    def test_tiering(self, trial, rows):
        """Revenue, the share of the best fifth and the Gini coefficient are those of the log."""
        by_customer: Counter[str] = Counter()
        for customer, _, cents in rows:
            by_customer[customer] += cents
        worth = sorted(by_customer.values(), reverse=True)
        total, count = sum(worth), len(worth)
        reached, needed = 0, 0
        for cents in worth:
            if reached * 100 >= total * 80:
                break
            reached, needed = reached + cents, needed + 1
        ascending = sum(i * x for i, x in enumerate(reversed(worth), start=1))

        figures = trial.to_json()["tiering"]

        assert count == figures["customers"] == 2357
        assert total == figures["revenue_minor"]
        assert sum(worth[: ceil(0.2 * count)]) / total == figures["share_of_top_20_percent"]
        assert needed == figures["a_customers"]
        expected = 2 * ascending / (count * total) - (count + 1) / count
        assert pytest.approx(expected, abs=1e-12) == figures["gini"]
        assert figures["tier_changes"] > 1000
        assert count == figures["first_gradings"] == sum(figures["tiers"].values())

    def test_stages_at_the_end(self, trial, rows):
        """Every customer stands where their last order and the time since then put them."""
        end = rows[-1][1]
        expected = Counter(
            stage_after((end - days[-1]).days, len(days)) for days in days_of(rows).values()
        )

        figures = trial.to_json()["relationship"]

        assert expected == {name: count for name, count in figures["stages"].items() if count}
        assert sum(expected.values()) == figures["customers"]
        assert expected["ordering"] == figures["phases"]["in-sale"]
        assert 0 == figures["phases"]["pre-sale"]

    def test_number_of_stage_changes(self, trial, rows):
        """Each order, each delivery taken for granted and each silence counts once."""
        end = rows[-1][1]
        expected = 0
        for days in days_of(rows).values():
            expected += 1
            for day, following in zip(days, [*days[1:], None], strict=True):
                quiet = ((following or end) - day).days
                expected += sum(quiet >= border for border in (DELIVERED, AT_RISK, LAPSED))
                expected += following is not None and quiet >= DELIVERED

        assert expected == trial.to_json()["relationship"]["stage_changes"]

    def test_stages_by_week(self, trial, rows):
        """At the end of each week, customers stand where their orders before it put them."""
        weeks = trial.to_json()["relationship"]["weeks"]
        first, end = rows[0][1], rows[-1][1]
        customers = days_of(rows)

        assert [str(first + timedelta(days=7 * n)) for n in range(78)] == weeks["first_days"]
        for place in (0, 1, 10, 30, 52, 76):
            # What falls due at the midnight when a week begins belongs to it.
            border = date.fromisoformat(weeks["first_days"][place + 1])
            expected: Counter[str] = Counter()
            for days in customers.values():
                before = [day for day in days if day < border]
                if before:
                    quiet = (border - before[-1]).days - 1
                    expected[stage_after(quiet, len(before))] += 1
            found = {name: counts[place] for name, counts in weeks["stages"].items()}
            assert expected == {name: count for name, count in found.items() if count}
        last = {name: counts[-1] for name, counts in weeks["stages"].items()}
        assert last == {
            name: count
            for name, count in trial.to_json()["relationship"]["stages"].items()
            if name in last
        }
        assert end == date(1998, 6, 30)

    def test_history(self, trial, rows):
        """The figures of the history are those of its file."""
        figures = trial.to_json()["history"]

        assert len(rows) == figures["rows_read"] == figures["interactions"]
        assert 0 == figures["rows_left_out"] == figures["repeated"]
        assert "1997-01-01T00:00:00+00:00" == figures["first_at"]
        assert "1998-06-30T00:00:00+00:00" == figures["last_at"]
        assert len(days_of(rows)) == figures["customers"]

    def test_example(self, trial):
        """The example is a customer about whom the plugin decided something four times."""
        assert trial.example is not None
        assert 4 == len(trial.example.decisions)
        assert all(decision.because for decision in trial.example.decisions)


class TestWeeks:
    def test_in_a_zone_with_summer_time(self, tmp_path):
        """Weeks begin at midnight of the shop's zone, also when its clocks have changed."""
        shop = configuration(tmp_path, zone="Europe/Berlin")
        # In winter, midnight in Berlin is 23:00 UTC; from 31 March 2024 on it is 22:00 UTC.
        history = small(0, 120)

        weeks = try_configuration(shop, history).to_json()["relationship"]["weeks"]

        # Ordered at 1:00 on 1 January, so received at the midnight that begins the 16th, and
        # at risk 90 days later, on 15 April, a Monday like 1 January, when a week begins.
        ordering, new, at_risk = (weeks["stages"][name] for name in ("ordering", "new", "at_risk"))
        monday = weeks["first_days"].index("2024-04-15")
        assert [1, 1, 0] == ordering[:3]
        assert 1 == new[monday - 1]
        assert [0, 1] == at_risk[monday - 1 : monday + 1]


class TestIsolation:
    def test_same_twice(self, tmp_path, tiering):
        """Two trials of one configuration find the same, though they share its plugins."""
        shop = configuration(tmp_path, tiering)
        history = small(*range(0, 200, 9))

        first, second = try_configuration(shop, history), try_configuration(shop, history)

        assert without_cost(first) == without_cost(second)
        assert first.example == second.example

    @pytest.mark.parametrize("batch_size", [1, 2])
    def test_batch_size(self, tmp_path, tiering, batch_size):
        """The size of the batches changes no figure."""
        shop = configuration(tmp_path, tiering)
        history = small(*range(0, 300, 4))

        whole = try_configuration(shop, history)
        parts = try_configuration(shop, history, batch_size=batch_size)

        assert whole.run.batches < parts.run.batches
        assert without_cost(whole) == without_cost(parts)

    def test_own_database(self, tmp_path):
        """The configuration's own database is not even created."""
        shop = configuration(tmp_path, database="sqlite:///own.db")

        try_configuration(shop, small(0))

        assert [] == list(tmp_path.iterdir())

    def test_scratch_database(self, tmp_path, monkeypatch):
        """Nothing is left of the scratch database, also when the trial fails."""
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

        @define(eq=False)
        class Broken(Plugin):
            name = "broken"

            @hookimpl
            def on_started(self, ctx, event):
                raise RuntimeError("no")

        try_configuration(configuration(tmp_path), small(0))
        with pytest.raises(ConfigurationError.__mro__[1], match="broken"):
            try_configuration(configuration(tmp_path, Broken()), small(0))

        assert [] == list(tmp_path.iterdir())

    def test_plugins_are_made_anew(self, tmp_path):
        """What a plugin keeps in its object reaches no other trial."""
        seen = []

        @define(eq=False)
        class Counting(Plugin):
            name = "counting"
            setting: int = 3

            @hookimpl
            def on_interactions_recorded(self, ctx, event):
                seen.append((id(self), self.setting))

        plugin = Counting(setting=5)
        shop = configuration(tmp_path, plugin)
        try_configuration(shop, small(0))
        try_configuration(shop, small(0))

        assert [5, 5] == [setting for _, setting in seen]
        assert id(plugin) not in [number for number, _ in seen]

    def test_progress(self, tmp_path):
        """Progress is told of until all is done."""
        told = []

        try_configuration(
            configuration(tmp_path),
            small(*range(5)),
            batch_size=2,
            progress=lambda done, total: told.append((done, total)),
        )

        assert [(2, 5), (4, 5), (5, 5)] == told


class TestTrouble:
    def test_empty_history(self, tmp_path):
        """A history without any interaction is refused by its name."""
        with pytest.raises(HistoryError, match=r"nothing\.csv: it holds no interaction"):
            try_configuration(configuration(tmp_path), small(name="nothing.csv"))

    def test_report_that_raises(self, tmp_path):
        """A report that raises is missing; the others are there."""

        def fail(ctx):
            raise ZeroDivisionError("nobody")

        @define(eq=False)
        class Reporting(Plugin):
            name = "reporting"

            @hookimpl
            def register_reports(self):
                return [
                    Report(
                        "good", description="good", run=lambda ctx: ReportResult(figures={"x": 1})
                    ),
                    Report("bad", description="bad", run=fail),
                ]

        found = try_configuration(configuration(tmp_path, Reporting()), small(0)).to_json()

        assert {"x": 1} == found["good"]
        told = "plugin 'reporting': report 'bad' raised ZeroDivisionError: nobody"
        assert {"missing": told} == found["bad"]

    def test_report_that_takes_a_name(self, tmp_path):
        """A report cannot take the place of what the trial says itself."""

        @define(eq=False)
        class Taking(Plugin):
            name = "taking"

            @hookimpl
            def register_reports(self):
                return [Report("history", description="", run=lambda ctx: ReportResult(figures={}))]

        with pytest.raises(ConfigurationError, match="'history'"):
            try_configuration(configuration(tmp_path, Taking()), small(0))

    def test_faults_and_debts(self, tmp_path):
        """What plugins raised is counted, with the customers they still owe work for."""

        @define(eq=False)
        class Failing(Plugin):
            name = "failing"

            @hookimpl
            def on_interactions_recorded(self, ctx, event):
                raise ValueError("no such thing")

        trial = try_configuration(configuration(tmp_path, Failing()), small(0, 1))

        run = trial.to_json()["run"]
        assert {"failing": 1} == run["debts"]
        assert 1 == run["faults"]["failing"]["count"]
        latest = run["faults"]["failing"]["latest"]
        assert "ValueError in on_interactions_recorded: no such thing" == latest


def without_cost(trial):
    """Return a trial's figures but for what the computer took."""
    return {name: part for name, part in trial.to_json().items() if name != "run"}
