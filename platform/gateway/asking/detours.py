"""Members of a body that would lead an upstream past what is judged and charged here. They are refused."""

from typing import Any

from gateway import errors
from gateway.asking.members import Members, value

MOST_MEMBERS = 1_000
# What is read or set here. Servers in Go take a member in any case of its letters, the last of several: one that isn't
# judged would count there.
_JUDGED = frozenset(
    {
        "aspect_ratio",
        "background",
        "best_of",
        "conversation",
        "documents",
        "extra_body",
        "google",
        "image_config",
        "input",
        "input_reference",
        "instructions",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "previous_response_id",
        "prompt",
        "prompt_cache_options",
        "quality",
        "response_format",
        "seconds",
        "service_tier",
        "size",
        "store",
        "stream",
        "stream_format",
        "stream_options",
        "tools",
    }
)
# Ways to another model or another place, of upstreams that are gateways themselves; and a limit of llama.cpp's that
# goes before `max_tokens`.
_ELSEWHERE = frozenset(
    {
        "api_base",
        "api_key",
        "base_url",
        "content_policy_fallbacks",
        "context_window_fallbacks",
        "custom_llm_provider",
        "deployment_id",
        "fallbacks",
        "model_list",
        "models",
        "n_predict",
        "num_retries",
        "user_config",
    }
)
# What model servers know of each other's work: an id that the client chooses, another's cache, session or adapter, a
# place in the queue before all others.
_INSIDE = frozenset(
    {
        "adapter_id",
        "bootstrap_host",
        "bootstrap_port",
        "bootstrap_room",
        "id_slot",
        "kv_transfer_params",
        "lora",
        "lora_path",
        "priority",
        "request_id",
        "rid",
        "session_params",
    }
)
# Most requests have no others.
_PASSED = _JUDGED | {"frequency_penalty", "metadata", "presence_penalty", "stop", "temperature", "top_p", "user"}
_ELSEWHERE_BEGINS = ("litellm_", "mock_", "router_")
# Others cost the vendor more than what is charged.
_TIERS = (None, "auto", "default", "flex")


def check(members: Members) -> None:
    """Raises ApiError."""
    if len(members) > MOST_MEMBERS:
        raise errors.bad_request(f"The request has more than {MOST_MEMBERS:,} members.")
    for name in members.keys() - _PASSED:
        _check_name(name)
    if "extra_body" in members:
        _check_extra(value(members, "extra_body"))
    if "service_tier" in members and value(members, "service_tier") not in _TIERS:
        raise errors.bad_request("`service_tier` has to be auto, default or flex.", param="service_tier")


def _check_name(name: str) -> None:
    folded = name.casefold()
    if folded in _JUDGED:
        raise errors.bad_request(f"`{name[:100]}` is written `{folded}`.", param=folded)
    if _is_detour(folded):
        raise errors.bad_request(f"`{name[:100]}` isn't offered here.", param=folded[:100])


def _is_detour(folded: str) -> bool:
    return folded in _ELSEWHERE or folded in _INSIDE or folded.startswith(_ELSEWHERE_BEGINS)


def _check_extra(extra: Any) -> None:
    """Some upstreams put its members over the others."""
    for name in extra if isinstance(extra, dict) else ():
        folded = name.casefold()
        if (folded in _JUDGED and name != "google") or folded == "extra_body" or _is_detour(folded):
            told = f"extra_body.{name[:100]}"
            raise errors.bad_request(f"`{told}` isn't offered here. Say it beside `extra_body`.", param=told)
