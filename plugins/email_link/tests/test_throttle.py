"""The throttle against a plain model of what it promises."""

from collections import Counter, defaultdict
from typing import Any

import pytest
from crmcore_email_link import throttle as module
from crmcore_email_link.throttle import LOSSES, STEADY, WORTH, Limits, Providers
from hypothesis import given
from hypothesis import strategies as st

from crmcore.errors import ConfigurationError

Throttle: Any = module.Throttle  # of whatever waits in it


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def ceil_of(size):
    return -(-size // WORTH)


NAMES = st.sampled_from(["a.example", "b.example", "c.example"])
CAMPAIGNS = st.sampled_from(["x", "y", "z"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), NAMES, CAMPAIGNS),
        st.tuples(st.just("take"), NAMES),
        st.tuples(st.just("wait"), st.integers(1, 64)),  # eighths of a second: exact in binary
        st.tuples(st.just("settle"), NAMES, st.sampled_from(["good"] * 6 + ["slowed", "lost"])),
        st.tuples(st.just("open")),
        st.tuples(st.just("close"), NAMES),
        st.tuples(st.just("drain"), NAMES),
    ),
    max_size=120,
)


class Model:
    """One destination, worked out anew from all that ever happened there."""

    def __init__(self, limits):
        self.limits = limits
        self.events = []  # (instant, what)
        self.waiting = []  # (campaign, item), in the order they came
        self.turns = []  # campaigns, whose turn is next first
        self.open = 0

    def state(self, now):
        """Return tokens, share, end of the pause, and whether anybody answered."""
        limits = self.limits
        tokens, at, share, pause, until = float(limits.burst), 1000.0, 1.0, 0.0, 0.0
        streak, losses, proven = 0, 0, False
        for instant, what in [*self.events, (now, "now")]:
            tokens = min(limits.burst, tokens + (instant - at) * (limits.rate or 0) * share)
            at = instant
            if what == "take" and limits.rate is not None:
                tokens -= 1
            elif what == "good":
                proven, losses, streak = True, 0, streak + 1
                if streak % STEADY == 0:
                    share, pause = min(1.0, share + 1 / 8), 0.0
            elif what in ("slowed", "lost"):
                streak = 0
                losses += what == "lost"
                if what == "lost" and proven and losses < LOSSES:
                    continue
                proven = proven and what != "lost"
                if instant < until:
                    continue
                share = max(1 / 64, share / 2)
                pause = min(limits.longest_pause, max(limits.pause, 2 * pause))
                until = instant + pause
        return tokens, share, until, proven

    def next(self, now):
        """Return what may go now; None: nothing."""
        tokens, _, until, _ = self.state(now)
        if not self.waiting or now < until or (self.limits.rate is not None and tokens < 1):
            return None
        campaign = self.turns.pop(0)
        item = next(each for each in self.waiting if each[0] == campaign)
        self.waiting.remove(item)
        if any(each[0] == campaign for each in self.waiting):
            self.turns.append(campaign)
        self.events.append((now, "take"))
        return item

    def allowed(self, now):
        _, share, until, proven = self.state(now)
        if now < until:
            return 0
        return max(1, int(self.limits.connections * share)) if proven else 1


@given(STEPS, st.sampled_from([None, 0.5, 2.0, 8.0]), st.integers(1, 4), st.integers(1, 5))
def test_e19_it_does_what_the_model_does(steps, rate, burst, connections):
    """Turns, tokens, pauses, shares and connections, after any course of events."""
    clock = Clock()
    limits = Limits(rate=rate, burst=burst, connections=connections, pause=1.0, longest_pause=8.0)
    throttle = Throttle(limits=limits, connections=4, clock=clock)
    models: dict[str, Model] = {}
    for number, (what, *rest) in enumerate(steps):
        name: Any = rest[0] if rest and isinstance(rest[0], str) else None
        if what == "wait":
            clock.now += rest[0] / 8
        elif what == "open":
            opened = throttle.open()
            able = {
                each
                for each, model in models.items()
                if model.open < min(model.allowed(clock.now), ceil_of(len(model.waiting)))
            }
            if sum(model.open for model in models.values()) >= 4:
                able = set()
            assert opened in able if able else opened is None
            if opened is not None:
                models[opened].open += 1
        elif what == "add":
            item = (rest[1], number)
            assert name == throttle.add(item, domain=name, campaign=rest[1])
            model = models.setdefault(name, Model(limits))
            model.waiting.append(item)
            if rest[1] not in model.turns:
                model.turns.append(rest[1])
        elif name in models:
            model = models[name]
            if what == "take":
                assert model.next(clock.now) == throttle.take(name)
            elif what == "settle":
                throttle.settle(name, rest[1])
                model.events.append((clock.now, rest[1]))
            elif what == "close" and model.open:
                throttle.close(name)
                model.open -= 1
            elif what == "drain":
                drained = [item for _, item in throttle.drain(name)]
                assert sorted(model.waiting) == sorted(drained)
                model.waiting, model.turns = [], []
        for each, model in models.items():
            assert (model.open <= model.allowed(clock.now)) == throttle.keeps(each)
            wait = throttle.ready_in(each)
            assert (wait is None) == (not model.waiting)
            if wait is not None:
                tokens, _, until, _ = model.state(clock.now)
                goes = clock.now >= until and (rate is None or tokens >= 1)
                assert (wait == 0) == goes


@given(STEPS)
def test_e19_what_happens_to_one_changes_nothing_for_another(steps):
    """The takes of one destination are the same whether the others are there or not."""

    def taken(those):
        clock, found = Clock(), []
        throttle = Throttle(limits=Limits(rate=2.0, burst=2, pause=1.0), clock=clock)
        known = set()
        for number, (what, *rest) in those:
            if what == "wait":
                clock.now += rest[0] / 8
            elif what == "add":
                throttle.add(number, domain=rest[0], campaign=rest[1])
                known.add(rest[0])
            elif what in ("take", "settle") and rest[0] in known:
                if what == "settle":
                    throttle.settle(*rest)
                elif rest[0] == "a.example":
                    found.append(throttle.take("a.example"))
                else:
                    throttle.take(rest[0])
        return found

    numbered = [*enumerate(steps)]
    alone = [each for each in numbered if each[1][0] == "wait" or "a.example" in each[1]]
    assert taken(alone) == taken(numbered)


@given(
    st.lists(st.tuples(CAMPAIGNS, st.integers(1, 30)), min_size=1, max_size=5),
    st.sampled_from([1.0, 4.0]),
    st.integers(1, 5),
)
def test_e19_no_window_has_more_than_its_rate_and_campaigns_take_turns(lots, rate, burst):
    """Asked every eighth of a second: nothing is lost, in turn, and never above the bucket."""
    clock = Clock()
    throttle = Throttle(limits=Limits(rate=rate, burst=burst), clock=clock)
    wanted: Counter[str] = Counter()
    for campaign, count in lots:
        for _ in range(count):
            throttle.add((campaign, wanted[campaign]), domain="a", campaign=campaign)
            wanted[campaign] += 1
    taken = []
    while throttle.ready_in("a") is not None:
        while (item := throttle.take("a")) is not None:
            taken.append((clock.now, item))
        clock.now += 1 / 8
    assert wanted == Counter(campaign for _, (campaign, _) in taken)
    order = defaultdict(list)
    for _, (campaign, number) in taken:
        order[campaign].append(number)
    assert all(numbers == sorted(numbers) for numbers in order.values())
    for first, (since, _) in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last][0] - since) + 1e-6
    # While two campaigns both wait, neither is more than one ahead of the other.
    seen: Counter[str] = Counter()
    for _, (campaign, _) in taken:
        seen[campaign] += 1
        behind = [each for each in wanted if seen[each] < wanted[each]]
        assert all(seen[campaign] - seen[each] <= 1 for each in behind)


def test_e19_the_wait_it_names_is_enough():
    """Whoever waits exactly as long as told gets something, at any rate."""
    for rate in (0.1, 0.3, 0.7, 3.0, 7.0, 11.0, 1 / 3):
        clock = Clock()
        throttle = Throttle(limits=Limits(rate=rate, burst=1), clock=clock)
        for number in range(50):
            throttle.add(number, domain="a")
        for number in range(50):
            assert number == throttle.take("a")
            if number < 49:
                assert throttle.take("a") is None
                clock.now += throttle.ready_in("a")


def test_e18_who_asks_to_slow_down_rests_longer_each_time():
    """15 s, 30 s, 60 s, at most 15 minutes; half the connections; and slowly back."""
    clock = Clock()
    throttle = Throttle(limits=Limits(connections=8), clock=clock)
    for number in range(1000):
        throttle.add(number, domain="a")
    throttle.settle("a", "good")
    for pause in (15, 30, 60, 120, 240, 480, 900, 900):
        throttle.settle("a", "slowed")
        throttle.settle("a", "slowed")  # another connection hears it too: it counts once
        assert pause == throttle.ready_in("a")
        assert throttle.open() is None
        clock.now += pause
    assert ["a", None] == [throttle.open(), throttle.open()]
    for _ in range(8 * STEADY):
        throttle.settle("a", "good")
    assert ["a"] * 7 + [None] == [throttle.open() for _ in range(8)]
    throttle.settle("a", "slowed", retry_after=100.0)
    assert 100 == throttle.ready_in("a")
    clock.now += 100
    throttle.settle("a", "slowed", retry_after=1e9)
    assert 900 == throttle.ready_in("a")


def test_e19_nobody_who_never_answered_gets_a_second_connection():
    """A dead destination takes one; and those that answer share the rest fairly."""
    throttle = Throttle(connections=6, clock=Clock())
    for number in range(100):
        for name in ("a", "b", "dead"):
            throttle.add(number, domain=name)
    for name in ("a", "b"):
        throttle.settle(name, "good")
    opened = Counter(iter(throttle.open, None))
    assert {"a": 3, "b": 2, "dead": 1} == opened
    throttle.settle("dead", "lost")
    throttle.close("dead")
    assert "b" == throttle.open()


def test_e19_losses_in_a_row_make_it_rest():
    """One connection that broke is nothing; three without an answer between them are."""
    throttle = Throttle(clock=Clock())
    throttle.add(1, domain="a")
    throttle.settle("a", "good")
    for told in ("lost", "lost", "good", "lost", "lost"):
        throttle.settle("a", told)
        assert 0 == throttle.ready_in("a")
    throttle.settle("a", "lost")
    assert 15 == throttle.ready_in("a")


def test_e20_a_clock_that_jumps_back_gives_nothing_away():
    """No tokens are made or lost by it."""
    clock = Clock()
    throttle = Throttle(limits=Limits(rate=1.0, burst=1), clock=clock)
    for number in range(3):
        throttle.add(number, domain="a")
    assert 0 == throttle.take("a")
    clock.now -= 500
    assert throttle.take("a") is None
    assert 1 == throttle.ready_in("a")


def test_e19_domains_of_one_provider_share_its_limits():
    """Asked once each, remembered for an hour; what nobody knows stands for itself."""
    clock, asked = Clock(), []

    def resolve(domain):
        asked.append(domain)
        return {"gmail.com": "google", "shop.example": "google"}.get(domain)

    group = Providers(resolve, clock=clock, size=2)
    throttle = Throttle(
        limits=Limits(), own={"google": Limits(rate=1, burst=1)}, group=group, clock=clock
    )
    assert ["google", "google"] == [
        throttle.add(each, domain=each) for each in ("Gmail.com.", "shop.example")
    ]
    assert "Gmail.com." == throttle.take("google")
    assert throttle.take("google") is None
    assert ["gmail.com", "shop.example"] == asked
    assert "google" == group("gmail.com")
    assert 2 == len(asked)
    assert "other.example" == group("other.example")
    assert "google" == group("gmail.com")  # forgotten, as two are remembered
    assert 4 == len(asked)
    clock.now += 3601
    group("gmail.com")
    assert 5 == len(asked)


def test_e19_what_rests_is_forgotten_and_what_does_not_is_not(monkeypatch):
    """Memory is bounded by what there is to remember."""
    monkeypatch.setattr("crmcore_email_link.throttle._KNOWN", 10)
    clock = Clock()
    throttle = Throttle(clock=clock)
    throttle.add(0, domain="slow")
    throttle.settle("slow", "slowed")
    for number in range(1000):
        name = throttle.add(number, domain=f"d{number}.example")
        assert number == throttle.take(name)
    assert len(throttle._known) <= 11
    assert throttle.ready_in("slow") == 15


@pytest.mark.parametrize(
    "wrong",
    [
        {"connections": 0},
        {"burst": 0},
        {"mails_per_connection": 0},
        {"rate": 0},
        {"rate": float("inf")},
        {"rate": float("nan")},
        {"pause": 0},
        {"pause": 10, "longest_pause": 5},
    ],
)
def test_limits_under_which_nothing_goes_are_refused(wrong):
    """With a sentence that names the one that is wrong."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Limits(**wrong)
