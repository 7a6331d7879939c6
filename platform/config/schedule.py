"""Every schedule of the product, in one file."""

from typing import Any

SCHEDULE: dict[str, dict[str, Any]] = {
    "recover-hot-state": {"task": "hotstate.tasks.recover_hot_state", "schedule": 2.0},
    "deliver-outbox": {"task": "hotstate.tasks.deliver_outbox", "schedule": 5.0},
    "sweep-segments": {"task": "billing.tasks.sweep_segments", "schedule": 10.0},
    "sweep-lapsed-holds": {"task": "hotstate.tasks.sweep_lapsed_holds", "schedule": 30.0},
    "list-organizations": {"task": "hotstate.tasks.list_organizations", "schedule": 3600.0},
    "note-sequences": {"task": "billing.tasks.note_sequences", "schedule": 10.0},
    "sweep-quarantine-runs": {"task": "billing.tasks.sweep_quarantine_runs", "schedule": 60.0},
    "sweep-forecasts": {"task": "billing.tasks.sweep_forecasts", "schedule": 60.0},
    "sweep-statement-orders": {"task": "billing.tasks.sweep_statement_orders", "schedule": 60.0},
    "watch-pipeline": {"task": "billing.tasks.watch_pipeline", "schedule": 60.0},
    "renew-plans": {"task": "billing.tasks.renew_plans", "schedule": 300.0},
    "make-partitions": {"task": "billing.tasks.make_partitions", "schedule": 3600.0},
    "detach-partitions": {"task": "billing.tasks.detach_partitions", "schedule": 3600.0},
    "sweep-proof-runs": {"task": "billing.tasks.sweep_proof_runs", "schedule": 60.0},
    "watch-for-notices": {"task": "billing.tasks.watch_for_notices", "schedule": 60.0},
    "heal-top-ups": {"task": "billing.tasks.heal_top_ups", "schedule": 120.0},
    "sweep-recharges": {"task": "billing.tasks.sweep_recharges", "schedule": 60.0},
    "nightly": {"task": "billing.tasks.nightly", "schedule": 300.0},
}
