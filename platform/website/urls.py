"""Every page. Addresses say whose page it is: `/o/<org>/…` is a member's, `/staff/…` is staff's."""

from django.urls import include, path

from website.views import decisions, keys, landing, notices, overview, settings, statements, usage, welcome
from website.views.staff import audit, books, gateways, nightly, organizations, prices, quarantine, today
from website.views.staff import decisions as staff_decisions
from website.views.staff import statements as of_customers
from website.views.staff import usage as usage_in

of_organization = [
    path("", overview.overview, name="overview"),
    path("welcome/", welcome.welcome, name="welcome"),
    path("keys/", keys.key_list, name="keys"),
    path("keys/new/", keys.key_create, name="key_create"),
    path("keys/<str:key>/", keys.key_detail, name="key"),
    path("keys/<str:key>/edit/", keys.key_change, name="key_change"),
    path("keys/<str:key>/rotate/", keys.key_rotate, name="key_rotate"),
    path("keys/<str:key>/secrets/<str:secret>/end/", keys.key_end_overlap, name="key_end_overlap"),
    path("keys/<str:key>/in-force/", keys.key_in_force, name="key_in_force"),
    path("keys/<str:key>/try/", decisions.try_key, name="try_key"),
    path("keys/<str:key>/revoke/", keys.key_revoke, name="key_revoke"),
    path("keys/<str:key>/first-request/", welcome.first_request, name="first_request"),
    path("usage/", usage.request_list, name="usage"),
    path("usage/requests.csv", usage.request_csv, name="usage_csv"),
    path("refusals/", decisions.refusals, name="refusals"),
    path("requests/<uuid:request_id>/decision/", decisions.decision, name="decision"),
    path("requests/<uuid:request_id>/", usage.request_receipt, name="request"),
    path("statements/", statements.statement_list, name="statements"),
    path("statements/draw/", statements.statement_draw, name="statement_draw"),
    path("statements/<int:number>/", statements.statement, name="statement"),
    path("statements/<int:number>/statement.csv", statements.statement_csv, name="statement_csv"),
    path("statements/<int:number>/statement.pdf", statements.statement_as_pdf, name="statement_pdf"),
    path("settings/", settings.settings, name="settings"),
    path("settings/notices/", notices.notices, name="notices"),
    path("settings/notices/kinds/", notices.notice_choices, name="notice_choices"),
    path("settings/notices/amounts/", notices.notice_amounts, name="notice_amounts"),
]
of_staff = [
    path("", today.today, name="staff_today"),
    path("alarms/<int:alarm>/close/", today.close_alarm, name="staff_close_alarm"),
    path("prices/", prices.price_list, name="staff_prices"),
    path("prices/<int:model>/", prices.price_edit, name="staff_price"),
    path("organizations/", organizations.organization_list, name="staff_organizations"),
    path("organizations/<str:org>/", organizations.organization_detail, name="staff_organization"),
    path("organizations/<str:org>/adjust/", organizations.adjust, name="staff_adjust"),
    path("organizations/<str:org>/limits/", organizations.limits, name="staff_limits"),
    path("organizations/<str:org>/suspend/", organizations.suspend, name="staff_suspend"),
    path("organizations/<str:org>/reinstate/", organizations.reinstate, name="staff_reinstate"),
    path("organizations/<str:org>/in-force/", organizations.in_force, name="staff_in_force"),
    path("organizations/<str:org>/statements/<int:number>/", of_customers.statement, name="staff_statement"),
    path(
        "organizations/<str:org>/statements/<int:number>/statement.csv",
        of_customers.statement_csv,
        name="staff_statement_csv",
    ),
    path(
        "organizations/<str:org>/statements/<int:number>/statement.pdf",
        of_customers.statement_as_pdf,
        name="staff_statement_pdf",
    ),
    path("gateways/", gateways.gateway_list, name="staff_gateways"),
    path("gateways/new/", gateways.gateway_create, name="staff_gateway_create"),
    path("gateways/<int:gateway>/revoke/", gateways.gateway_revoke, name="staff_gateway_revoke"),
    path("books/", books.books, name="staff_books"),
    path("books/prove/", books.prove, name="staff_prove"),
    path("nightly/", nightly.runs, name="staff_nightly"),
    path("nightly/<str:night>/", nightly.run, name="staff_nightly_run"),
    path("nightly/<str:night>/<str:step>/again/", nightly.again, name="staff_nightly_again"),
    path("books/runs/<int:run>/", books.proof_run, name="staff_proof_run"),
    path("usage/", usage_in.usage_sources, name="staff_usage"),
    path("usage/gaps/<int:gap>/", usage_in.gap_explain, name="staff_gap_explain"),
    path("usage/lapsed/<int:hold>/", usage_in.lapsed_explain, name="staff_lapsed_explain"),
    path("usage/segments/", usage_in.segments, name="staff_segments"),
    path("usage/segments/<int:segment>/", usage_in.segment, name="staff_segment"),
    path("usage/quarantine/", quarantine.reasons, name="staff_quarantine"),
    path("usage/quarantine/lines/<int:line>/", quarantine.line, name="staff_quarantined_line"),
    path("usage/quarantine/lines/<int:line>/replay/", quarantine.replay_line, name="staff_replay_line"),
    path("usage/quarantine/lines/<int:line>/discard/", quarantine.discard_line, name="staff_discard_line"),
    path("usage/quarantine/<str:reason>/", quarantine.kind, name="staff_quarantine_kind"),
    path("usage/quarantine/<str:reason>/replay/", quarantine.replay_kind, name="staff_replay_kind"),
    path("usage/quarantine/<str:reason>/discard/", quarantine.discard_kind, name="staff_discard_kind"),
    path("explain/", staff_decisions.explained, name="staff_explain"),
    path("audit/", audit.audit_trail, name="staff_audit"),
]
urlpatterns = [
    path("", landing.landing, name="landing"),
    path("start/", landing.start, name="start"),
    path("docs/charging/", landing.charging, name="charging"),
    path("notices/stop/<str:token>/", notices.notice_stop, name="notice_stop"),
    path("o/<str:org>/", include(of_organization)),
    path("staff/", include(of_staff)),
]
