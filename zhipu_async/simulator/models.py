"""The models the service has, and what each of them can do (contract page chat.md, sections 3 and 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

_ALL_EFFORTS: Final = frozenset({"max", "xhigh", "high", "medium", "low", "minimal", "none"})
_NEW_EFFORTS: Final = frozenset({"max", "high", "low"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a model takes and does."""

    kind: Literal["text", "vision", "voice", "role-play"] = "text"
    thinking: Literal["always", "switchable", "never"] = "never"
    """`always`: also when told not to; `switchable`: unless `thinking.type` is `disabled`."""
    refuses_disabled: bool = False
    """Whether `thinking.type` `disabled` is an error."""
    efforts: frozenset[str] = _ALL_EFFORTS
    """Values of `reasoning_effort` that are accepted; models that do not know the field ignore it."""
    skips_thinking_at: frozenset[str] = frozenset()
    """Values of `reasoning_effort` with which it does not think."""
    tools: bool = True
    tool_stream: bool = False
    images: int = 0
    """How many images a request may hold."""
    takes_image_data: bool = True
    """False: only images at an address."""
    max_tokens: int = 131_072
    """The largest `max_tokens`."""


_THINKING: Final = Model(thinking="switchable")
_TOOL_STREAM: Final = Model(thinking="switchable", tool_stream=True)
_FLASH_5_3: Final = Model(
    kind="vision",
    thinking="always",
    refuses_disabled=True,
    efforts=_NEW_EFFORTS,
    skips_thinking_at=frozenset({"low"}),
    tool_stream=True,
    images=50,
)
_VISION: Final = Model(kind="vision", thinking="switchable", images=50, tools=False)
_VISION_4_6: Final = Model(kind="vision", thinking="switchable", images=50)
_VISION_4_1: Final = Model(kind="vision", thinking="always", images=50, tools=False)
_VISION_4: Final = Model(kind="vision", images=5, tools=False)
_PHONE: Final = Model(kind="vision", images=50)
_ROLE_PLAY: Final = Model(kind="role-play", tools=False, max_tokens=4096)

MODELS: Final[dict[str, Model]] = {
    "glm-5.3": Model(thinking="always", refuses_disabled=True, efforts=_NEW_EFFORTS, tool_stream=True),
    "glm-5.3-flash": _FLASH_5_3,
    "glm-5.3-flashx": _FLASH_5_3,
    "glm-5.2": Model(thinking="switchable", skips_thinking_at=frozenset({"none", "minimal"}), tool_stream=True),
    "glm-5.1": _TOOL_STREAM,
    "glm-5": _TOOL_STREAM,
    "glm-5-turbo": _TOOL_STREAM,
    "glm-5v-turbo": _VISION,
    "glm-4.7": _TOOL_STREAM,
    "glm-4.7-flash": _TOOL_STREAM,
    "glm-4.7-flashx": _TOOL_STREAM,
    "glm-4.6": _TOOL_STREAM,
    "glm-4.6v": _VISION_4_6,
    "glm-4.6v-flash": _VISION_4_6,
    "glm-4.6v-flashx": _VISION_4_6,
    "glm-4.5": _THINKING,
    "glm-4.5-x": _THINKING,
    "glm-4.5-air": _THINKING,
    "glm-4.5-airx": _THINKING,
    "glm-4.5-flash": _THINKING,
    "glm-4.5v": _VISION,
    "glm-4.1v-thinking-flash": _VISION_4_1,
    "glm-4.1v-thinking-flashx": _VISION_4_1,
    "glm-4v-flash": Model(kind="vision", images=1, takes_image_data=False, tools=False),
    "glm-4v-plus-0111": _VISION_4,
    "glm-4-flash-250414": Model(),
    "glm-4-flashx-250414": Model(),
    "glm-4-air-250414": Model(),
    "glm-4-plus": Model(),
    "glm-4-air": Model(),
    "glm-4-airx": Model(),
    "glm-4-flash": Model(),
    "glm-4-flashx": Model(),
    "glm-4-long": Model(),
    "glm-4-32b-0414-128k": Model(),
    "glm-4-voice": Model(kind="voice", tools=False, max_tokens=4096),
    "charglm-4": _ROLE_PLAY,
    "emohaa": _ROLE_PLAY,
    "autoglm-phone": _PHONE,
    "autoglm-phone-multilingual": _PHONE,
    "codegeex-4": Model(),
}

LISTED: Final = (
    "glm-4.5",
    "glm-4.5-air",
    "glm-4.6",
    "glm-4.7",
    "glm-5",
    "glm-5-turbo",
    "glm-5.1",
    "glm-5.2",
    "glm-5.3",
)
"""What `GET /models` lists: only the core text models."""

OTHER: Final = Model(kind="vision", thinking="switchable", tool_stream=True, images=50)
"""What a model can do that a simulation adds by name only."""
