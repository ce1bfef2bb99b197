"""Made-up values that fit a JSON schema and the user's words: arguments of tool calls, answers in JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Final

from zhipu_async.simulator.shapes import is_array, is_object, objects

_CITY: Final = re.compile(
    "New York|San Francisco|Los Angeles|Hong Kong|Beijing|Shanghai|Shenzhen|Guangzhou|Hangzhou|Chengdu|Wuhan|Nanjing|"
    "Tokyo|Singapore|London|Paris|Berlin|Rome|Madrid|Amsterdam|Vienna|Moscow|Sydney|Toronto|Chicago|Boston|Seattle|"
    "北京|上海|深圳|广州|杭州|成都|武汉|南京|西安|重庆|天津|苏州|香港|东京|新加坡|伦敦|巴黎|柏林|纽约",
    re.IGNORECASE,
)
_AFTER_PREPOSITION: Final = re.compile(r"\b(?:in|at|for|to|from|of)\s+([A-Z][\w-]*(?:\s[A-Z][\w-]*)*)")
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")
_QUOTED: Final = re.compile(r"[\"“「'‘]([^\"”」'’]+)[\"”」'’]")
_PLACE_NAMES: Final = re.compile(r"city|location|place|town|destination|origin|城市|地点", re.IGNORECASE)
_CITY_NAMES: Final = re.compile(r"\bcity\b|城市", re.IGNORECASE)
_FORMATS: Final = {
    "date": "2026-11-20",
    "date-time": "2026-11-20T10:15:00+08:00",
    "time": "10:15:00",
    "email": "user@example.com",
    "uri": "https://example.com/",
    "uuid": "01234567-89ab-4def-8123-456789abcdef",
}
_DEPTH: Final = 8


def invent(schema: Mapping[str, Any], text: str) -> Any:
    """A value for a JSON schema, with what the text offers for it; the same one for the same two."""
    return _Invention(schema, text).value(schema, "", _DEPTH)


def schema_in(text: str) -> Mapping[str, Any] | None:
    """The first JSON schema of an object that is written out in a text; None where there is none."""
    decoder = json.JSONDecoder()
    for brace in re.finditer(r"\{", text):
        try:
            value, _ = decoder.raw_decode(text, brace.start())
        except ValueError:
            continue
        if is_object(value) and is_object(value.get("properties")):
            return value
    return None


class _Invention:
    def __init__(self, root: Mapping[str, Any], text: str) -> None:
        self._root = root
        self._text = text

    def value(self, schema: Any, name: str, depth: int) -> Any:
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if options := schema.get("enum"):
            return next((option for option in options if str(option).lower() in self._text.lower()), options[0])
        if "default" in schema:
            return schema["default"]
        kind: Any = schema.get("type", "object" if "properties" in schema else "string")
        if is_array(kind):
            kind = next((each for each in kind if each != "null"), "null")
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                few = max(1, schema.get("minItems", 1))
                return [self.value(schema.get("items", {}), name, depth - 1)] * few if depth else []
            case "integer" | "number":
                return self._number(schema, kind)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema, name)

    def _resolved(self, schema: Any) -> Mapping[str, Any]:
        """The schema that stands behind references and alternatives."""
        for _ in range(_DEPTH):
            if not is_object(schema):
                break
            reference = schema.get("$ref")
            options = objects(schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"))
            if isinstance(reference, str):
                schema = self._at(reference)
            elif options:
                schema = next((option for option in options if option.get("type") != "null"), options[0])
            else:
                return schema
        return {}

    def _at(self, reference: str) -> Any:
        found: Any = self._root
        for step in reference.removeprefix("#/").split("/"):
            found = found.get(step) if is_object(found) else None
        return found

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties: Any = schema.get("properties")
        if not is_object(properties) or depth == 0:
            return {}
        wanted: Sequence[str] = schema.get("required") or list(properties)[:1]
        return {name: self.value(properties.get(name), name, depth - 1) for name in wanted}

    def _number(self, schema: Mapping[str, Any], kind: str) -> float:
        lowest: float = schema.get("minimum", schema.get("exclusiveMinimum", -inf))
        highest: float = schema.get("maximum", schema.get("exclusiveMaximum", inf))
        excluded = (schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum"))
        start = float(lowest if lowest > -inf else min(0.0, highest))
        found = [float(number) for number in _NUMBER.findall(self._text)]
        for number in (*found, 1.0, start, start + 1, start - 1, (start + min(highest, start + 2)) / 2):
            if lowest <= number <= highest and number not in excluded:
                if number.is_integer():
                    return int(number)
                if kind == "number":
                    return number
        return int(start)

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        if _PLACE_NAMES.search(name) or _CITY_NAMES.search(str(schema.get("description"))):
            if found := _CITY.search(self._text):
                return found.group()
            if found := _AFTER_PREPOSITION.search(self._text):
                return found.group(1)
            return "北京" if re.search(r"[\u4e00-\u9fff]", self._text) else "Beijing"
        if "date" in name:
            return _FORMATS["date"]
        quoted = _QUOTED.search(self._text)
        text = quoted.group(1) if quoted else self._text
        return text[: schema.get("maxLength", 200)].ljust(schema.get("minLength", 0), ".")
