"""The business codes, held against errors.md."""

from __future__ import annotations

import pytest

from zhipu_async.simulator import BUSINESS_CODES, Refusal, Scenario

from .asking import simulated

# errors.md section 3; where the table has two statuses, one of them.
STATUSES = {
    500: ("500", "1100", "1120", "1200", "1230", "1234"),
    401: ("401", *map(str, range(1000, 1006)), "1110", "1111", "1112", "1121"),
    403: ("1220",),
    400: (*map(str, range(1210, 1216)), "1221", "1222", "1231", "1261", "1300", "1301", "1702", "1703"),
    429: ("1113", *map(str, range(1302, 1306)), *map(str, range(1308, 1322)), "1701"),
}
RESET_TIMES = ["1308", "1310", "1316", "1317", "1318", "1319", "1320", "1321"]


async def test_every_code() -> None:
    """Every code of section 3 arrives with its HTTP status, as a string, in the standard envelope."""
    expected = {code: status for status, codes in STATUSES.items() for code in codes}
    assert BUSINESS_CODES.keys() == expected.keys()
    async with simulated(Scenario(replies=[Refusal(code) for code in expected])) as ask:
        for code, status in expected.items():
            answered = await ask.hello(stream=code > "1220")
            assert answered.status == status
            assert answered.headers["content-type"] == "application/json; charset=UTF-8"
            assert answered.json == {"error": {"code": code, "message": BUSINESS_CODES[code].message}}


@pytest.mark.parametrize("code", RESET_TIMES)
def test_reset_times(code: str) -> None:
    """The codes with a reset time have it in the message."""
    assert "Your limit will reset at 20" in BUSINESS_CODES[code].message


async def test_refusal_in_every_detail() -> None:
    """A refusal may have another status, an integer code, a request id, headers, and no content-type."""
    refusal = Refusal(
        1305,
        503,
        "busy",
        request_id="2026",
        content_type=None,
        headers={"Retry-After": "3"},
        content_filter=[{"level": 0}],
    )
    async with simulated(Scenario(replies=[refusal])) as ask:
        answered = await ask.hello()
        assert answered.status == 503
        assert "content-type" not in answered.headers
        assert answered.headers["retry-after"] == "3"
        assert answered.json == {
            "error": {"code": 1305, "message": "busy"},
            "contentFilter": [{"level": 0}],
            "request_id": "2026",
        }


def test_unknown_code_needs_a_status() -> None:
    """A code outside the table is a mistake of the scenario unless its status is given."""
    with pytest.raises(ValueError, match="9999"):
        Refusal("9999")
    assert Refusal("server_is_overloaded", 503).status == 503
