from billing.models.billing_details import BillingDetails
from billing.models.card import SavedCard
from billing.models.closed_day import ClosedDay
from billing.models.correction import Correction, EventCorrection
from billing.models.dispute import Dispute
from billing.models.draft import DraftLine, PriceDraft
from billing.models.forecast import Forecast, ForecastSum
from billing.models.grant import CreditGrant, GrantBurn
from billing.models.ledger import Account, Balance, LedgerEntry, LedgerTransaction, TransactionKind
from billing.models.nightly import NightlyRun, NightlyStep
from billing.models.notice import BalanceThreshold, Notice, NoticeChoice, NoticeKind, NoticeMail, NoticeWatch
from billing.models.payment import StripeCustomer, TopUp, WebhookEvent
from billing.models.payment_difference import PaymentDifference
from billing.models.plan import Plan, PlanVersion, Subscription, SubscriptionEvent, SubscriptionPeriod
from billing.models.plan_promise import PlanPromise
from billing.models.price import Price, PriceList, PriceVersion
from billing.models.promotion import PromotionCode, PromotionPromise, PromotionRedemption
from billing.models.proof import ProofResult, ProofRun
from billing.models.quarantine_run import QuarantineRun
from billing.models.recharge import AutoRecharge
from billing.models.refund import PaymentMark, Refund
from billing.models.rollup import DailyUsage, HourlyUsage, RollupKind
from billing.models.route_cost import RouteCost, RouteCostLine
from billing.models.secret_use import SecretUse
from billing.models.segment import QuarantinedLine, QuarantineReason, Segment
from billing.models.source import SequenceGap, UsageSource
from billing.models.statement import Section, Statement, StatementLine
from billing.models.statement_order import StatementOrder
from billing.models.stored import StoredAnswer
from billing.models.terms import OrganizationTerms
from billing.models.usage_event import Outcome, UsageEvent

__all__ = [
    "Account",
    "AutoRecharge",
    "Balance",
    "BalanceThreshold",
    "BillingDetails",
    "ClosedDay",
    "Correction",
    "CreditGrant",
    "DailyUsage",
    "Dispute",
    "DraftLine",
    "EventCorrection",
    "Forecast",
    "ForecastSum",
    "GrantBurn",
    "HourlyUsage",
    "LedgerEntry",
    "LedgerTransaction",
    "NightlyRun",
    "NightlyStep",
    "Notice",
    "NoticeChoice",
    "NoticeKind",
    "NoticeMail",
    "NoticeWatch",
    "OrganizationTerms",
    "Outcome",
    "PaymentDifference",
    "PaymentMark",
    "Plan",
    "PlanPromise",
    "PlanVersion",
    "Price",
    "PriceDraft",
    "PriceList",
    "PriceVersion",
    "PromotionCode",
    "PromotionPromise",
    "PromotionRedemption",
    "ProofResult",
    "ProofRun",
    "QuarantineReason",
    "QuarantineRun",
    "QuarantinedLine",
    "Refund",
    "RollupKind",
    "RouteCost",
    "RouteCostLine",
    "SavedCard",
    "SecretUse",
    "Section",
    "Segment",
    "SequenceGap",
    "Statement",
    "StatementLine",
    "StatementOrder",
    "StoredAnswer",
    "StripeCustomer",
    "Subscription",
    "SubscriptionEvent",
    "SubscriptionPeriod",
    "TopUp",
    "TransactionKind",
    "UsageEvent",
    "UsageSource",
    "WebhookEvent",
]
