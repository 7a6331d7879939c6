"""Whatever can happen to a request has words for customers."""

from billing import rating, receipts
from billing.models import Outcome
from gateway import errors
from gateway.deciding.verdicts import Verdict
from website import wording


def test_every_outcome_has_words() -> None:
    assert set(wording.OUTCOMES) == set(Outcome.values)


def test_every_reason_of_a_charge_has_words() -> None:
    given = {*rating.CHARGED.values(), *rating.NOT_CHARGED.values(), "as_estimated"}
    assert set(wording.REASONS) == given


def test_every_multiplier_has_words() -> None:
    assert set(wording.MULTIPLIERS) == set(receipts.Reason)


def test_every_error_of_the_gateway_is_on_the_page() -> None:
    known = [value for value in vars(errors).values() if isinstance(value, errors.ApiError)]
    known += [errors.refusal(verdict) for verdict in Verdict if verdict is not Verdict.ALLOWED]
    told = {(status, code) for status, code, _ in wording.ERRORS}
    assert {(error.status, error.code or "") for error in known} <= told
