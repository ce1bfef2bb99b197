// How one answer looks while it grows: thinking, calls of tools, text, figures, trouble.

import { copyButton, element, icon, render } from "./markdown.js";

const CHEVRON = "M6 3.5 10.5 8 6 12.5";
const TICK = "M3 8.5 6.5 12 13 4.5";
const CROSS = "M4 4l8 8M12 4l-8 8";
const CHINESE = /[\u3400-\u9fff]/;

/** The language by which letters are drawn: without it, Chinese may be shown in Japanese shapes. */
export function speak(node, text) {
  if (CHINESE.test(text)) node.lang = "zh-CN";
}

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;

export class Answer {
  /** `changed` is called after each change of the height. */
  constructor(changed) {
    this.changed = changed;
    this.node = element("article", { class: "answer", "aria-label": "Answer", "aria-busy": "true" });
    this.#wait();
    this.section = null; // what is being written: Thinking or Text
    this.cards = []; // of all calls
    this.turn = []; // those of the turn that is being written, by position
  }

  reasoning(text) {
    this.#open(Thinking).add(text);
  }

  content(text) {
    this.#open(Text).add(text);
  }

  call(position, name) {
    this.#close();
    this.#arrived();
    this.turn[position] = new Call(name);
    this.cards.push(this.turn[position]);
    this.node.append(this.turn[position].node);
    this.changed();
  }

  argumentsGrew(position, text) {
    this.turn[position]?.add(text);
    this.changed();
  }

  /** A call is whole. Later it is known by its id: positions begin again with each turn. */
  called(position, call) {
    this.turn[position]?.whole(call);
    this.changed();
  }

  returned(call, content, error, took) {
    this.cards.find((card) => card.id === call.id)?.returned(content, error, took);
    if (this.cards.every((card) => card.ended)) this.#wait(); // the model goes on with the results
    this.changed();
  }

  /** The end: nothing moves any more. */
  end() {
    this.#close();
    this.#arrived();
    this.cards.forEach((card) => card.left());
    this.node.setAttribute("aria-busy", "false");
  }

  /** A line of small figures, and a button that copies the answer's text. */
  figures(words, text) {
    const line = element("div", { class: "figures" });
    if (text) line.append(copyButton("Copy the answer", () => text));
    line.append(element("span", {}, words.join(" · ")));
    this.node.append(line);
    this.changed();
  }

  trouble(title, detail, retry) {
    const again = element("button", { type: "button" }, "Retry");
    again.addEventListener("click", retry);
    const text = element("div", {}, element("strong", {}, title), element("span", {}, detail));
    this.node.append(element("div", { class: "trouble", role: "alert" }, text, again));
    this.changed();
  }

  #open(Section) {
    if (!(this.section instanceof Section)) {
      this.#close();
      this.#arrived();
      this.section = new Section(this.changed);
      this.node.append(this.section.node);
    }
    return this.section;
  }

  #close() {
    this.section?.end();
    this.section = null;
  }

  #wait() {
    this.node.append(element("div", { class: "waiting", role: "img", "aria-label": "Waiting for the model" }));
  }

  #arrived() {
    this.node.querySelector(".waiting")?.remove();
  }
}

/** Open while it grows, then folded, unless the reader has decided otherwise. */
class Thinking {
  constructor(changed) {
    this.changed = changed;
    this.since = performance.now();
    this.word = element("span", { class: "word" }, "Thinking");
    this.time = element("span");
    this.text = element("div", { class: "thought", tabindex: "0" });
    const summary = element("summary", {}, icon(CHEVRON), this.word, this.time);
    this.node = element("details", { class: "thinking live", open: "" }, summary, this.text);
    summary.addEventListener("click", () => { this.decided = true; });
    this.clock = setInterval(() => { this.time.textContent = seconds(this.since); }, 100);
  }

  add(text) {
    const low = this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < 24;
    this.text.append(this.text.textContent ? text : text.trimStart());
    speak(this.text, text);
    if (low) this.text.scrollTop = this.text.scrollHeight;
    this.changed();
  }

  end() {
    clearInterval(this.clock);
    this.word.textContent = "Thought for";
    this.time.textContent = seconds(this.since);
    this.node.classList.remove("live");
    if (!this.decided) this.node.open = false;
    this.changed();
  }
}

/** The row of a table that is being written, and its head before the line below it: until then it is no table. */
const UNFINISHED = /(^|\n)[ \t]*\|(?![ \t|:-]*\n)[^\n]*(\n[ \t|:-]*)?$/;

/** Drawn once per frame at most, however fast the text comes. */
class Text {
  constructor(changed) {
    this.changed = changed;
    this.text = "";
    this.node = element("div", { class: "text live" });
  }

  add(text) {
    this.text += text;
    this.frame ??= requestAnimationFrame(() => this.#draw());
  }

  end() {
    this.node.classList.remove("live");
    this.#draw(this.text);
  }

  #draw(text = this.text.replace(UNFINISHED, "")) {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    speak(this.node, this.text);
    render(this.node, text);
    this.changed();
  }
}

/** A card: the name, the arguments while they are written, the result. */
class Call {
  constructor(name) {
    this.arguments = "";
    this.mark = element("span", { class: "mark" });
    this.state = element("span", { class: "state" }, "writing the call");
    this.growing = element("dd", {});
    this.list = element("dl", {}, element("dt", {}, "arguments"), this.growing);
    this.node = element("section", { class: "call running", "aria-label": `Call of ${name}` },
      element("header", {}, this.mark, element("span", { class: "name" }, name), this.state), this.list);
  }

  add(text) {
    this.arguments += text;
    this.growing.textContent = this.arguments;
    speak(this.growing, text);
  }

  /** Its arguments are shown by name, where they are an object. */
  whole(call) {
    this.id = call.id;
    this.state.textContent = "running";
    const value = parsed(call.function.arguments);
    if (!value || typeof value !== "object" || Array.isArray(value) || !Object.keys(value).length) return;
    this.list.replaceChildren(...Object.entries(value).flatMap(([name, each]) => row(name, readable(each))));
  }

  returned(content, error, took) {
    this.#end(error ? "failed" : "done", error ? CROSS : TICK, took < 1 ? `${Math.ceil(took * 1000)} ms` : `${took.toFixed(1)} s`);
    this.list.append(...row("result", error ? content.replace(/^error: /, "") : readable(parsed(content) ?? content)));
    this.list.lastElementChild.className = "result";
  }

  /** The answer ended before the call did. */
  left() {
    if (!this.ended) this.#end("left", CROSS, "not finished");
  }

  #end(state, mark, words) {
    this.ended = true;
    this.node.classList.replace("running", state);
    this.mark.append(icon(mark));
    this.state.textContent = words;
  }
}

function row(name, text) {
  const value = element("dd", {}, text);
  speak(value, text);
  return [element("dt", {}, name), value];
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A value as one reads it: a line for each item or member, without brackets and quotes. */
function readable(value, depth = 0) {
  if (typeof value === "string") return value;
  if (!value || typeof value !== "object" || depth > 1) return JSON.stringify(value);
  if (Array.isArray(value)) return value.map((each) => `– ${readable(each, depth + 1)}`).join("\n");
  return Object.entries(value).map(([name, each]) => `${name}: ${readable(each, depth + 1)}`).join(depth ? ", " : "\n");
}
