// The page: a question is asked, its answer is shown while it comes, and the conversation is kept here, nowhere else.

import { Answer, speak } from "./answer.js";
import { element } from "./markdown.js";
import { ask, Trouble } from "./stream.js";
import { Turns } from "./turns.js";

const $ = (id) => document.getElementById(id);
const [log, question, model, status] = ["log", "question", "model", "status"].map($);

let messages = []; // the conversation, as it is sent
let running = null; // the AbortController of the answer that is being written

const TITLE = {
  offline: "The chat's server cannot be reached",
  broken_off: "The answer broke off",
  rate_limited: "One moment, please",
  overloaded: "One moment, please",
  busy: "One moment, please",
  unavailable: "The model cannot be asked now",
  context_too_long: "This conversation is too long",
  content_filtered: "The service did not answer this",
  timed_out: "The model took too long",
};
const OTHER = "That did not work";
const ENDED = { cut_off: "cut off at the limit of tokens", max_steps: "too many calls: stopped" };

// ---------------------------------------------------------------- asking

function say(text) {
  log.querySelectorAll(".trouble button").forEach((each) => each.remove()); // the conversation goes on without it
  messages.push({ role: "user", content: text });
  const bubble = element("div", { class: "user" }, text);
  speak(bubble, text);
  log.append(bubble);
  $("welcome").hidden = true;
  follow(true);
  answer(messages.length);
}

/** Ask for an answer to the first `length` messages. */
async function answer(length) {
  messages.length = length;
  const shown = new Answer(follow);
  const turns = new Turns();
  const clock = new Clock();
  const mine = new AbortController();
  running = mine;
  log.append(shown.node);
  busy();
  const notes = [];
  let trouble = null;
  try {
    for await (const event of ask({ model: model.value, messages }, mine.signal)) {
      if (WRITTEN.has(event.type)) turns.turn();
      turns.take(event);
      clock.take(event);
      SHOW[event.type]?.(shown, event);
      if (event.type === "run.finished" && ENDED[event.ended]) notes.push(ENDED[event.ended]);
    }
  } catch (error) {
    trouble = mine.signal.aborted ? null : error;
  }
  shown.end();
  if (running !== mine) return; // a new chat has begun meanwhile
  running = null;
  messages.push(...turns.messages);
  if (mine.signal.aborted) notes.push("stopped");
  const words = [...notes, ...clock.words];
  if (words.length || turns.text) shown.figures(words, turns.text);
  if (trouble) fail(shown, trouble, length, turns.text ? TITLE.broken_off : OTHER);
  tell(mine.signal.aborted ? "Stopped" : trouble ? "" : "The answer is complete");
  busy();
}

function fail(shown, error, length, otherwise) {
  if (!(error instanceof Trouble)) console.error(error);
  shown.trouble(TITLE[error.type] ?? otherwise, error instanceof Trouble ? error.message : "Please try again.", () => {
    shown.node.remove();
    question.focus();
    answer(length);
  });
}

const SHOW = {
  "reasoning.delta": (shown, event) => { tell("Thinking"); shown.reasoning(event.text); },
  "content.delta": (shown, event) => { tell("Answering"); shown.content(event.text); },
  "tool_call.started": (shown, event) => { tell(`Calling ${event.name}`); shown.call(event.position, event.name); },
  "tool_call.delta": (shown, event) => shown.argumentsGrew(event.position, event.arguments),
  "tool_call.done": (shown, event) => shown.called(event.position, event.call),
  "call.returned": (shown, event) => shown.returned(event.call, event.content, event.error, event.seconds),
};
const WRITTEN = new Set(["reasoning.delta", "content.delta", "tool_call.started", "tool_call.delta"]);

/** Seconds to the first token, and tokens per second of the time in which the model was writing. */
class Clock {
  constructor() {
    this.asked = performance.now();
    this.tokens = this.writing = 0;
  }

  take(event) {
    const now = performance.now();
    if (WRITTEN.has(event.type)) {
      this.first ??= now;
      this.begun ??= now;
      this.last = now;
    } else if (event.type === "turn.finished") {
      this.tokens += event.usage?.completion_tokens ?? 0;
      this.writing += this.begun === undefined ? 0 : this.last - this.begun;
      this.begun = undefined;
    }
  }

  get words() {
    if (this.first === undefined) return [];
    const words = [`${((this.first - this.asked) / 1000).toFixed(2)} s to first token`];
    if (this.tokens && this.writing > 0) words.push(`${Math.round((this.tokens * 1000) / this.writing)} tokens/s`);
    if (this.tokens) words.push(`${this.tokens} tokens`);
    return words;
  }
}

function stop() {
  if (!running) return;
  running.abort();
  question.focus(); // the button is gone
}

function startAgain() {
  running?.abort();
  running = null;
  messages = [];
  log.replaceChildren();
  $("welcome").hidden = false;
  tell("");
  busy();
  question.focus();
}

// ---------------------------------------------------------------- the composer

function busy() {
  $("stop").hidden = !running;
  $("send").hidden = Boolean(running);
  $("send").disabled = !question.value.trim();
}

function send() {
  const text = question.value.trim();
  if (!text || running) return;
  question.value = "";
  fit();
  say(text);
}

function fit() {
  if (CSS.supports("field-sizing", "content")) return;
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight}px`;
}

function tell(words) {
  if (status.textContent !== words) status.textContent = words;
}

// ---------------------------------------------------------------- scrolling: down with the text, unless the reader went up

const page = document.querySelector("main");
let following = true;

const distance = () => page.scrollHeight - page.scrollTop - page.clientHeight;

function follow(always = false) {
  following ||= always === true;
  if (following) page.scrollTop = page.scrollHeight;
  $("down").hidden = following || distance() < 120;
}

let before = 0;
page.addEventListener("scroll", () => {
  if (page.scrollTop < before - 1) following = distance() < 4;
  else if (distance() < 40) following = true;
  before = page.scrollTop;
  $("down").hidden = following || distance() < 120;
  document.body.classList.toggle("scrolled", page.scrollTop > 4);
}, { passive: true });

// ---------------------------------------------------------------- what the reader does

$("composer").addEventListener("submit", (event) => { event.preventDefault(); send(); });
$("stop").addEventListener("click", stop);
$("new").addEventListener("click", startAgain);
$("down").addEventListener("click", () => follow(true));
question.addEventListener("input", () => { fit(); busy(); });
question.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey) return;
  if (event.isComposing || event.keyCode === 229) return; // that Enter chooses a word of an input method
  event.preventDefault();
  send();
});
addEventListener("keydown", (event) => { if (event.key === "Escape" && !event.isComposing) stop(); });
new ResizeObserver(() => follow()).observe(page); // a keyboard, or a longer question

const settings = await (await fetch("/settings")).json();
model.append(...settings.models.map((name) => element("option", {}, name)));
model.value = settings.model;
$("simulated").hidden = !settings.simulated;
for (const text of settings.questions) {
  const button = element("button", { type: "button" }, text);
  speak(button, text);
  button.addEventListener("click", () => { if (!running) say(text); });
  $("starters").append(element("li", {}, button));
}
busy();
