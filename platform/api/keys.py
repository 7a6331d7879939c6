"""`/api/v1/keys`: an organization's API keys, managed by a program with a key of its own."""

from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid5

from django.db.models import QuerySet
from django.utils import timezone
from msgspec import UNSET
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import keys
from accounts.key_terms import KeyTerms
from accounts.models import ApiKey
from accounts.scopes import KEYS_READ, KEYS_WRITE
from api import errors
from api.bounds import beyond
from api.errors import told
from api.key_body import NEW, Change, Revoke, Rotate, Terms, described, read, terms_of
from api.management import ManagementView, acting_key, body_of, organization_of
from gateway.errors import bad_request
from hotstate.errors import Unreachable

PAGE, LARGEST_PAGE = 20, 100
OPERATIONS = UUID("5f0e1f62-6d5b-4c5e-9f0e-0d6a7c1b2e11")
LONGEST_OPERATION = 200


class _KeysView(ManagementView):
    reading = KEYS_READ
    writing = KEYS_WRITE


class KeysView(_KeysView):
    def get(self, request: Request) -> Response:
        """The newest first; `after` is the id of the last one of the page before."""
        size, found = _page_size(request), _keys(request).order_by("-pk")
        if after := request.query_params.get("after"):
            found = found.filter(pk__lt=_key(request, after).pk)
        page, now = list(found[: size + 1]), timezone.now()
        listed = [described(key, now) for key in page[:size]]
        last = listed[-1]["id"] if listed else None
        return Response({"object": "list", "data": listed, "last_id": last, "has_more": len(page) > size})

    def post(self, request: Request) -> Response:
        """A new key, with its secret: the one answer that has it."""
        now, sent = timezone.now(), read(Terms, body_of(request))
        for member in ("name", "scopes"):
            if getattr(sent, member) is UNSET:
                raise bad_request(f"`{member}` is missing.", param=member)
        terms = terms_of(sent, NEW, now)
        _require_within(terms, acting_key(request).terms)
        try:
            key, secret = keys.create_key(
                organization_of(request),
                **vars(terms),
                actor=acting_key(request),
                now=now,
                operation_id=_operation_id(request),
            )
        except keys.AlreadyCreated as made:
            raise told(errors.ALREADY_CREATED, made.key.public_id) from None
        return Response({**described(_key(request, key.public_id), now), "secret": secret}, status=201)


class KeyView(_KeysView):
    def get(self, request: Request, key: str) -> Response:
        return _answer(request, key)

    def patch(self, request: Request, key: str) -> Response:
        """Answers once Valkey has it; 202 where that can't be told."""
        now, api_key = timezone.now(), _key(request, key)
        sent = read(Change, body_of(request))
        terms, old = terms_of(sent, api_key.terms, now), api_key.terms
        if beyond(terms, old):
            _require_within(terms, acting_key(request).terms)
        seen = sent.version or api_key.version
        with suppress(Unreachable):
            try:
                keys.change_key(api_key, terms, seen_version=seen, actor=acting_key(request), now=now)
            except keys.NotChanged as error:
                raise errors.KEY_REVOKED if error.key.revoked_at else errors.KEY_CHANGED from None
        return _answer(request, key)


class RotateView(_KeysView):
    def post(self, request: Request, key: str) -> Response:
        """A new secret. Who gets it can do what the key can, so that has to be within the key that is shown."""
        api_key, sent = _key(request, key), read(Rotate, body_of(request))
        if api_key.revoked_at:
            raise errors.KEY_REVOKED
        _require_within(api_key.terms, acting_key(request).terms)
        overlap = timedelta(seconds=sent.overlap_seconds)
        actor, now = acting_key(request), timezone.now()
        try:
            secret = keys.rotate_key(api_key, replacing=sent.replacing, overlap=overlap, actor=actor, now=now)
        except keys.NotRotated:
            raise errors.NOT_THE_CURRENT_SECRET from None
        return _answer(request, key, secret=secret)


class RevokeView(_KeysView):
    def post(self, request: Request, key: str) -> Response:
        """Answers once Valkey has it: from `in_force_at` on every gateway refuses. 202 where that can't be told."""
        api_key, sent = _key(request, key), read(Revoke, body_of(request))
        with suppress(Unreachable):
            keys.revoke_key(api_key, actor=acting_key(request), reason=sent.reason, now=timezone.now())
        return _answer(request, key)


def _keys(request: Request) -> QuerySet[ApiKey]:
    mine = organization_of(request).api_keys.select_related("organization")
    return mine.prefetch_related("secrets")


def _key(request: Request, public_id: str) -> ApiKey:
    try:
        return _keys(request).get(public_id=public_id)
    except ApiKey.DoesNotExist:
        raise errors.NO_SUCH_KEY from None


def _answer(request: Request, public_id: str, **more: str) -> Response:
    """The key as it is now: 200, or 202 while the gateways don't have its last change yet."""
    key = _key(request, public_id)
    accepted = request.method != "GET" and not key.in_force
    return Response({**described(key, timezone.now()), **more}, status=202 if accepted else 200)


def _require_within(terms: KeyTerms, bound: KeyTerms) -> None:
    if members := beyond(terms, bound):
        raise told(errors.BEYOND_THIS_KEY, ", ".join(members), param=members[0])


def _page_size(request: Request) -> int:
    text = request.query_params.get("limit", str(PAGE))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= LARGEST_PAGE):
        raise bad_request(f"`limit` has to be a whole number from 1 to {LARGEST_PAGE}.", param="limit")
    return int(text)


def _operation_id(request: Request) -> UUID | None:
    """The Idempotency-Key as the id that forms have."""
    text = request.headers.get("Idempotency-Key", "")
    if len(text) > LONGEST_OPERATION:
        raise bad_request(f"An Idempotency-Key has at most {LONGEST_OPERATION} characters.")
    return uuid5(OPERATIONS, text) if text else None
