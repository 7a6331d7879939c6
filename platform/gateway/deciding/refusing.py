"""A decision other than `allowed`, as the error that tells of it."""

from gateway.deciding.decision import Decision, Question
from gateway.deciding.verdicts import Verdict
from gateway.errors import ApiError, refusal


def refusal_of(decision: Decision, question: Question) -> ApiError:
    """The error, naming what was asked for or what bound."""
    details = {
        Verdict.SCOPE_MISSING: question.scope or "",
        Verdict.MODEL_NOT_FOUND: question.model or "",
        Verdict.ADDRESS_NOT_ALLOWED: question.address or "an unknown address",
    }
    detail = details.get(decision.verdict, decision.bound)
    return refusal(decision.verdict, detail, wait_ms=decision.wait_ms)
