"""Calls in a Ray Data job: ``dataset.map_batches(ChatBatches, ...)``, one client for each worker (extra ``ray``)."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from threading import Thread, current_thread
from typing import Any, cast

import msgspec

from ..client import AsyncZhipuAI
from ..downloads import AnyPath, Binary
from ..errors import ConfigError, ZhipuError
from ..fanout import FanOut
from ..items import Item, items
from ..journal import record_of
from ..outcomes import Outcome
from ..protocol import recorded
from ..protocol.endpoint import Call
from .folder_journal import FolderJournal

COLUMNS = {"answer": "string", "response": "string", "error": "string", "tokens": "int64", "seconds": "float64"}
"""The columns that are added, and their Arrow types."""
RUN_OPTIONS = frozenset({"concurrency", "max_concurrency", "deadline", "max_retries", "retry_budget", "dedupe"})
"""The options of ``client.fan_out`` that make sense for the rows of one batch."""
_CLOSING = 10.0
"""Seconds that the end of a worker may take."""


_Result = Outcome[Any] | ZhipuError
_Joint = tuple[AsyncZhipuAI, FolderJournal | None]
"""What the batches of a worker share."""


class ChatBatches:
    """Answers the rows of a dataset. Ray Data makes one in each worker, with a client that lives as long as it.

        dataset.map_batches(
            ChatBatches,
            fn_constructor_kwargs={"model": "glm-4.6", "prompt_column": "text", "checkpoint_dir": "/shared/answers"},
            compute=ray.data.ActorPoolStrategy(size=2),
            batch_size=500,
            batch_format="pyarrow",
            num_cpus=0.1,
        )

    Its columns are kept and these are added: ``answer`` (the text of the answer), ``response`` (all of it, as JSON),
    ``error`` (JSON with type, message, code, status and again; null where there is an answer), ``tokens`` and
    ``seconds`` (of the call, waiting included). A call that fails is a value in ``error``. A refused key, an empty
    account and a used-up quota end the job, as does an exception of ``make_call`` that is none of this library.

    Parameters
    ----------
    prompt_column, parameters
        The column with the questions, and what all calls have in common: ``model``, ``system`` and what else
        ``chat.completions.create`` takes.
    make_call
        Instead of these, for any endpoint: makes of a row (a dict of plain Python values) an unsent call, such as
        ``AsyncZhipuAI.embeddings.create.call(...)``. A ZhipuError that it raises is the row's error.
    read
        Makes of an answer what stands in the column ``answer``, for example a vector.
    id_column
        A column whose values tell the rows from one another, used with ``checkpoint_dir``. Without it a row is known by
        its request: identical ones are sent once and share their answer.
    checkpoint_dir
        A folder that all workers see. Each worker appends what is finished to a journal of its own there, and begins by
        reading those of all: no row that was finished is sent again, be it that Ray repeats the batch of a lost worker,
        or that the job is started again, or the dataset is executed twice. Rows whose error may pass are sent again.
    prefix
        Stands before the names of the columns that are added.
    client
        Arguments of :class:`AsyncZhipuAI`.
    run
        Options of ``client.fan_out`` for the rows of each batch: ``max_concurrency``, ``deadline``, ``max_retries`` ...

    Workers. All rows of a worker go through one limiter, and the limiters of the workers share the account without a
    coordinator. One worker makes hundreds of calls at once: more are of use for their network or memory only. Ray hands
    it up to four batches of a block at a time; so that it need not wait for the last rows of each batch, let a block
    have several, or a batch many more rows than the limit. Workers wait for the network: give them a small
    ``num_cpus``. With 1, the default, as many of them as there are CPUs leave none to read the dataset, and the job
    stands still. ``batch_format="pyarrow"`` keeps all columns as they are; with the default, NumPy, a column without
    any value in a batch has the type null there; pandas is refused.

    The key comes from the environment of the workers (``ZHIPU_API_KEY``): set it where ``ray start`` is called. Ray
    writes what is given by ``runtime_env`` to the log files of the nodes, in clear, and what is given in
    ``fn_constructor_kwargs`` to its export of dataset metadata where that is switched on. Where the key cannot be in
    the environment, pass ``client={"api_key": read_key}``, an async function that fetches it inside the worker.

    Failures. Ray starts a worker that is lost again, as often as that happens, and repeats its batches; a batch that
    raised an error is not repeated, and one such error ends the job. Do not set ``DataContext.max_errored_blocks``,
    ``retried_map_errors`` or ``actor_task_retry_on_errors``: rows would be dropped, or a refused key tried on and on.
    The driver gets the error as text in a ``UserCodeException``, or by its class with
    ``DataContext.raise_original_map_exception``. Ray ends a job of which no batch has ended for 30 minutes
    (``DataContext.execution_no_progress_timeout_s``): keep ``batch_size`` far below what the limit allows in that time.

    Ray Data can keep checkpoints itself (``DataContext.checkpoint_config``). That serves better where the dataset has
    an id column and ends in ``write_parquet`` or the like, and where storage is an object store: rows that were written
    are left out before anything is made of them. But it knows only what was written: answers of blocks that were under
    way are paid for twice. ``checkpoint_dir`` knows each answer from the moment it came.
    """

    def __init__(
        self,
        *,
        prompt_column: str = "prompt",
        make_call: Callable[[dict[str, Any]], Call[Any]] | None = None,
        read: Callable[[Any], Any] | None = None,
        id_column: str | None = None,
        checkpoint_dir: AnyPath | None = None,
        prefix: str = "",
        client: Mapping[str, Any] | None = None,
        run: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> None:
        # What is wrong with these is told by the first batch: Ray buries what a constructor raises in pages of its own.
        self._prompt_column = prompt_column
        self._make_call = make_call
        self._read = read
        self._id_column = id_column
        self._folder = checkpoint_dir
        self._prefix = prefix
        self._settings = dict(client or {})
        self._options = dict(run or {})
        self._parameters = parameters
        self._thread: _LoopThread | None = None
        self._opening: asyncio.Task[_Joint] | None = None
        self._failure: ZhipuError | None = None

    async def __call__(self, batch: Any) -> Any:
        """The batch with the columns of the answers: a dict of NumPy arrays, or an Arrow table."""
        # Ray's loop stands still while it hands results on: a client on it would miss its answers.
        if self._thread is None:
            self._thread = _LoopThread()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._answer(batch), self._thread.loop))

    def close(self) -> None:
        """Close the client and the journal. Blocks; Ray drops the object at the worker's end, which does this."""
        thread, self._thread = self._thread, None
        if thread is not None:
            opening, self._opening = self._opening, None
            thread.end(partial(_close, opening))

    def __del__(self) -> None:
        if not sys.is_finalizing():
            with suppress(Exception):
                self.close()

    # ------------------------------------------------------------ a batch

    async def _answer(self, batch: Any) -> Any:
        if self._failure is not None:
            raise self._failure
        try:
            client, journal = await self._opened()
            self._check_names(batch)
            results = await self._results(client, journal, batch)
        except ZhipuError as error:
            self._failure = error  # batches that come until Ray has ended the job send nothing
            raise
        return _with_columns(batch, self._columns(results))

    async def _results(self, client: AsyncZhipuAI, journal: FolderJournal | None, batch: Any) -> list[_Result]:
        """What became of each row."""
        rows = _rows(batch, None if self._make_call is not None else {self._prompt_column, self._id_column} - {None})
        ids = [self._id(row) for row in rows] if self._id_column is not None and journal is not None else None
        found: list[Any] = await self._calls(rows)
        places = [place for place, call in enumerate(found) if isinstance(call, Call)]
        source: Any = [found[place] if ids is None else (ids[place], found[place]) for place in places]
        options: dict[str, Any] = {"dedupe": journal is not None and ids is None, **self._options}
        run: FanOut[Any] = client.fan_out(source, window=max(1, len(places)), journal=journal, **options)
        async with run:
            async for outcome in run:
                found[places[outcome.index]] = outcome
        return found

    async def _calls(self, rows: list[dict[str, Any]]) -> list[Call[Any] | ZhipuError]:
        """A call for each row, or why there can be none."""
        if self._make_call is not None:
            return [_made(self._make_call, row) for row in rows]
        prompts = [row[self._prompt_column] for row in rows]
        asked: AsyncIterator[Item[Any]] = items(
            [prompt for prompt in prompts if isinstance(prompt, str)], self._parameters
        )
        calls = iter([item.call async for item in asked])
        return [next(calls) if isinstance(prompt, str) else self._no_text(prompt) for prompt in prompts]

    def _no_text(self, prompt: object) -> ConfigError:
        return ConfigError(f"{self._prompt_column!r} must be text, not {type(prompt).__name__}")

    def _id(self, row: dict[str, Any]) -> str:
        if (value := row[self._id_column or ""]) is None:
            raise ConfigError(f"a row has no {self._id_column!r}: with id_column each row needs one")
        return str(value)

    def _columns(self, results: list[_Result]) -> dict[str, tuple[list[Any], str | None]]:
        """The columns that are added: their values and Arrow types (None: what the values say)."""
        read = self._read or _text
        added: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for result in results:
            outcome = result if isinstance(result, Outcome) else None
            error = outcome.error if outcome is not None else cast(ZhipuError, result)
            value = None if outcome is None else outcome.value
            told = None
            if error is not None:
                told = recorded.told_of(error, creates=outcome is not None and outcome.call.endpoint.creates)
            added["answer"].append(None if error is not None else read(value))
            added["response"].append(None if error is not None or outcome is None else _whole(outcome))
            added["error"].append(None if told is None else _json(msgspec.to_builtins(told)))
            added["tokens"].append(getattr(getattr(value, "usage", None), "total_tokens", None))
            added["seconds"].append(None if outcome is None else outcome.seconds)
        types: dict[str, str | None] = {**COLUMNS, **({} if self._read is None else {"answer": None})}
        return {self._prefix + name: (values, types[name]) for name, values in added.items()}

    # ------------------------------------------------------------ the beginning

    async def _opened(self) -> _Joint:
        """Client and journal, made by the first batch; others wait for it."""
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> _Joint:
        if unknown := self._options.keys() - RUN_OPTIONS:
            raise ConfigError(f"run takes {', '.join(sorted(RUN_OPTIONS))}, not {', '.join(sorted(unknown))}")
        if self._make_call is not None and self._parameters:
            raise ConfigError(f"make_call brings its own parameters: {', '.join(self._parameters)}")
        if self._make_call is None:
            await self._calls([{self._prompt_column: ""}])  # TypeError for a parameter that does not exist
        client = AsyncZhipuAI(**self._settings)
        journal = None if self._folder is None else FolderJournal(self._folder)
        if journal is not None:
            await journal.open()
        return client, journal

    def _check_names(self, batch: Any) -> None:
        names = _names(batch)
        if taken := sorted({self._prefix + name for name in COLUMNS} & set(names)):
            raise ConfigError(f"the dataset has {', '.join(taken)} already: give prefix=..., or drop them")
        wanted = (self._id_column, None if self._make_call is not None else self._prompt_column)
        if missing := [name for name in wanted if name is not None and name not in names]:
            raise ConfigError(f"the dataset has no column {', '.join(missing)}, only {', '.join(names)}")


class _LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = Thread(target=_serve, args=(self.loop,), name="zhipu-async", daemon=True)
        self._thread.start()

    def end(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``last``, stop the loop and wait for the thread; each for a bounded time."""
        if current_thread() is self._thread:  # the garbage collector found it here: nobody could wait
            self.loop.stop()
            return
        try:
            asyncio.run_coroutine_threadsafe(last(), self.loop).result(_CLOSING)
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(_CLOSING)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _close(opening: asyncio.Task[_Joint] | None) -> None:
    """Stop what is under way and close what was opened."""
    here = asyncio.current_task()
    running = [task for task in asyncio.all_tasks() if task not in (here, opening)]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    if opening is None:
        return
    with suppress(Exception):  # a failed opening has been told
        client, journal = await opening
        await client.close()
        if journal is not None:
            await journal.close()


def _made(make_call: Callable[[dict[str, Any]], Call[Any]], row: dict[str, Any]) -> Call[Any] | ZhipuError:
    try:
        return make_call(row)
    except ZhipuError as error:
        return error


# ---------------------------------------------------------------- answers as text


def _text(value: Any) -> str | None:
    text = None if isinstance(value, Binary) else getattr(value, "text", None)
    return _sound(text) if isinstance(text, str) else None


def _whole(outcome: Outcome[Any]) -> str:
    if isinstance(outcome.value, msgspec.Struct):
        return _json(msgspec.to_builtins(outcome.value))
    response = record_of(outcome, hash="", run="", body=None, at="").response  # of a file: its type, and base64
    return "null" if response is None else bytes(response.body).decode()


def _json(value: Any) -> str:
    return _sound(json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":")))


def _sound(text: str) -> str:
    """Arrow refuses text with lone surrogates, which answers may hold: one would end the job."""
    return text.encode("utf-8", "replace").decode()


# ---------------------------------------------------------------- batches of Ray


def _names(batch: Any) -> list[str]:
    """The columns of a batch; ConfigError for a form that is not supported."""
    if hasattr(batch, "append_column"):
        return list(batch.column_names)
    if isinstance(batch, Mapping):
        return list(cast("Mapping[str, Any]", batch))
    raise ConfigError(f"a batch must be NumPy or Arrow, not {type(batch).__name__}: batch_format='pyarrow'")


def _rows(batch: Any, needed: Collection[str | None] | None) -> list[dict[str, Any]]:
    """The rows as dicts of plain values, with the columns that are needed (None: all)."""
    names = [name for name in _names(batch) if needed is None or name in needed]
    if hasattr(batch, "append_column"):
        rows: list[dict[str, Any]] = batch.select(names).to_pylist()
        return rows
    columns = [_plain(batch[name]) for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _plain(column: Any) -> list[Any]:
    values: list[Any] = column.tolist() if hasattr(column, "tolist") else list(column)
    return [value.tolist() if hasattr(value, "tolist") else value for value in values]


def _with_columns(batch: Any, added: dict[str, tuple[list[Any], str | None]]) -> Any:
    if not hasattr(batch, "append_column"):
        return {**batch, **{name: values for name, (values, _) in added.items()}}
    arrow: Any = importlib.import_module("pyarrow")  # it is there: the batch is one of its tables
    for name, (values, kind) in added.items():
        batch = batch.append_column(name, arrow.array(values, None if kind is None else getattr(arrow, kind)()))
    return batch
