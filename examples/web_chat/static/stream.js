// An answer as a sequence of events, from a POST: EventSource can only GET.

/** What went wrong, as the page tells it; `type` is the server's word for it. */
export class Trouble extends Error {
  constructor({ type = "internal", message = "Please try again." }) {
    super(message);
    this.type = type;
  }
}

const BROKEN_OFF = { type: "broken_off", message: "What had arrived is kept." };

/**
 * The events of the answer to `question`, in their order: `{ type, ... }`. Ends behind `[DONE]`; throws Trouble for an
 * error, before the first event or in the middle. Leaving it, or `signal`, closes the connection: then the server closes
 * that to the model.
 */
export async function* ask(question, signal) {
  let response;
  try {
    response = await fetch("/chat", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(question),
      signal,
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Trouble({ type: "offline", message: "Is it still running? Your question is kept." });
  }
  if (response.status === 413) throw new Trouble({ type: "context_too_long", message: "Please begin a new chat." });
  if (!response.ok) throw new Trouble((await response.json().catch(() => ({}))).error ?? {});
  for await (const { name, data } of frames(response.body, signal)) {
    if (data === "[DONE]") return;
    const value = JSON.parse(data);
    if (name === "error") throw new Trouble(value.error);
    yield value;
  }
  throw new Trouble(BROKEN_OFF);
}

/** The frames of a text/event-stream, however the network has cut it. */
async function* frames(body, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const whole = (rest + value).split("\n\n");
      rest = whole.pop();
      for (const lines of whole.map((frame) => frame.split("\n"))) {
        const field = (name) => lines.filter((line) => line.startsWith(name)).map((line) => line.slice(name.length)).join("\n");
        const data = field("data: ");
        if (data) yield { name: field("event: "), data };
      }
    }
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Trouble(BROKEN_OFF);
  } finally {
    reader.cancel().catch(() => {});
  }
}
