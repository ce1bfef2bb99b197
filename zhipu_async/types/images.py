"""Images: ``POST /images/generations`` and ``POST /async/images/generations`` (media.md section 1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from .base import Request, Response
from .chat import ContentFilter, SensitiveWordCheck


class ImageParameters(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Make an image from text. The answer holds its address, which is valid for 30 days."""

    model: str
    """For example ``glm-image``, ``cogview-4-250304``, ``cogview-3-flash``."""
    prompt: str
    """glm-image: at most 1000 characters."""
    quality: Literal["hd", "standard"] | None = None
    """glm-image: only ``hd``. Other models: ``hd`` takes about 20 s, ``standard`` 5 to 10 s."""
    size: str | None = None
    """``WxH`` in pixels, for example ``1280x1280``; media.md section 1 has each model's sizes."""
    watermark_enabled: bool | None = None
    """open.bigmodel.cn; False needs a signed disclaimer."""
    user_id: str | None = None
    """6 to 128 characters: the end user, for abuse control."""
    request_id: str | None = None
    """Unique per call."""
    n: int | None = None
    """Known to the official SDK, without a documented effect (one image comes in practice), as the four below."""
    response_format: str | None = None
    style: str | None = None
    user: str | None = None
    sensitive_word_check: SensitiveWordCheck | Mapping[str, Any] | None = None


class ImageRequest(ImageParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = ImageParameters.__doc__


class AsyncImageRequest(ImageParameters, kw_only=True, frozen=True, omit_defaults=True):
    """Make an image from text as a task that is fetched later; only ``glm-image``.

    A second call makes, and bills, a second image.
    """


class GeneratedImage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A generated image: as a rule its address alone."""

    url: str | None = None
    b64_json: str | None = None
    """The image as base64."""
    revised_prompt: str | None = None


class ImageList(Response, kw_only=True, omit_defaults=True, dict=True):
    """The images in ``data``."""

    id: str | None = None
    request_id: str | None = None
    created: int | None = None
    """Unix seconds."""
    data: list[GeneratedImage] = []
    content_filter: list[ContentFilter] | None = None

    @property
    def urls(self) -> list[str]:
        """The addresses of all images, [] when there are none."""
        return [image.url for image in self.data if image.url]

    @property
    def url(self) -> str | None:
        """The address of the first image."""
        return next(iter(self.urls), None)
