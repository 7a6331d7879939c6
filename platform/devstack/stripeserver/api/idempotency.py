"""Results saved by idempotency key: the same request again gets the same answer, a 500 too; another one is an error."""

import hashlib
import json
from dataclasses import asdict, dataclass, field

from devstack.stripeserver.api.problems import Problem, malformed
from devstack.stripeserver.store import Json

KEPT_SECONDS = 24 * 3600
MOST = 5000


@dataclass
class Result:
    """The first request with a key, and its answer once there is one (`status` 0 until then)."""

    method_and_path: str
    digest: str
    request: str
    made: int
    status: int = 0
    body: str = ""


@dataclass
class Results:
    """All results that are kept, by key, oldest first."""

    kept: dict[str, Result] = field(default_factory=dict)

    def begin(self, key: str, path: str, given: Json, request: str, now: int) -> Result | None:
        """The earlier result if there is one; None if this request is the first. Raises Stripe's idempotency errors."""
        if len(key) > 255:
            raise malformed("Idempotency keys must be at most 255 characters.")
        digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
        earlier = self.kept.get(key)
        if earlier is None or earlier.made + KEPT_SECONDS < now:
            self.kept[key] = Result(path, digest, request, now)
            if len(self.kept) > MOST:
                self.kept.pop(next(iter(self.kept)))
            return None
        advice = f"Try using a key other than '{key}' if you meant to execute a different request."
        if earlier.method_and_path != path:
            paths = f"('{earlier.method_and_path}' vs '{path}')"
            raise _misused(f"Keys for idempotent requests can only be used for the same endpoint {paths}. {advice}")
        if earlier.digest != digest:
            only = "Keys for idempotent requests can only be used with the same parameters they were first used with."
            raise _misused(f"{only} {advice}")
        if not earlier.status:
            text = "There is currently another in-progress request using this Idempotent Key. Please try again later."
            raise Problem(409, "idempotency_error", text, code="idempotency_key_in_use", executed=False)
        return earlier

    def finish(self, key: str, status: int, body: str) -> None:
        """Save the answer of the request that began."""
        if result := self.kept.get(key):
            result.status, result.body = status, body

    def drop(self, key: str) -> None:
        """The operation never began: the key is free again."""
        self.kept.pop(key, None)

    def dump(self) -> Json:
        return {key: asdict(result) for key, result in self.kept.items() if result.status}

    def load(self, kept: Json) -> None:
        self.kept = {key: Result(**result) for key, result in kept.items()}


def _misused(message: str) -> Problem:
    return Problem(400, "idempotency_error", message, executed=False)
