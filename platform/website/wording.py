"""How outcomes, reasons and errors of a request are told to customers, in plain words."""

OUTCOMES = {
    "completed": "The request completed.",
    "client_disconnected": "Your client closed the connection before the answer was complete.",
    "hold_exhausted": "The answer outgrew its length limit, the balance or the key's budget, so it was ended.",
    "upstream_error": "The model server failed. We couldn't complete this request.",
    "timeout": "The model server took too long to answer.",
    "refused": "The model server refused the request as it was sent.",
}
REASONS = {
    "as_reported": "Charged as the model server reported its usage.",
    "as_estimated": "The model server reported no usage, so it was charged by our own count.",
    "until_disconnect": "Charged for the input and for what was produced until the connection closed.",
    "until_exhausted": "Charged for the input and for what was produced until the answer was ended.",
    "upstream_failed": "Not charged: a failed request costs nothing.",
    "timed_out": "Not charged: a request that timed out costs nothing.",
    "upstream_refused": "Not charged: a refused request costs nothing.",
}
MULTIPLIERS = {"discount": "Discount", "off_peak": "Off-peak", "other": "Multiplier"}
# (status, code, what it means and what to do); an empty code is one that OpenAI leaves null.
ERRORS = (
    (400, "", "The request can't be understood. The message says why, and names the field where it can."),
    (
        400,
        "context_length_exceeded",
        "The text is beyond the model's context window. Send less, or ask for less.",
    ),
    (400, "two_api_keys", "The request has two different keys. Send one."),
    (401, "invalid_api_key", "The key is missing, wrong, expired or revoked. Create another in the console."),
    (401, "invalid_gateway_credential", "Only gateways may ask this, and they show a credential of their own."),
    (
        503,
        "invalid_gateway_credential",
        "The gateway in front isn't known here. Tell its operator; your key is fine.",
    ),
    (400, "header_alias", "A header's name is another's with an underscore or a dot. Don't send it."),
    (401, "missing_scope", "The key may not call this endpoint. Use one that has the scope."),
    (403, "organization_suspended", "All keys of the organization are refused until it is reinstated."),
    (403, "https_required", "Plain HTTP isn't answered. Use https, and rotate the key: others may have read it."),
    (404, "model_not_found", "There is no such model, or the key may not use it."),
    (404, "not_found", "Nothing of yours is stored by this id: deleted, too old, or never there."),
    (404, "unknown_url", "There is nothing at this address. Look at the base URL."),
    (405, "method_not_allowed", "The address exists, but doesn't answer to this method."),
    (408, "request_timeout", "The body didn't arrive in time. Try again."),
    (409, "request_id_used", "A gateway brought the id of another request. It has to bring a new one for each."),
    (413, "request_too_large", "The body is larger than allowed. Send less at once."),
    (431, "headers_too_large", "The URL and the headers are larger than allowed. Send less in them."),
    (403, "address_not_allowed", "The key may only be used from certain networks, and the request came from another."),
    (429, "key_budget_exhausted", "The key's own budget doesn't cover what the request may cost. Raise it, or wait."),
    (429, "rate_limit_exceeded", "Too many requests or tokens. Wait as long as Retry-After says."),
    (429, "concurrency_limit_exceeded", "Too many requests at once. Try again when one has ended."),
    (
        429,
        "credit_balance_exhausted",
        "The balance doesn't cover what the request may cost. Repeating it doesn't help.",
    ),
    (429, "hold_exhausted", "The answer outgrew its limit, the balance or a budget; what was produced is charged."),
    (500, "internal_error", "Something broke on our side. It is in our logs under the request id."),
    (502, "bad_gateway", "The model server answered nonsense. Try again; it wasn't charged."),
    (503, "service_unavailable", "We can't decide right now. Wait as long as Retry-After says."),
    (503, "model_unavailable", "The model server can't be reached. Try again; it wasn't charged."),
    (503, "model_overloaded", "The model is busy. Wait as long as Retry-After says; it wasn't charged."),
    (504, "model_timeout", "The model server took too long. Try again; it wasn't charged."),
)
