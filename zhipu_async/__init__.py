"""The asyncio-first client for the GLM models of Zhipu AI (open.bigmodel.cn) and Z.ai (api.z.ai)."""

from typing import TYPE_CHECKING

from .version import VERSION

__version__ = VERSION

if TYPE_CHECKING:  # what type checkers and editors read
    from .attachments import AudioPart as AudioPart
    from .attachments import FilePart as FilePart
    from .attachments import ImagePart as ImagePart
    from .attachments import VideoPart as VideoPart
    from .batching import BatchRun as BatchRun
    from .client import AsyncZhipuAI as AsyncZhipuAI
    from .config import Limits as Limits
    from .config import PlainTextWarning as PlainTextWarning
    from .config import RetryPolicy as RetryPolicy
    from .config import Timeouts as Timeouts
    from .conversation import Conversation as Conversation
    from .dispatch import RawResponse as RawResponse
    from .downloads import Binary as Binary
    from .downloads import Download as Download
    from .errors import AccountError as AccountError
    from .errors import AnswerError as AnswerError
    from .errors import AnswerFiltered as AnswerFiltered
    from .errors import AnswerInvalid as AnswerInvalid
    from .errors import AnswerRefused as AnswerRefused
    from .errors import AnswerTruncated as AnswerTruncated
    from .errors import APIError as APIError
    from .errors import AttemptRecord as AttemptRecord
    from .errors import AuthenticationError as AuthenticationError
    from .errors import BadRequestError as BadRequestError
    from .errors import ClientClosedError as ClientClosedError
    from .errors import ConfigError as ConfigError
    from .errors import ConnectError as ConnectError
    from .errors import ConnectionLost as ConnectionLost
    from .errors import ContentFilterError as ContentFilterError
    from .errors import ContextLengthError as ContextLengthError
    from .errors import CreationUnknown as CreationUnknown
    from .errors import DecodeError as DecodeError
    from .errors import JournalError as JournalError
    from .errors import NotFoundError as NotFoundError
    from .errors import OverloadedError as OverloadedError
    from .errors import PermissionDeniedError as PermissionDeniedError
    from .errors import PoolFull as PoolFull
    from .errors import PoolTimeout as PoolTimeout
    from .errors import QuotaError as QuotaError
    from .errors import RateLimitError as RateLimitError
    from .errors import RequestTimeout as RequestTimeout
    from .errors import ResponseTooLarge as ResponseTooLarge
    from .errors import RunError as RunError
    from .errors import ServerError as ServerError
    from .errors import StreamConsumed as StreamConsumed
    from .errors import StreamCorrupted as StreamCorrupted
    from .errors import StreamError as StreamError
    from .errors import StreamFailed as StreamFailed
    from .errors import StreamRestarted as StreamRestarted
    from .errors import StreamTruncated as StreamTruncated
    from .errors import TaskError as TaskError
    from .errors import TaskFailed as TaskFailed
    from .errors import TaskTimeout as TaskTimeout
    from .errors import TokenBudgetSpent as TokenBudgetSpent
    from .errors import ToolCallInvalid as ToolCallInvalid
    from .errors import ToolError as ToolError
    from .errors import ToolFailed as ToolFailed
    from .errors import TransportError as TransportError
    from .errors import ZhipuError as ZhipuError
    from .fanout import FanOut as FanOut
    from .journal import Journal as Journal
    from .journal import read_journal as read_journal
    from .outcomes import Outcome as Outcome
    from .outcomes import RunProgress as RunProgress
    from .pages import Pages as Pages
    from .protocol.endpoint import Call as Call
    from .protocol.endpoint import Endpoint as Endpoint
    from .statistics import ModelStatistics as ModelStatistics
    from .streaming import Stream as Stream
    from .structured import Parsed as Parsed
    from .structured import ParseRun as ParseRun
    from .telemetry import AttemptFailed as AttemptFailed
    from .telemetry import CallFailed as CallFailed
    from .telemetry import CallSucceeded as CallSucceeded
    from .telemetry import Event as Event
    from .telemetry import Hook as Hook
    from .telemetry import Timing as Timing
    from .tool_runs import ToolRun as ToolRun
    from .tool_runs import ToolRunResult as ToolRunResult
    from .tools import PythonTool as PythonTool
    from .tools import tool as tool
    from .transport.admission import Concurrency as Concurrency
    from .transport.pool import PoolStatistics as PoolStatistics
    from .types.base import Progress as Progress
    from .types.batches import Batch as Batch
    from .types.batches import BatchLine as BatchLine
    from .types.batches import BatchOutput as BatchOutput
    from .types.chat import ChatCompletion as ChatCompletion
    from .types.chat import ChatCompletionChunk as ChatCompletionChunk
    from .types.chat import ResponseFormat as ResponseFormat
    from .types.chat import Thinking as Thinking
    from .types.chat import Usage as Usage
    from .types.documents import ParserTask as ParserTask
    from .types.events import ChatEvent as ChatEvent
    from .types.events import ContentDelta as ContentDelta
    from .types.events import Finished as Finished
    from .types.events import ReasoningDelta as ReasoningDelta
    from .types.events import ToolCallDelta as ToolCallDelta
    from .types.events import ToolCallDone as ToolCallDone
    from .types.events import ToolCallStarted as ToolCallStarted
    from .types.messages import AssistantMessage as AssistantMessage
    from .types.messages import FileURLPart as FileURLPart
    from .types.messages import Message as Message
    from .types.messages import SystemMessage as SystemMessage
    from .types.messages import TextPart as TextPart
    from .types.messages import ToolMessage as ToolMessage
    from .types.messages import UserMessage as UserMessage
    from .types.tasks import AsyncResult as AsyncResult
    from .types.tasks import ChatTask as ChatTask
    from .types.tasks import ImageTask as ImageTask
    from .types.tasks import VideoTask as VideoTask
    from .types.tool_events import CallDecoded as CallDecoded
    from .types.tool_events import CallReturned as CallReturned
    from .types.tool_events import ToolEvent as ToolEvent
    from .types.tool_events import TurnFinished as TurnFinished
    from .types.tools import FunctionDefinition as FunctionDefinition
    from .types.tools import FunctionTool as FunctionTool
    from .types.tools import MCPServer as MCPServer
    from .types.tools import MCPTool as MCPTool
    from .types.tools import RetrievalTool as RetrievalTool
    from .types.tools import ToolCall as ToolCall
    from .types.tools import WebSearchTool as WebSearchTool
    from .types.uploads import FileUpload as FileUpload
else:
    from importlib import import_module

    _NAMES = {
        "attachments": "AudioPart FilePart ImagePart VideoPart",
        "batching": "BatchRun",
        "client": "AsyncZhipuAI",
        "config": "Limits PlainTextWarning RetryPolicy Timeouts",
        "conversation": "Conversation",
        "dispatch": "RawResponse",
        "downloads": "Binary Download",
        "errors": (
            "AccountError AnswerError AnswerFiltered AnswerInvalid AnswerRefused AnswerTruncated APIError "
            "AttemptRecord AuthenticationError BadRequestError ClientClosedError ConfigError ConnectError "
            "ConnectionLost ContentFilterError ContextLengthError CreationUnknown DecodeError JournalError "
            "NotFoundError OverloadedError PermissionDeniedError PoolFull PoolTimeout QuotaError RateLimitError "
            "RequestTimeout ResponseTooLarge RunError ServerError StreamConsumed StreamCorrupted StreamError "
            "StreamFailed StreamRestarted StreamTruncated TaskError TaskFailed TaskTimeout TokenBudgetSpent "
            "ToolCallInvalid ToolError ToolFailed TransportError ZhipuError"
        ),
        "fanout": "FanOut",
        "journal": "Journal read_journal",
        "outcomes": "Outcome RunProgress",
        "pages": "Pages",
        "protocol.endpoint": "Call Endpoint",
        "streaming": "Stream",
        "structured": "Parsed ParseRun",
        "statistics": "ModelStatistics",
        "telemetry": "AttemptFailed CallFailed CallSucceeded Event Hook Timing",
        "tool_runs": "ToolRun ToolRunResult",
        "tools": "PythonTool tool",
        "transport.admission": "Concurrency",
        "transport.pool": "PoolStatistics",
        "types.base": "Progress",
        "types.batches": "Batch BatchLine BatchOutput",
        "types.chat": "ChatCompletion ChatCompletionChunk ResponseFormat Thinking Usage",
        "types.documents": "ParserTask",
        "types.events": "ChatEvent ContentDelta Finished ReasoningDelta ToolCallDelta ToolCallDone ToolCallStarted",
        "types.messages": "AssistantMessage FileURLPart Message SystemMessage TextPart ToolMessage UserMessage",
        "types.tasks": "AsyncResult ChatTask ImageTask VideoTask",
        "types.tool_events": "CallDecoded CallReturned ToolEvent TurnFinished",
        "types.tools": "FunctionDefinition FunctionTool MCPServer MCPTool RetrievalTool ToolCall WebSearchTool",
        "types.uploads": "FileUpload",
    }
    """What of each module is public. A name is imported when it is first asked for: most programs use few of them."""

    _MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}
    _MODULES = {module.partition(".")[0] for module in _NAMES}
    __all__ = sorted(_MODULE_OF)

    def __getattr__(name):
        if name in _MODULE_OF:
            found = globals()[name] = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
            return found
        if name in _MODULES:  # ``zhipu_async.errors``, without an import of its own
            return import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
