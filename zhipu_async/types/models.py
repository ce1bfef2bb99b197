"""The list of models: ``GET /models`` (README.md section 4)."""

from __future__ import annotations

import msgspec

from .base import Request, Response


class ModelsRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """List the core text models. A missing id does not mean that a model cannot be used."""


class Model(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A model by id."""

    id: str
    object: str | None = None
    owned_by: str | None = None
    created: int | None = None


class ModelList(Response, kw_only=True, omit_defaults=True, dict=True):
    """The models in ``data``; all of them, in one page."""

    object: str | None = None
    data: list[Model] = []

    @property
    def items(self) -> list[Model]:
        """The models."""
        return self.data

    def following(self, request: Request) -> Request | None:
        """None: there is no other page."""
        return None
