// What an answer adds to the conversation, as the model is to be sent it with the next question.
//
// A finished answer comes whole from the server. Of one that was stopped, or broke off, this keeps what had arrived, in a
// form that the service takes: each call of a tool has a result, and reasoning stays with the calls that it led to.

const CANCELLED = "error: the call was cancelled";

export class Turns {
  constructor() {
    this.turns = [];
    this.whole = null;
    this.#begin();
  }

  take(event) {
    const turn = this.turns.at(-1);
    switch (event.type) {
      case "reasoning.delta": turn.reasoning += event.text; break;
      case "content.delta": turn.content += event.text; break;
      case "tool_call.done": turn.calls.set(event.position, event.call); break;
      case "call.returned": turn.results.set(event.call.id, event.content); break;
      case "turn.finished": turn.finished = true; break;
      case "run.finished": this.whole = event.messages; break;
    }
  }

  /** Before what the model writes next: a new turn, where one has been finished. */
  turn() {
    if (this.turns.at(-1).finished) this.#begin();
  }

  get text() {
    return this.turns.map((turn) => turn.content.trim()).filter(Boolean).join("\n\n");
  }

  get messages() {
    return this.whole ?? this.turns.flatMap(spoken);
  }

  #begin() {
    this.turns.push({ reasoning: "", content: "", calls: new Map(), results: new Map(), finished: false });
  }
}

function spoken({ reasoning, content, calls, results }) {
  const made = [...calls.values()];
  if (!content && !made.length) return []; // thoughts alone are no answer
  const message = { role: "assistant", content };
  if (made.length) Object.assign(message, { reasoning_content: reasoning, tool_calls: made });
  return [message, ...made.map(({ id }) => ({ role: "tool", tool_call_id: id, content: results.get(id) ?? CANCELLED }))];
}
