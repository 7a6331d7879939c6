"""For each proof one row is changed behind the database's back: it turns red and names the row, and only what depends
on that row turns red with it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection

from accounts.models import ApiKey
from billing import closing, proofs
from billing.closing import close_day
from billing.models import (
    CreditGrant,
    DailyUsage,
    EventCorrection,
    GrantBurn,
    HourlyUsage,
    LedgerTransaction,
    PriceVersion,
    ProofRun,
    QuarantinedLine,
    QuarantineRun,
    Segment,
    SequenceGap,
    Statement,
    Subscription,
    SubscriptionPeriod,
    TopUp,
    UsageEvent,
)
from billing.plans.choosing import choose
from billing.proofs.proving import prove
from billing.sequences import explain_gap, note_sequences
from billing.statements.drawing import draw
from tests.billing.proofs.conftest import DAY, NEXT_NOON, NOON, forget_outbox, post, red
from tests.cast import PRICES, give_credit, make_model, make_user, set_prices

Tamper = Callable[..., None]


@pytest.fixture(autouse=True)
def right_before(key: ApiKey) -> None:
    assert red() == {}


def offender(name: str, *others: str) -> str:
    """The offender of the proof of that name, where exactly it and the others are red."""
    found = red()
    assert set(found) == {name, *others}, found
    return found[name].offender


def event(seq: int) -> UsageEvent:
    return UsageEvent.objects.get(seq=seq)


@pytest.fixture
def statement(key: ApiKey) -> Statement:
    """Of the closed day, with a line for each: credit, usage, late usage, a correction."""
    drawn = draw(key.organization, DAY, now=NEXT_NOON)
    connection.check_constraints()
    assert red() == {}
    return drawn


def test_every_proof_has_looked_at_something(statement: Statement) -> None:
    idle = {result.name for result in prove(NEXT_NOON) if not result.checked}
    assert idle == set()


def test_every_proof_is_tampered_with_here() -> None:
    source = Path(__file__).read_text()
    assert [proof.name for proof in proofs.PROOFS if f'offender("{proof.name}"' not in source] == []


def test_transactions(key: ApiKey, tamper: Tamper) -> None:
    entry = LedgerTransaction.objects.get(kind="grant", reason="", operation_key__endswith=":large").entries.get(
        account="promotions"
    )
    tamper("UPDATE billing_ledgerentry SET amount_nanos = amount_nanos + 1 WHERE id = %s", entry.pk)
    assert f"transaction {entry.transaction_id} " in offender("transactions")


def test_a_transaction_that_lost_its_entries(key: ApiKey, tamper: Tamper) -> None:
    entry = LedgerTransaction.objects.get(kind="expiry").entries.get(account="breakage")
    tamper("DELETE FROM billing_ledgerentry WHERE id = %s", entry.pk)
    assert "1 entries" in offender("transactions")


def test_balances(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_balance SET credit_nanos = credit_nanos + 1 WHERE organization_id = %s", key.organization_id)
    assert f"organization {key.organization_id}:" in offender("balances", "grants")


def test_a_balance_and_its_debt_that_differ_by_the_same(key: ApiKey, tamper: Tamper) -> None:
    """What a customer has is right, and yet the books aren't."""
    tamper(
        "UPDATE billing_balance SET credit_nanos = credit_nanos + 1, debt_nanos = debt_nanos + 1"
        " WHERE organization_id = %s",
        key.organization_id,
    )
    assert f"organization {key.organization_id}:" in offender("balances", "grants")


def test_an_entry_of_a_customer(key: ApiKey, tamper: Tamper) -> None:
    entry = LedgerTransaction.objects.get(operation_key__endswith=":large").entries.get(account="customer_credit")
    tamper("UPDATE billing_ledgerentry SET amount_nanos = amount_nanos - 1 WHERE id = %s", entry.pk)
    assert f"organization {key.organization_id}:" in offender("balances", "transactions", "accounts")


def test_money_under_another_account(key: ApiKey, tamper: Tamper) -> None:
    """No sum of an organization or of usage shows it, and revenue would be more than what was charged."""
    for kind, account in (("grant", "promotions"), ("expiry", "breakage"), ("fee", "fees")):
        entry = LedgerTransaction.objects.filter(kind=kind).earliest("id").entries.get(account=account)
        for other in ("revenue", "cash_stripe"):
            tamper("UPDATE billing_ledgerentry SET account = %s WHERE id = %s", other, entry.pk)
            assert f"isn't its kind's: {other}" in offender("accounts")
        tamper("UPDATE billing_ledgerentry SET account = %s WHERE id = %s", account, entry.pk)


def test_accounts_that_were_swapped_between_credit_and_debt(key: ApiKey, tamper: Tamper) -> None:
    entry = LedgerTransaction.objects.get(operation_key__endswith=":large").entries.get(account="customer_credit")
    tamper("UPDATE billing_ledgerentry SET account = 'receivable' WHERE id = %s", entry.pk)
    assert "changed credit by 0" in offender("accounts", "balances")


def test_a_burn_of_another_transaction(key: ApiKey, tamper: Tamper) -> None:
    """What burned is recorded, and a refund unwinds what was recorded."""
    burn = GrantBurn.objects.filter(transaction__kind="usage").earliest("id")
    other = LedgerTransaction.objects.filter(kind="usage").exclude(pk=burn.transaction_id).latest("id")
    tamper("UPDATE billing_grantburn SET transaction_id = %s WHERE id = %s", other.pk, burn.pk)
    assert "changed credit by" in offender("accounts")


def test_a_grant_of_another_transaction(key: ApiKey, tamper: Tamper) -> None:
    grant = CreditGrant.objects.get(transaction__operation_key__endswith=":large")
    other = LedgerTransaction.objects.filter(kind="usage").latest("id")
    tamper("UPDATE billing_creditgrant SET transaction_id = %s WHERE id = %s", other.pk, grant.pk)
    assert "changed credit by" in offender("accounts")


def test_a_transaction_of_another_organization(key: ApiKey, tamper: Tamper) -> None:
    other = CreditGrant.objects.exclude(organization=key.organization).earliest("id").organization_id
    posted = LedgerTransaction.objects.get(operation_key__endswith=":large")
    tamper("UPDATE billing_ledgertransaction SET organization_id = %s WHERE id = %s", other, posted.pk)
    assert f"transaction {posted.pk} " in offender("accounts")


def test_an_entry_of_another_day(key: ApiKey, tamper: Tamper) -> None:
    entry = LedgerTransaction.objects.get(operation_key__endswith=":large").entries.get(account="promotions")
    tamper("UPDATE billing_ledgerentry SET event_day = '2026-01-01' WHERE id = %s", entry.pk)
    assert f"transaction {entry.transaction_id} " in offender("accounts")


def test_a_correction_of_another_transaction(key: ApiKey, tamper: Tamper) -> None:
    made = LedgerTransaction.objects.get(kind="correction")
    tamper("UPDATE billing_ledgertransaction SET corrects_id = NULL WHERE id = %s", made.pk)
    assert f"transaction {made.pk} corrects" in offender("corrections")
    foreign = LedgerTransaction.objects.exclude(organization=key.organization).earliest("id")
    tamper("UPDATE billing_ledgertransaction SET corrects_id = %s WHERE id = %s", foreign.pk, made.pk)
    assert f"one of organization {foreign.organization_id}" in offender("accounts", "corrections")


def test_grants(key: ApiKey, tamper: Tamper) -> None:
    grant = CreditGrant.objects.filter(remaining_nanos__gt=0).latest("id")
    tamper("UPDATE billing_creditgrant SET remaining_nanos = remaining_nanos - 1 WHERE id = %s", grant.pk)
    assert f"organization {key.organization_id}:" in offender("grants", "burns")


def test_burns(key: ApiKey, tamper: Tamper) -> None:
    burn = GrantBurn.objects.latest("id")
    tamper("UPDATE billing_grantburn SET amount_nanos = amount_nanos + 1 WHERE id = %s", burn.pk)
    assert f"grant {burn.grant_id} " in offender("burns", "accounts")


def test_charges(key: ApiKey, tamper: Tamper) -> None:
    """An event's charge is what sums, ledger and its price say, so all of those see that it changed."""
    changed = event(6)
    tamper("UPDATE billing_usageevent SET charge_nanos = charge_nanos + 1 WHERE id = %s", changed.pk)
    assert f"segment {changed.segment_id}," in offender("charges", "hourly_sums", "rerating")


def test_an_event_that_was_deleted(key: ApiKey, tamper: Tamper) -> None:
    gone = event(7)
    tamper("DELETE FROM billing_usageevent WHERE id = %s", gone.pk)
    assert f"segment {gone.segment_id}," in offender("charges", "hourly_sums", "lines")


def test_an_event_of_a_closed_day(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_usageevent SET charge_nanos = charge_nanos + 1 WHERE id = %s", event(2).pk)
    assert "the events" in offender("closed_days", "charges", "hourly_sums", "rerating")


def test_hourly_sums(key: ApiKey, tamper: Tamper) -> None:
    row = HourlyUsage.objects.filter(kind="usage").latest("hour")
    tamper("UPDATE billing_hourlyusage SET output_tokens = output_tokens + 1 WHERE id = %s", row.pk)
    assert f"key {row.api_key_id}," in offender("hourly_sums", "daily_sums")


def test_daily_sums(key: ApiKey, tamper: Tamper) -> None:
    row = DailyUsage.objects.filter(kind="usage").latest("day")
    tamper("UPDATE billing_dailyusage SET events = events + 1 WHERE id = %s", row.pk)
    assert f"{row.day}: organization {row.organization_id}," in offender("daily_sums")


def test_corrections(key: ApiKey, tamper: Tamper) -> None:
    made = EventCorrection.objects.get()
    tamper("UPDATE billing_eventcorrection SET new_charge_nanos = new_charge_nanos + 1 WHERE id = %s", made.pk)
    assert f"{DAY}: organization {key.organization_id}:" in offender("corrections", "rerating")


def test_a_correction_that_begins_elsewhere(key: ApiKey, tamper: Tamper) -> None:
    made = EventCorrection.objects.get()
    tamper(
        "UPDATE billing_eventcorrection SET old_charge_nanos = old_charge_nanos + 1,"
        " new_charge_nanos = new_charge_nanos + 1 WHERE id = %s",
        made.pk,
    )
    assert str(made.event_id) in offender("corrections", "rerating")


def test_a_correction_of_other_units(key: ApiKey, tamper: Tamper) -> None:
    """Of a meter that costs nothing, so that no charge shows it."""
    tamper("""UPDATE billing_eventcorrection SET usage = usage || '{"requests": 3}'""")
    assert "units of the corrections" in offender("corrections")


def test_a_correction_without_its_transaction(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_eventcorrection SET transaction_id = NULL")
    assert "its corrections come to 0" in offender("corrections")


@pytest.mark.parametrize(
    "sql",
    ["DELETE FROM billing_closedday WHERE day = %s", "UPDATE billing_closedday SET closed_at = NULL WHERE day = %s"],
)
def test_a_day_that_was_opened_again(key: ApiKey, tamper: Tamper, sql: str) -> None:
    close_day(DAY + timedelta(days=1), closing.end_of(DAY + timedelta(days=1)))
    tamper(sql, DAY)
    assert f"{DAY} has usage and is open" in offender("closed_days", "nothing_stuck")


def test_closed_days(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_closedday SET charge_nanos = charge_nanos + 1 WHERE day = %s", DAY)
    assert str(DAY) in offender("closed_days")


def test_the_sums_of_a_closed_day(key: ApiKey, tamper: Tamper) -> None:
    row = DailyUsage.objects.get(kind="usage", day=DAY)
    tamper("UPDATE billing_dailyusage SET input_tokens = input_tokens + 1 WHERE id = %s", row.pk)
    assert "the daily sums" in offender("closed_days", "daily_sums")


def test_the_ledger_of_a_closed_day_whose_events_are_detached(key: ApiKey, tamper: Tamper) -> None:
    """Money that moved between two segments of a day: no sum of the day shows it, the hash does."""
    from billing.partitions import partition_name

    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE billing_usageevent DETACH PARTITION {partition_name(DAY)}")
    assert red() == {}
    usage = LedgerTransaction.objects.get(event_day=DAY, kind="usage")
    other = Segment.objects.exclude(pk=int(usage.operation_key.split(":")[1])).first()
    assert other
    forged = f"usage:{other.pk}:{key.organization_id}:{DAY}-again"
    tamper("UPDATE billing_ledgertransaction SET operation_key = %s WHERE id = %s", forged, usage.pk)
    assert "the ledger" in offender("closed_days")


def test_usage_of_a_day_that_nothing_proves(key: ApiKey, tamper: Tamper) -> None:
    usage = LedgerTransaction.objects.get(event_day=DAY, kind="usage")
    tamper("UPDATE billing_ledgertransaction SET event_day = '2026-01-01' WHERE id = %s", usage.pk)
    assert "not as it was closed" in offender("closed_days", "charges", "accounts")


def test_lines(key: ApiKey, tamper: Tamper) -> None:
    line = QuarantinedLine.objects.get()
    tamper("DELETE FROM billing_quarantinedline WHERE id = %s", line.pk)
    assert f"segment {line.segment_id} " in offender("lines")


def test_quarantine(key: ApiKey, tamper: Tamper) -> None:
    """A line that nobody replayed or discarded, and that nobody sees any more."""
    line = QuarantinedLine.objects.get()
    tamper("UPDATE billing_quarantinedline SET resolved_at = now() WHERE id = %s", line.pk)
    assert f"line {line.line} of segment {line.segment_id} is resolved by nothing" in offender("quarantine")


def test_a_line_that_another_segment_resolved(key: ApiKey, tamper: Tamper) -> None:
    line = QuarantinedLine.objects.get()
    other = Segment.objects.earliest("id")
    tamper("UPDATE billing_quarantinedline SET resolved_at = now(), replay_id = %s WHERE id = %s", other.pk, line.pk)
    assert f"segment {other.pk} ({other.identity}) is a replay with 3 lines, and resolved 1" in offender("quarantine")


def test_sequences(key: ApiKey, tamper: Tamper) -> None:
    last = Segment.objects.latest("id")
    tamper(
        "UPDATE billing_segment SET seq_ranges = '{7, 8}', last_seq = 8, received_at = received_at - interval '1 hour'"
        " WHERE id = %s",
        last.pk,
    )
    assert "gw-test: numbers missing, the first 6 to 6" in offender("sequences")


def test_numbers_that_are_missing_within_a_segment(key: ApiKey, tamper: Tamper) -> None:
    last = Segment.objects.latest("id")
    tamper(
        "UPDATE billing_segment SET seq_ranges = '{6, 7, 9, 9}', last_seq = 9,"
        " received_at = received_at - interval '1 hour' WHERE id = %s",
        last.pk,
    )
    assert "the first 8 to 8" in offender("sequences")


def test_a_gap_that_a_person_explained_is_none(key: ApiKey) -> None:
    post(key, 10)
    later = NEXT_NOON + timedelta(hours=1)
    assert "the first 8 to 9" in red(later)["sequences"].offender
    note_sequences(later)
    explain_gap(SequenceGap.objects.get(), "Disk lost", actor=make_user("staff@example.com"), now=later)
    assert "sequences" not in red(later)


def test_a_segment_that_was_only_overtaken_is_no_gap(key: ApiKey) -> None:
    post(key, 9)
    assert red() == {}


def test_rerating(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_usageevent SET reason = 'timed_out' WHERE id = %s", event(6).pk)
    assert str(event(6).pk) in offender("rerating")


def test_a_price_that_was_edited(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_price SET amount_nanos = amount_nanos * 2 WHERE meter = 'output_tokens'")
    first = min(UsageEvent.objects.values_list("pk", flat=True), key=UUID.__str__)
    assert str(first) in offender("rerating")


def test_statements(statement: Statement, tamper: Tamper) -> None:
    tamper("UPDATE billing_statement SET closing_nanos = closing_nanos + 1 WHERE id = %s", statement.pk)
    assert f"statement 1 of organization {statement.organization_id}: opens" in offender("statements")


def test_a_statement_of_which_a_line_is_gone(statement: Statement, tamper: Tamper) -> None:
    tamper("DELETE FROM billing_statementline WHERE statement_id = %s AND section = 'usage'", statement.pk)
    assert f"{statement.line_count - 1} of {statement.line_count} lines" in offender("statements")


def test_a_statement_with_money_under_another_heading(statement: Statement, tamper: Tamper) -> None:
    """Its sum is right."""
    tamper("UPDATE billing_statementline SET section = 'refund' WHERE section = 'grant'")
    assert "grant come to 0" in offender("statements")


def test_a_statement_with_usage_of_another_key(key: ApiKey, statement: Statement, tamper: Tamper) -> None:
    tamper("UPDATE billing_statementline SET api_key = 'key_zzz' WHERE section = 'usage'")
    assert f"key {key.public_id}, model demo-chat: 0 requests" in offender("statements")


def test_a_statement_whose_transaction_is_another(statement: Statement, tamper: Tamper) -> None:
    """Money that the ledger has and the statement hasn't: not even the sum of its own lines shows it."""
    late = LedgerTransaction.objects.get(kind="grant", operation_key__endswith=":large")
    tamper("UPDATE billing_ledgertransaction SET event_day = %s WHERE id = %s", DAY, late.pk)
    assert "grant come to" in offender("statements", "accounts")


def test_a_statement_that_is_missing_in_its_chain(statement: Statement, tamper: Tamper) -> None:
    tamper("UPDATE billing_statement SET number = 2 WHERE id = %s", statement.pk)
    assert "statement 2 of organization" in offender("statements")


def test_prices(key: ApiKey, tamper: Tamper) -> None:
    version = PriceVersion.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX price_versions_do_not_overlap")
    tamper(
        "INSERT INTO billing_priceversion (model_id, effective_from, created_at, reason, off_peak)"
        " SELECT model_id, effective_from, created_at, '', off_peak FROM billing_priceversion WHERE id = %s",
        version.pk,
    )
    assert f"model {version.model_id}:" in offender("prices")


def test_prices_in_force(key: ApiKey, tamper: Tamper) -> None:
    version = PriceVersion.objects.get()
    tamper("UPDATE billing_priceversion SET effective_from = %s WHERE id = %s", NEXT_NOON, version.pk)
    assert f"name price version {version.pk}, which begins at" in offender("prices_in_force")
    tamper("UPDATE billing_priceversion SET effective_from = %s, superseded_at = now() WHERE id = %s", NOON, version.pk)
    assert "which was superseded" in offender("prices_in_force")


def test_an_event_with_the_price_of_another_model(key: ApiKey, tamper: Tamper) -> None:
    """At the same prices, so that it rates the same."""
    make_model("other")
    other = PriceVersion.objects.latest("id")
    tamper("UPDATE billing_usageevent SET price_version_id = %s WHERE seq = 6", other.pk)
    assert f"name price version {other.pk}, which is one of model {other.model_id}" in offender("prices_in_force")


def test_an_event_with_a_price_that_another_followed(key: ApiKey, tamper: Tamper) -> None:
    later = set_prices(PriceVersion.objects.get().model, PRICES, effective_from=NOON - timedelta(hours=1))
    assert "a later version was in force" in offender("prices_in_force")
    tamper("UPDATE billing_priceversion SET effective_from = %s WHERE id = %s", NEXT_NOON + timedelta(1), later.pk)
    assert red() == {}


def test_plans_due(key: ApiKey, tamper: Tamper) -> None:
    overdue = Subscription.objects.get()
    tamper("UPDATE billing_subscription SET due_at = %s WHERE id = %s", NEXT_NOON - timedelta(hours=2), overdue.pk)
    assert f"subscription {overdue.pk} " in offender("plans_due")


def test_plan_periods(key: ApiKey, tamper: Tamper) -> None:
    paid = SubscriptionPeriod.objects.get()
    tamper("UPDATE billing_subscriptionperiod SET fee_id = NULL WHERE id = %s", paid.pk)
    assert f"period 1 of subscription {paid.subscription_id}:" in offender("plan_periods")


def test_a_period_that_is_missing(key: ApiKey, tamper: Tamper) -> None:
    paid = SubscriptionPeriod.objects.get()
    tamper("DELETE FROM billing_subscriptionperiod WHERE id = %s", paid.pk)
    assert f"subscription {paid.subscription_id}: " in offender("plan_periods")


def test_a_period_that_overlaps_the_next(key: ApiKey, tamper: Tamper) -> None:
    subscription = Subscription.objects.get()
    choose(subscription.organization, subscription.version, actor=None, now=NEXT_NOON)
    forget_outbox()
    first = SubscriptionPeriod.objects.get(number=1)
    tamper("UPDATE billing_subscriptionperiod SET cut_at = NULL WHERE id = %s", first.pk)
    assert f"period 2 of subscription {subscription.pk} begins" in offender("plan_periods")


def test_top_ups(key: ApiKey, tamper: Tamper) -> None:
    paid = TopUp.objects.get()
    tamper("UPDATE billing_topup SET amount = amount + 1 WHERE id = %s", paid.pk)
    assert f"top-up {paid.public_id}: 2501 cents (usd) were paid" in offender("top_ups")


def test_a_top_up_in_another_currency(key: ApiKey, tamper: Tamper) -> None:
    tamper("UPDATE billing_topup SET currency = 'jpy' WHERE id = %s", TopUp.objects.get().pk)
    assert "(jpy)" in offender("top_ups")


def test_a_payment_that_the_ledger_does_not_have(key: ApiKey, tamper: Tamper) -> None:
    paid = TopUp.objects.get()
    tamper("UPDATE billing_topup SET payment_intent = 'pi_other' WHERE id = %s", paid.pk)
    found = offender("top_ups")
    assert f"top-up {paid.public_id} is paid (pi_other)" in found
    assert "1 more" in found


def test_credit_that_nobody_paid(key: ApiKey, tamper: Tamper) -> None:
    paid = TopUp.objects.get()
    tamper("DELETE FROM billing_topup WHERE id = %s", paid.pk)
    assert f"transaction {paid.transaction_id} " in offender("top_ups")


def test_a_payment_that_went_to_another_organization(key: ApiKey, tamper: Tamper) -> None:
    paid = TopUp.objects.get()
    tamper("UPDATE billing_topup SET organization_id = %s WHERE id = %s", key.organization_id, paid.pk)
    assert f"top-up {paid.public_id} was credited to organization {paid.organization_id}" in offender("top_ups")


def test_nothing_stuck(key: ApiKey, tamper: Tamper) -> None:
    last = Segment.objects.latest("id")
    tamper(
        "INSERT INTO billing_segment (identity, source, organizations, origin, path, size_bytes, sha256, received_at,"
        " lines, new, duplicate, quarantined, skipped, format, sent_by, sent_sha256, seq_ranges)"
        " SELECT 'stuck', source, organizations, origin, path, 0, '', received_at - interval '1 hour', 0, 0, 0, 0,"
        " 0, format, '', '', '{}'"
        " FROM billing_segment WHERE id = %s",
        last.pk,
    )
    assert "(stuck)" in offender("nothing_stuck")


def test_what_valkey_was_never_told(key: ApiKey) -> None:
    from hotstate.models import OutboxEntry

    give_credit(key.organization, 1, key="untold", now=NEXT_NOON)
    OutboxEntry.objects.update(created_at=NEXT_NOON - timedelta(hours=1))
    assert "what Valkey is to be told" in offender("nothing_stuck")


def test_a_day_that_is_over_and_open(key: ApiKey) -> None:
    after = closing.end_of(DAY + timedelta(days=1))
    assert "nothing_stuck" not in red(after + timedelta(hours=6))
    assert "2026-03-11, which is over, to be closed" in red(after + timedelta(hours=8))["nothing_stuck"].offender


def test_a_run_of_the_proofs_that_never_ends(key: ApiKey) -> None:
    ProofRun.objects.create(asked_at=NEXT_NOON - timedelta(hours=3), started_at=NEXT_NOON - timedelta(hours=1))
    assert red() == {}
    run = ProofRun.objects.create(asked_at=NEXT_NOON - timedelta(hours=3))
    assert f"run {run.pk} of the proofs" in offender("nothing_stuck")


def test_a_run_of_the_quarantine_that_never_ends(key: ApiKey) -> None:
    run = QuarantineRun.objects.create(
        action="replay",
        reason="torn",
        through=QuarantinedLine.objects.get(),
        started_at=NEXT_NOON - timedelta(hours=3),
        total=1,
    )
    assert f"run {run.pk} of the quarantine" in offender("nothing_stuck")


def test_credit_that_expired_and_was_never_taken_back(key: ApiKey) -> None:
    give_credit(key.organization, 1, key="lost", expires_at=NEXT_NOON - timedelta(days=1), now=NOON - timedelta(1))
    forget_outbox()
    assert red(NEXT_NOON - timedelta(hours=6)) == {}
    assert "which has expired" in offender("nothing_stuck")
