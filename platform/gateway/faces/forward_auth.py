"""Forward-auth: a proxy asks with the client's own headers whether to pass a request on. Exactly 200 allows."""

import json
from functools import lru_cache
from urllib.parse import parse_qs, quote, unquote
from uuid import UUID

import structlog
from django.conf import settings

from gateway import errors
from gateway.asking.endpoints import FORWARDED, MODELS_SCOPE
from gateway.deciding.rate_headers import rate_headers
from gateway.deciding.refusing import refusal_of
from gateway.errors import ApiError
from gateway.faces.cases import Case, Cases, Judged
from gateway.faces.known_gateways import KnownGateways
from gateway.http.incoming import Incoming
from gateway.http.outgoing import Outgoing
from gateway.http.spoken import Spoken, spoken
from gateway.offering import model_list
from gateway.offering.own_key import KEY_PATH
from hotstate.errors import Unreachable

log = structlog.get_logger(__name__)

AUTH_PATH = "/auth/check"
PLAIN = "text/plain"
# Always all of them: what an answer omits, a client could forge.
IDENTITY_HEADERS = (
    "x-request-id",
    "x-key-id",
    "x-org-id",
    "x-plan",
    "x-scopes",
    "x-models",
    "x-model-checked",
    "x-hold",
    "x-route",
)
# Proxies differ in whether `X_Key_Id` or `X.Key.Id` is the same header.
UNALIASED = frozenset(
    {
        *IDENTITY_HEADERS,
        "authorization",
        "api-key",
        "x-gateway-credential",
        "x-auth-model",
        "x-auth-status",
        "x-auth-code",
        "x-auth-error",
        "x-forwarded-uri",
        "x-forwarded-method",
        "x-original-method",
        "x-forwarded-for",
        "x-original-uri",
    }
)
DASHED = bytes.maketrans(b"_.", b"--")
NGINX = "nginx"


def covers(path: str) -> bool:
    """Whether that is this face's path."""
    return path == AUTH_PATH or path.startswith(AUTH_PATH + "/")


class ForwardAuth:
    def __init__(self, cases: Cases, known: KnownGateways) -> None:
        self._cases = cases
        self._known = known

    async def answer(self, incoming: Incoming, outgoing: Outgoing, request_id: UUID) -> None:
        """Answer one question, whatever its method."""
        for_nginx = bool(incoming.query) and parse_qs(incoming.query).get("profile") == [NGINX]
        try:
            judged = await self._judge(incoming, request_id)
            outgoing.rate_headers = rate_headers(judged.decision.limits)
            if not judged.allowed:
                raise refusal_of(judged.decision, judged.question)
        except Unreachable as error:
            log.warning("no decision", request=str(request_id), error=str(error))
            await _refuse(outgoing, errors.UNAVAILABLE, for_nginx=for_nginx)
        except ApiError as error:
            await _refuse(outgoing, error, for_nginx=for_nginx)
        else:
            headers = identity_headers(judged)
            if for_nginx:
                headers |= {"x-auth-status": "200", "x-auth-code": "", "x-auth-error": ""}
            await outgoing.whole(200, b"", content_type=PLAIN, headers=headers)

    async def _judge(self, incoming: Incoming, request_id: UUID) -> Judged:
        credential = await self._known.shown_in(incoming)
        if credential is None:
            raise errors.GATEWAY_NOT_KNOWN
        if _has_alias(tuple(incoming.names())):
            raise errors.HEADER_ALIAS
        secret = incoming.secret()
        path = original_path(incoming)
        below = settings.DIALECT.below_base(path) or ""
        endpoint = FORWARDED.get(below)
        model, scope = _model(incoming), None
        if endpoint:
            scope = endpoint.scope
        elif model_list.covers(below):
            scope, model = MODELS_SCOPE, model_list.wanted(below, original_query(incoming)) or None
        elif below == KEY_PATH:
            model = None
        else:
            raise errors.NO_SUCH_PATH
        if original_method(incoming) not in ((None, "POST") if endpoint else (None, "GET", "HEAD")):
            raise errors.WRONG_METHOD
        # The gateway that asks is itself a hop: the peer is never the client.
        address = incoming.address(max(1, settings.FORWARD_AUTH_PROXIES))
        case = Case(
            request_id=request_id,
            scope=scope,
            endpoint=endpoint,
            model=model,
            address=address,
            face="forward-auth",
            holder=str(credential.pk),
        )
        return await self._cases.judge(case, secret, credential)


def identity_headers(judged: Judged) -> dict[str, str]:
    """What the proxy passes on; a list is joined by commas, and what isn't safe in it percent-encoded."""
    record = judged.identity.record if judged.identity else None
    hold = judged.hold_nanos
    return {
        "x-request-id": judged.question.request_id,
        "x-key-id": record.key if record else "",
        "x-org-id": record.org if record else "",
        "x-plan": judged.identity.organization.plan if judged.identity else "",
        "x-scopes": _joined(record.scopes) if record else "",
        "x-models": _joined(judged.models),
        "x-model-checked": "true" if judged.model_checked else "false",
        "x-hold": "" if hold is None else str(hold),
        "x-route": judged.route,
    }


def original_path(incoming: Incoming) -> str:
    """The path that the client asked for. Raises ApiError where it is unknown or two say different things."""
    told = *incoming.values(b"x-forwarded-uri"), *incoming.values(b"x-original-uri")
    return _agreed(incoming.path.removeprefix(AUTH_PATH), told)


def original_query(incoming: Incoming) -> str:
    """The query of the client's URL. Raises ApiError where two different ones are told."""
    told = {
        uri.partition("?")[2] for uri in (*incoming.values(b"x-forwarded-uri"), *incoming.values(b"x-original-uri"))
    }
    if len(told) > 1:
        raise errors.bad_request("The query of the original request is given twice, and not the same.")
    return told.pop() if told else incoming.query


def original_method(incoming: Incoming) -> str | None:
    """The method of the client's request; None where it isn't told: some proxies always ask with GET.

    Raises ApiError where two different ones are told.
    """
    told = {*incoming.values(b"x-forwarded-method"), *incoming.values(b"x-original-method")} - {""}
    if len(told) > 1:
        raise errors.bad_request("The method of the original request is given twice, and not the same.")
    if told:
        return told.pop()
    return None if incoming.method == "GET" else incoming.method


# Most questions are about the same few paths.
@lru_cache(1024)
def _agreed(suffix: str, told: tuple[str, ...]) -> str:
    paths = {path for path in (suffix, *(unquote(uri.partition("?")[0]) for uri in told)) if path.strip("/")}
    if not paths:
        raise errors.bad_request("The path of the original request is missing: send it in X-Original-URI.")
    if len(paths) > 1:
        raise errors.bad_request("The path of the original request is given twice, and not the same.")
    path = paths.pop()
    segments = path.split("/")[1:]
    # What a proxy might resolve to another path than the one that is judged here.
    if not path.startswith("/") or {"", ".", ".."} & set(segments) or any(odd in path for odd in "\\%;?#"):
        raise errors.bad_request("The path of the original request is ambiguous.")
    return path


def _model(incoming: Incoming) -> str | None:
    named = {_utf8(value.strip()) for value in incoming.values(b"x-auth-model")} - {""}
    if len(named) > 1:
        raise errors.bad_request("X-Auth-Model is given twice, and not the same.")
    return named.pop() if named else None


def _utf8(value: str) -> str:
    """A gateway that reads the model from the body sends its bytes as they are."""
    return value.encode("latin-1").decode("utf-8", errors="replace")


# A proxy sends the same few headers again and again.
@lru_cache(128)
def _has_alias(names: tuple[bytes, ...]) -> bool:
    return any(
        (b"_" in name or b"." in name) and name.translate(DASHED).decode("latin-1") in UNALIASED for name in names
    )


async def _refuse(outgoing: Outgoing, error: ApiError, *, for_nginx: bool) -> None:
    if not for_nginx:
        await outgoing.error(error)
        return
    # To nginx any other status is a failure of its own, answered with 500.
    said = spoken(error)
    status = 401 if said.status == 401 else 403
    told = {"x-auth-status": str(said.status), "x-auth-code": said.code or "", "x-auth-error": _as_header(said)}
    await outgoing.whole(status, said.body, headers={**said.headers, **told})


def _as_header(said: Spoken) -> str:
    """The body in ASCII, for a proxy that passes on headers and drops bodies."""
    return json.dumps({"error": said.told})


@lru_cache(4096)
def _joined(words: frozenset[str]) -> str:
    return ",".join(quote(word, safe="/:*@+") for word in sorted(words))
