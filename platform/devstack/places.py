"""Where a development stack keeps its state: `var/` of the checkout, or the folder that `--var` names."""

import os
from dataclasses import dataclass
from pathlib import Path

from devstack.problems import StackError

CHECKOUT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Places:
    """The folder of one stack and what lies in it."""

    var: Path

    @classmethod
    def of(cls, var: str | None = None) -> "Places":
        """The stack in `var`, else in KEYMETER_VAR, else in the checkout's `var/`; the folder is made.

        Raises StackError if it is another user's.
        """
        places = cls(Path(var or os.environ.get("KEYMETER_VAR") or CHECKOUT / "var").resolve())
        try:
            places.make()
        except PermissionError:
            raise StackError(
                f"{places.var} can't be written by this user.\n"
                "Run Keymeter as the user who owns it, or choose another folder with --var."
            ) from None
        if not os.access(places.log, os.W_OK):
            raise StackError(f"{places.var} is another user's. Choose another folder with --var.")
        return places

    def make(self) -> None:
        # PostgreSQL's own user must be able to pass through, but not to look around.
        self.var.mkdir(mode=0o711, parents=True, exist_ok=True)
        for private in (self.log, self.spool, self.archive, self.mail, self.valkey):
            private.mkdir(mode=0o700, exist_ok=True)

    @property
    def log(self) -> Path:
        return self.var / "log"

    @property
    def spool(self) -> Path:
        return self.var / "spool"

    @property
    def archive(self) -> Path:
        return self.var / "archive"

    @property
    def mail(self) -> Path:
        return self.var / "mail"

    @property
    def valkey(self) -> Path:
        return self.var / "valkey"

    @property
    def stripe(self) -> Path:
        """What the local Stripe keeps."""
        return self.var / "stripe.json"

    @property
    def environment(self) -> Path:
        """What the running stack's processes have in their environment; other commands read it."""
        return self.var / "dev.env"

    @property
    def secrets(self) -> Path:
        return self.var / "secrets.env"

    @property
    def lock(self) -> Path:
        return self.var / "dev.lock"

    @property
    def state(self) -> Path:
        """Addresses and process ids of the running stack, as JSON."""
        return self.var / "stack.json"
