"""The one API version that the local Stripe speaks: the one that the pinned `stripe` library asks for."""

VERSION = "2026-10-28.endive"
