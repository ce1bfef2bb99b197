"""The account: what is left of a coding plan (errors.md section 7)."""

from __future__ import annotations

from typing import Any

import msgspec

from .base import Request, Response


class QuotaRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Ask for the limits of a coding plan: ``GET /api/monitor/usage/quota/limit``. The vendor does not document it."""


class QuotaData(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The limits; their fields are not documented."""

    limits: list[dict[str, Any]] = []


class Quota(Response, kw_only=True, omit_defaults=True, dict=True):
    """The limits of a coding plan, in an envelope."""

    code: int | None = None
    """200."""
    msg: str | None = None
    success: bool | None = None
    data: QuotaData | None = None

    @property
    def limits(self) -> list[dict[str, Any]]:
        """The limits as the service tells them, [] when it tells none."""
        return self.data.limits if self.data else []
