"""Any interleaving of requests, settlements, postings, revocations, limit changes and clock steps gives what a plain
Python model of the decision gives."""

from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from hotstate import names, publish, scripts
from hotstate.client import valkey
from hotstate.fast import HotState
from hotstate.records import BalanceRecord, Budgets, KeyRecord, Limits, OrganizationRecord, Spent, Terms, Windows
from tests.cast import ERA, load_into_era
from tests.hotstate.decision_model import KEYS, LEASE_MS, ORG, Answer, Model

# Most often none of what refuses everything, or what is behind it in the order is hardly ever reached.
seldom = st.sampled_from([False, False, False, True])
maybe = st.none() | st.none() | st.integers(1, 6)
limit_sets = st.builds(
    Limits, requests_per_minute=maybe, tokens_per_minute=st.none() | st.integers(1, 500), requests_per_day=maybe,
    concurrent_requests=st.none() | st.integers(1, 2),
)  # fmt: skip
# Few values, so that sums meet limits exactly.
amounts = st.sampled_from([0, 50, 100, 150])
tokens = st.sampled_from([0, 1]) | st.integers(0, 300)
budget = st.sampled_from([None, None, None, None, 0, 100, 150, 300])
budget_sets = st.builds(Budgets, day=budget, week=budget, month=budget, total=budget)


class DecisionMachine(RuleBasedStateMachine):
    @initialize(limits=st.tuples(limit_sets, limit_sets, limit_sets))
    def begin(self, limits: tuple[Limits, ...]) -> None:
        valkey().flushdb()
        self.model, self.version, self.count = Model(), 0, 0
        self.model.limits = dict(zip((*KEYS, ORG), limits, strict=True))
        for key in KEYS:
            self.model.budgets[key] = Budgets()
        self.publish_all()

    def publish_all(self, *posted: str) -> None:
        self.version += 1
        model = self.model
        organization = OrganizationRecord(
            org=ORG,
            version=self.version,
            suspended=model.suspended,
            overdraft_nanos=model.overdraft,
            limits=model.limits[ORG],
            terms=model.terms,
        )
        load_into_era(organization)
        for key in KEYS:
            record = KeyRecord(
                key=key,
                org=ORG,
                version=self.version,
                revoked=key in model.revoked,
                expires_ms=model.expires_ms.get(key),
                scopes=frozenset(),
                models=frozenset(),
                secrets={},
                limits=model.limits[key],
                budgets=model.budgets[key],
            )
            load_into_era(record)
        model.published = {key: (Windows.at(model.now), model.spent_in(key)) for key in KEYS}
        spent = [Spent(key=key, windows=windows, **sums) for key, (windows, sums) in model.published.items()]
        balance = BalanceRecord(org=ORG, version=self.version, nanos=model.balance, posted=posted, spent=tuple(spent))
        load_into_era(balance)

    def run(self, script: str, key: str, *arguments: Any) -> Any:
        return valkey().eval(script, 5, *names.decision_keys(ORG, key), *arguments)

    def ask(
        self, mode: str, key: str, request_id: str, amount: int = 0, tokens: int = 0, found: str = ""
    ) -> tuple[Answer, list[Any]]:
        """What the script says, and what it has seen, as far as it tells."""
        asked = [self.model.now_ms, request_id, self.version, found, amount, LEASE_MS, key, tokens]
        tell, holder = "1" if mode == "dry" else "", "holder"
        verdict, *rest = self.run(
            scripts.DECIDE, key, *asked, *Windows.at(self.model.now), mode, tell, ERA, self.version, holder
        )
        if verdict == b"used":
            return Answer("used"), []
        bound, wait_ms, states, *seen = rest
        told = [value.decode() if isinstance(value, bytes) else value for value in states]
        limits = tuple((name, *told[at + 1 : at + 4]) for at, name in enumerate(told) if at % 4 == 0)
        return Answer(verdict.decode(), bound.decode(), wait_ms, limits), seen

    @rule(key=st.sampled_from(KEYS), asked=st.lists(st.tuples(amounts, tokens, seldom), min_size=1, max_size=6))
    def requests(self, key: str, asked: list[tuple[int, int, bool]]) -> None:
        for amount, estimate, again in asked:
            self.request(key, amount, estimate, again=again)

    def request(self, key: str, amount: int, tokens: int, *, again: bool) -> None:
        if again and self.model.holds:
            request_id = next(iter(self.model.holds))
        else:
            self.count += 1
            request_id = f"r{self.count}"
        answer, seen = self.ask("take", key, request_id, amount, tokens)
        assert answer == self.model.decide(request_id, key, amount, tokens)
        assert bool(seen) == (answer.verdict not in ("allowed", "used"))
        if seen:
            self.was_seen(key, seen[0])

    def was_seen(self, key: str, seen: list[list[bytes]]) -> None:
        """A refusal tells by what it was judged."""
        organization, api_key, counters = (dict(zip(of[::2], of[1::2], strict=True)) for of in seen)
        model = self.model
        assert int(organization[b"balance"]) == model.balance
        assert [int(organization[name]) for name in (b"overdraft", b"suspended")] == [model.overdraft, model.suspended]
        assert int(api_key[b"revoked"]) == (key in model.revoked)
        assert api_key[b"expires"].decode() == str(model.expires_ms.get(key) or "")
        assert int(counters[b"key.held"] or 0) == model.held(key)
        assert [int(counters[name] or 0) for name in (b"key.open", b"open")] == [model.running(key), model.running()]

    @rule(
        key=st.sampled_from(KEYS),
        found=st.sampled_from(["expired", "address_not_allowed", "scope_missing"]),
        amount=amounts,
        tokens=tokens,
    )
    def refused_by_the_caller(self, key: str, found: str, amount: int, tokens: int) -> None:
        """What ranks before it is said instead; nothing is taken either way."""
        expected = self.model.decide("refused", key, amount, tokens, found)
        state = [valkey().dump(name) for name in names.decision_keys(ORG, key)]
        answer, (seen,) = self.ask("take", key, "refused", amount, tokens, found)
        assert answer == expected
        self.was_seen(key, seen)
        assert [valkey().dump(name) for name in names.decision_keys(ORG, key)] == state

    @rule(key=st.sampled_from(KEYS), amount=amounts, tokens=tokens)
    def dry_run(self, key: str, amount: int, tokens: int) -> None:
        """The answer that it would be, and nothing has changed after it."""
        expected = deepcopy(self.model).decide("dry", key, amount, tokens)
        state = [valkey().dump(name) for name in names.decision_keys(ORG, key)]
        answer, (seen,) = self.ask("dry", key, "dry", amount, tokens)
        assert answer == expected
        self.was_seen(key, seen)
        assert [valkey().dump(name) for name in names.decision_keys(ORG, key)] == state

    @rule(key=st.sampled_from(KEYS))
    def free_question(self, key: str) -> None:
        """It takes nothing, not even of the limits, and is told what they have left."""
        state = [valkey().dump(name) for name in names.decision_keys(ORG, key)]
        assert self.ask("free", key, "free")[0] == self.model.ask(key)
        assert [valkey().dump(name) for name in names.decision_keys(ORG, key)] == state

    @rule(key=st.sampled_from(KEYS))
    def counted_request(self, key: str) -> None:
        """It takes a request of the limits, and no more."""
        self.count += 1
        assert self.ask("count", key, f"r{self.count}")[0] == self.model.count(key)

    @rule(key=st.sampled_from(KEYS), amount=amounts, behind=st.sampled_from([(1, 0), (0, 1), (1, 1)]))
    def request_by_old_records(self, key: str, amount: int, behind: tuple[int, int]) -> None:
        """Judged by an older record of the key or of the organization: both come back, and nothing was taken."""
        state = [valkey().dump(name) for name in names.decision_keys(ORG, key)]
        versions = [self.version - less for less in behind]
        asked = [self.model.now_ms, "old", versions[0], "", amount, LEASE_MS, key, 0, *Windows.at(self.model.now)]
        answer = self.run(scripts.DECIDE, key, *asked, "take", "", ERA, versions[1], "holder")
        if key in self.model.revoked:
            assert answer[0] == b"revoked"
        else:
            verdict, of_key, of_organization = answer
            found = HotState.parse_record(of_key), HotState.parse_organization(of_organization)
            assert (verdict, [record.version for record in found]) == (b"stale", [self.version] * 2)
            assert (found[1].limits, found[1].terms) == (self.model.limits[ORG], self.model.terms)
        assert [valkey().dump(name) for name in names.decision_keys(ORG, key)] == state

    @rule(charge=amounts, tokens=st.integers(0, 400), which=st.integers(0, 5))
    def settle(self, charge: int, tokens: int, which: int) -> None:
        request_id, key, elapsed_ms = self.pick(which)
        settled = self.model.settle(request_id, charge, tokens)
        assert self.run(scripts.SETTLE, key, request_id, charge, tokens, elapsed_ms) == settled

    @rule(which=st.integers(0, 5))
    def release(self, which: int) -> None:
        request_id, key, elapsed_ms = self.pick(which)
        for released in (self.model.release(request_id), False):
            assert self.run(scripts.RELEASE, key, request_id, elapsed_ms) == released

    @rule(which=st.integers(0, 5), nanos=st.sampled_from([50, 100, 150, 200, 300, 400]), times=st.integers(1, 2))
    def grow(self, which: int, nanos: int, times: int) -> None:
        """Twice where nobody heard the answer: it is the same."""
        request_id, key, _ = self.pick(which)
        grown = self.model.grow(request_id, nanos)
        for _ in range(times):
            assert self.run(scripts.GROW, key, request_id, nanos, *Windows.at(self.model.now), ERA) == grown

    @rule(which=st.lists(st.integers(0, 5), min_size=1, max_size=3))
    def renew(self, which: list[int]) -> None:
        request_ids = [self.pick(each)[0] for each in which]
        self.model.renew(request_ids)
        self.run(scripts.RENEW, KEYS[0], self.model.now_ms + LEASE_MS, *request_ids)

    @rule()
    def post(self) -> None:
        """The ledger posts what is settled: new balance, spending and the end of those holds come together."""
        settled = [request_id for request_id, hold in self.model.holds.items() if not hold.open]
        for request_id in settled:
            hold = self.model.holds.pop(request_id)
            self.model.balance -= hold.amount
            self.model.spent[hold.key].append((self.model.now, hold.amount))
        self.publish_all(*settled)

    @rule(nanos=st.integers(0, 500))
    def top_up(self, nanos: int) -> None:
        self.model.balance += nanos
        self.publish_all()

    @rule(key=st.sampled_from(KEYS), limits=limit_sets, budgets=budget_sets)
    def change_key(self, key: str, limits: Limits, budgets: Budgets) -> None:
        self.model.limits[key], self.model.budgets[key] = limits, budgets
        self.publish_all()

    @rule(key=st.sampled_from(KEYS), ahead_ms=st.sampled_from([None, None, None, -1, 0, 1, 20_000, 3_600_000]))
    def change_expiry(self, key: str, ahead_ms: int | None) -> None:
        self.model.expires_ms[key] = None if ahead_ms is None else self.model.now_ms + ahead_ms
        self.publish_all()

    @rule(limits=limit_sets, overdraft=st.integers(0, 100), suspended=seldom)
    def change_organization(self, limits: Limits, overdraft: int, suspended: bool) -> None:
        self.model.limits[ORG], self.model.overdraft, self.model.suspended = limits, overdraft, suspended
        self.publish_all()

    @rule(discount=st.none() | st.integers(0, 10_000))
    def change_terms(self, discount: int | None) -> None:
        self.model.terms = (Terms(effective_ms=self.model.now_ms, own_discount_bp=discount),)
        self.publish_all()

    @rule()
    def revoke(self) -> None:
        """Late, and one of the keys only: a revoked one has no other answer any more."""
        if self.count > 3:
            self.model.revoked.add(KEYS[1])
            self.publish_all()

    @rule(version=st.integers(1, 3))
    def late_write(self, version: int) -> None:
        """A record that was on its way for long changes nothing."""
        late = BalanceRecord(org=ORG, version=max(0, self.version - version), nanos=10**9)
        publish.put(valkey(), late)

    @rule(milliseconds=st.integers(-30_000, 90_000) | st.sampled_from([3_600_000, 86_400_000, -3_600_000]))
    def clock(self, milliseconds: int) -> None:
        self.model.now += timedelta(milliseconds=milliseconds)

    @rule()
    def lapse(self) -> None:
        told = [value.decode() for value in self.run(scripts.LAPSE, KEYS[0], self.model.now_ms)]
        assert {name: int(nanos) for name, nanos in zip(told[::2], told[1::2], strict=True)} == self.model.lapse()

    @rule()
    def lose_everything(self) -> None:
        """Valkey is emptied; records are loaded and gateways tell their holds. Only limits start afresh."""
        valkey().flushdb()
        self.publish_all()
        for request_id, hold in self.model.holds.items():
            state = "open" if hold.open else "settled"
            self.run(scripts.REGISTER, hold.key, hold.until_ms, request_id, state, hold.amount, hold.key)
        self.model.lose()

    @invariant()
    def what_is_held_and_what_limits_have_left_is_the_models(self) -> None:
        if not hasattr(self, "model"):
            return
        model, (organization, _, _, leases, counters) = self.model, names.decision_keys(ORG)
        asking = valkey().pipeline(transaction=False)
        held, counted, open_until = asking.hget(organization, "held").hgetall(counters).zrange(
            leases, 0, -1, withscores=True
        ).execute()  # fmt: skip
        counted = {name.decode(): value for name, value in counted.items()}
        assert int(held or 0) == model.held()
        assert int(counted.get("open", 0)) == model.running()
        open_holds = {name.encode(): hold.until_ms for name, hold in model.holds.items() if hold.open}
        assert dict(open_until) == open_holds
        for key in KEYS:
            assert int(counted.get(f"{key}:held", 0)) == model.held(key)
            assert int(counted.get(f"{key}:open", 0)) == model.running(key)
        for (who, name), moment in model.paid_back_at.items():
            told = counted[name if who == ORG else f"{who}:{name}"]
            assert float(told) == pytest.approx(moment, rel=0, abs=0.01)

    def pick(self, which: int) -> tuple[str, str, int]:
        """A request, its key, and how long ago it was admitted."""
        ids = list(self.model.holds)
        if not ids:
            return "nothing", KEYS[0], 0
        hold = self.model.holds[ids[which % len(ids)]]
        return ids[which % len(ids)], hold.key, self.model.now_ms - hold.admitted_ms


def test_the_script_is_the_model(empty_valkey: Any) -> None:
    run_state_machine_as_test(
        DecisionMachine, settings=settings(max_examples=200, stateful_step_count=50, deadline=None)
    )


@pytest.mark.extended
@pytest.mark.timeout(3600)
def test_the_script_is_the_model_at_length(empty_valkey: Any) -> None:
    run_state_machine_as_test(
        DecisionMachine, settings=settings(max_examples=1500, stateful_step_count=80, deadline=None)
    )
