"""Videos: ``POST /videos/generations``, always a task (media.md section 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .base import Request
from .chat import SensitiveWordCheck


class VideoRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Make a video from text or pictures, as a task that is fetched later; a second call makes, and bills, a second.

    CogVideoX and Vidu models share this call; media.md section 2 says which fields and values each takes. Either
    ``prompt`` or ``image_url`` must be there.
    """

    model: str
    """For example ``cogvideox-3``, ``cogvideox-flash``, ``viduq1-text``, ``vidu2-image``, ``vidu2-start-end``."""
    prompt: str | None = None
    """At most 512 characters."""
    image_url: str | Sequence[str] | None = None
    """One picture, or a list: first and last frame, or 1 to 3 references. Addresses or base64; png or jpeg.

    At most 5 MB each for CogVideoX, 50 MB for Vidu, which takes webp too.
    """
    quality: Literal["speed", "quality"] | None = None
    """CogVideoX."""
    with_audio: bool | None = None
    """CogVideoX: sound. Vidu: background music, only for clips of 4 seconds."""
    size: str | None = None
    """``WxH`` in pixels, for example ``1920x1080``."""
    fps: int | None = None
    """Frames per second: 30 or 60. CogVideoX."""
    duration: int | None = None
    """Seconds: cogvideox-3 5 or 10, viduq1 5, vidu2 4."""
    style: Literal["general", "anime"] | None = None
    """viduq1-text."""
    aspect_ratio: Literal["16:9", "9:16", "1:1"] | None = None
    """viduq1-text and vidu2-reference."""
    movement_amplitude: Literal["auto", "small", "medium", "large"] | None = None
    """Vidu: how much moves."""
    watermark_enabled: bool | None = None
    """open.bigmodel.cn; False needs a signed disclaimer."""
    request_id: str | None = None
    """6 to 64 characters, unique per call."""
    user_id: str | None = None
    """6 to 128 characters: the end user, for abuse control."""
    sensitive_word_check: SensitiveWordCheck | Mapping[str, Any] | None = None
    off_peak: bool | None = None
    """Known to the official SDK, without a documented effect."""
