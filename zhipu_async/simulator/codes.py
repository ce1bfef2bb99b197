"""The service's business codes: HTTP status and message text of each (contract page errors.md, section 3)."""

from __future__ import annotations

from typing import Final, NamedTuple


class BusinessCode(NamedTuple):
    """One row of the table: the HTTP status the code arrives with, and a message for it."""

    status: int
    message: str


# The texts of 401, 1113, 1302, 1305, 1308 and 1310 are recorded; the others say what the table says.
_PLAN_LIMIT: Final = "Your limit will reset at 2026-12-01 15:13:03"

BUSINESS_CODES: Final[dict[str, BusinessCode]] = {
    "401": BusinessCode(401, "token expired or incorrect"),
    "500": BusinessCode(500, "Internal error"),
    "1000": BusinessCode(401, "Authentication failed"),
    "1001": BusinessCode(401, "No Authorization header was received, authentication is not possible"),
    "1002": BusinessCode(401, "The token is illegal"),
    "1003": BusinessCode(401, "The token has expired"),
    "1004": BusinessCode(401, "Verification of the token failed"),
    "1005": BusinessCode(401, "A second factor is required"),
    "1100": BusinessCode(500, "The account could not be read"),
    "1110": BusinessCode(401, "The account is not active"),
    "1111": BusinessCode(401, "The account does not exist"),
    "1112": BusinessCode(401, "The account is locked"),
    "1113": BusinessCode(429, "Insufficient balance or no resource package. Please recharge."),
    "1120": BusinessCode(500, "The account cannot be reached at the moment, please try again later"),
    "1121": BusinessCode(401, "The account is locked for violations"),
    "1200": BusinessCode(500, "The API call failed"),
    "1210": BusinessCode(400, "Incorrect API call parameters, please check the document"),
    "1211": BusinessCode(400, "The model does not exist, please check the model code"),
    "1212": BusinessCode(400, "The model does not support this way of calling"),
    "1213": BusinessCode(400, "A required parameter was not received"),
    "1214": BusinessCode(400, "A parameter is illegal"),
    "1215": BusinessCode(400, "Two parameters cannot be set at the same time"),
    "1220": BusinessCode(403, "You have no permission to access this API"),
    "1221": BusinessCode(400, "The API has been taken offline"),
    "1222": BusinessCode(400, "The API does not exist"),
    "1230": BusinessCode(500, "The call could not be processed"),
    "1231": BusinessCode(400, "A request with this id is already running"),
    "1234": BusinessCode(500, "Network error, error id: 20261120101500a1b2c3d4e5f60718, please try again later"),
    "1261": BusinessCode(400, "The prompt is too long"),
    "1300": BusinessCode(400, "The call was blocked by policy"),
    "1301": BusinessCode(400, "The input or the generated content may contain unsafe or sensitive content"),
    "1302": BusinessCode(429, "Your account has reached its rate limit, please control the frequency of requests"),
    "1303": BusinessCode(429, "The frequency of calls to this API is too high"),
    "1304": BusinessCode(429, "The daily limit of calls to this API has been reached"),
    "1305": BusinessCode(429, "The service may be temporarily overloaded, please try again later"),
    "1308": BusinessCode(429, "Usage limit reached for 5 hour. Your limit will reset at 2026-04-09 15:13:03"),
    "1309": BusinessCode(429, "Your coding plan has expired"),
    "1310": BusinessCode(429, "Weekly/Monthly Limit Exhausted. Your limit will reset at 2026-05-11 21:02:26"),
    "1311": BusinessCode(429, "Your plan does not include this model"),
    "1312": BusinessCode(429, "The model is busy, please use another model"),
    "1313": BusinessCode(429, "Your account is restricted under the fair use policy"),
    "1314": BusinessCode(429, "The enterprise plan is not valid"),
    "1315": BusinessCode(429, "This key is only for the enterprise coding plan"),
    "1316": BusinessCode(429, f"The 5-hour limit is reached and the balance is empty. {_PLAN_LIMIT}"),
    "1317": BusinessCode(429, f"The 7-day limit is reached and the balance is empty. {_PLAN_LIMIT}"),
    "1318": BusinessCode(429, f"The 5-hour limit and the sub-account's monthly cap are reached. {_PLAN_LIMIT}"),
    "1319": BusinessCode(429, f"The 7-day limit and the sub-account's monthly cap are reached. {_PLAN_LIMIT}"),
    "1320": BusinessCode(429, f"The 5-hour limit and the enterprise's monthly cap are reached. {_PLAN_LIMIT}"),
    "1321": BusinessCode(429, f"The 7-day limit and the enterprise's monthly cap are reached. {_PLAN_LIMIT}"),
    "1701": BusinessCode(429, "The concurrency limit of web search is reached, please try again later"),
    "1702": BusinessCode(400, "No search engine is available"),
    "1703": BusinessCode(400, "The search returned nothing"),
}
