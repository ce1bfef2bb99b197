// Markdown of a model as DOM nodes. The text never passes an HTML parser: whatever it says, it is shown and not run.
//
// Paragraphs, headings, lists, quotes, rules, tables, fenced code; bold, italics, struck, code, links to http, https and
// mailto. Pictures become links: a picture that loads by itself can tell others what the conversation says.

/** An element with attributes and children; text is always a text node. */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** A line drawing of 16 by 16. */
export function icon(path) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 16 16");
  drawing.setAttribute("aria-hidden", "true");
  drawing.append(document.createElementNS(SVG, "path"));
  drawing.firstChild.setAttribute("d", path);
  return drawing;
}

/** A quiet button that copies what `text` gives, where the browser allows that. */
export function copyButton(label, text) {
  const word = element("span", {}, "Copy");
  const button = element("button", { type: "button", class: "small", "aria-label": label }, icon(COPY), word);
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text()).then(
      () => { word.textContent = "Copied"; },
      () => { word.textContent = "Not allowed"; },
    );
    setTimeout(() => { word.textContent = "Copy"; }, 1600);
  });
  return button;
}

const COPY = "M5.5 5.5v-2a1 1 0 0 1 1-1h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-2M3.5 5.5h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-6a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1z";

const sources = new WeakMap(); // of a block's node: the Markdown that it shows

/** Show `text` in `container`. Blocks that have not changed stay as they are, with selection and scrolling. */
export function render(container, text) {
  const blocks = parse(text.split("\n"));
  blocks.forEach((block, index) => {
    const shown = container.children[index];
    if (shown && sources.get(shown) === block.source) return;
    const node = shown && grow(shown, block) ? shown : build(block);
    sources.set(node, block.source);
    if (!shown) container.append(node);
    else if (node !== shown) shown.replaceWith(node);
  });
  while (container.children.length > blocks.length) container.lastElementChild.remove();
}

// ---------------------------------------------------------------- blocks

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^(\s*)([-*+•]|\d{1,9}[.)])(\s+|$)/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;
const DEEPEST = 6; // quotes and lists in one another

function parse(lines, depth = 0) {
  const blocks = [];
  let at = 0;
  const take = (kind, end, more) => {
    blocks.push({ kind, depth, source: lines.slice(at, end).join("\n"), ...more });
    at = end;
  };
  while (at < lines.length) {
    const line = lines[at];
    let found;
    if (!line.trim()) at += 1;
    else if ((found = FENCE.exec(line))) {
      const [mark, language] = [found[1], found[2]];
      let end = at + 1;
      while (end < lines.length && !closes(lines[end], mark)) end += 1;
      take("code", Math.min(end + 1, lines.length), { language, text: lines.slice(at + 1, end).join("\n") });
    } else if ((found = HEADING.exec(line))) take("heading", at + 1, { level: found[1].length, text: found[2] });
    else if (RULE.test(line)) take("rule", at + 1);
    else if (QUOTE.test(line) && depth < DEEPEST) {
      let end = at;
      while (end < lines.length && QUOTE.test(lines[end])) end += 1;
      take("quote", end, { lines: lines.slice(at, end).map((each) => each.replace(QUOTE, "")) });
    } else if (ITEM.test(line) && depth < DEEPEST) list(lines, at, take);
    else if (line.includes("|") && DIVIDER.test(lines[at + 1] ?? "") && lines[at + 1].includes("-")) {
      let end = at + 2;
      while (end < lines.length && lines[end].includes("|")) end += 1;
      take("table", end, { rows: [lines[at], ...lines.slice(at + 2, end)].map(cells), sides: cells(lines[at + 1]) });
    } else {
      let end = at + 1;
      while (end < lines.length && lines[end].trim() && !interrupts(lines[end])) end += 1;
      take("paragraph", end, { text: lines.slice(at, end).map((each) => each.trim()).join("\n") });
    }
  }
  return blocks;
}

function closes(line, mark) {
  const bare = line.trim();
  return bare.length >= mark.length && bare === mark[0].repeat(bare.length);
}

function interrupts(line) {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);
}

/** Items of one kind, from `start` on: an item goes on in the lines that are indented more than its mark. */
function list(lines, start, take) {
  const [, margin, first] = ITEM.exec(lines[start]);
  const ordered = /\d/.test(first);
  const items = [];
  let at = start;
  for (; at < lines.length; at += 1) {
    const line = lines[at];
    const found = ITEM.exec(line);
    const indent = line.length - line.trimStart().length;
    if (!line.trim()) {
      const next = lines.slice(at).find((each) => each.trim());
      if (!next || (!ITEM.test(next) && indentOf(next) <= margin.length)) break;
      items.at(-1).lines.push("");
    } else if (found && indent <= margin.length + 1 && !RULE.test(line)) {
      if (/\d/.test(found[2]) !== ordered) break;
      items.push({ width: found[0].length, lines: [line.slice(found[0].length)] });
    } else if (indent > margin.length) {
      items.at(-1).lines.push(line.slice(Math.min(indent, items.at(-1).width)));
    } else if (!interrupts(line) && lines[at - 1].trim()) items.at(-1).lines.push(line); // a paragraph that goes on
    else break;
  }
  take("list", at, { ordered, start: parseInt(first, 10), items: items.map((item) => item.lines) });
}

function indentOf(line) {
  return line.length - line.trimStart().length;
}

function cells(row) {
  return row.trim().replace(/^\||(?<!\\)\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

const BUILD = {
  paragraph: (block) => element("p", {}, ...inline(block.text)),
  heading: (block) => element(`h${Math.min(block.level + 2, 5)}`, {}, ...inline(block.text)),
  rule: () => element("hr"),
  quote: (block) => element("blockquote", {}, ...parse(block.lines, block.depth + 1).map(build)),
  list: (block) => {
    const items = block.items.map((lines) => element("li", {}, ...parse(lines, block.depth + 1).flatMap(inItem)));
    const start = block.ordered && block.start !== 1 ? { start: block.start } : {};
    return element(block.ordered ? "ol" : "ul", start, ...items);
  },
  code: (block) => {
    const code = element("code", {}, block.text);
    const head = element("header", {}, element("span", {}, block.language || "text"), copyButton("Copy code", () => code.textContent));
    return element("div", { class: "code" }, head, element("pre", { tabindex: "0" }, code));
  },
  table: ({ rows: [head, ...body], sides }) => {
    const row = (name, texts) => element("tr", {}, ...head.map((_, column) => {
      const side = sides[column] ?? "";
      const classes = side.endsWith(":") ? { class: side.startsWith(":") ? "center" : "right" } : {};
      return element(name, classes, ...inline(texts[column] ?? ""));
    }));
    const table = element("table", {}, element("thead", {}, row("th", head)), element("tbody", {}, ...body.map((each) => row("td", each))));
    return element("div", { class: "table", tabindex: "0" }, table);
  },
};

function build(block) {
  return BUILD[block.kind](block);
}

/** An item begins without a paragraph of its own: most are one line. */
function inItem(block, place) {
  return place === 0 && block.kind === "paragraph" ? inline(block.text) : [build(block)];
}

/** Whether the node of a code block could be brought up to date in place. */
function grow(node, block) {
  const code = block.kind === "code" && node.className === "code" && node.querySelector("code");
  if (!code || node.querySelector("header span").textContent !== (block.language || "text")) return false;
  code.textContent = block.text;
  return true;
}

// ---------------------------------------------------------------- in a line

const INLINE = [
  /\\([!-/:-@[-`{-~])/, // 1 an escaped sign
  /(?<!`)(`{1,3})(?!`)(.+?)(?<!`)\2(?!`)/, // 2, 3 code
  /\*\*(?=\S)(.+?)(?<=\S)\*\*|(?<!\w)__(?=\S)(.+?)(?<=\S)__(?!\w)/, // 4, 5 bold
  /(?<!\*)\*(?=[^\s*])([^*]+?)(?<=\S)\*(?!\*)|(?<!\w)_(?=[^\s_])([^_]+?)(?<=\S)_(?!\w)/, // 6, 7 italics
  /~~(?=\S)(.+?)(?<=\S)~~/, // 8 struck
  /!?\[([^[\]]*)\]\(\s*<?([^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*)>?(?:\s+["'][^"'\n]*["'])?\s*\)/, // 9, 10 a link
  /(https?:\/\/[^\s<>"'`*\u3000-\u303f\uff00-\uffef]+)/, // 11 an address
];
const PATTERN = new RegExp(INLINE.map((each) => each.source).join("|"), "gs");

/** The pieces of a line, as nodes and texts; no link stands in another. */
function inline(text, links = true) {
  const nodes = [];
  let place = 0;
  for (const found of text.matchAll(PATTERN)) {
    const [whole, sign, , code, bold, alsoBold, italics, alsoItalics, struck, label, target, address] = found;
    if (found.index < place) continue;
    let end = found.index + whole.length;
    let node;
    if (sign !== undefined) node = sign;
    else if (code !== undefined) node = element("code", {}, code.replace(/^ (.*[^ ].*) $/s, "$1"));
    else if (bold ?? alsoBold) node = element("strong", {}, ...inline(bold ?? alsoBold, links));
    else if (italics ?? alsoItalics) node = element("em", {}, ...inline(italics ?? alsoItalics, links));
    else if (struck) node = element("s", {}, ...inline(struck, links));
    else if (!links) node = whole;
    else if (target !== undefined) node = link(target, inline(label || target, false)) ?? whole;
    else {
      const bare = address.replace(/[.,;:!?)\]}]+$/, "");
      end = found.index + bare.length;
      node = link(bare, [bare]) ?? bare;
    }
    nodes.push(text.slice(place, found.index), node);
    place = end;
  }
  nodes.push(text.slice(place));
  return nodes.filter((node) => node !== "");
}

/** A link, or nothing where its address is not absolute, or of a kind that could run something. */
function link(target, children) {
  let url;
  try {
    url = new URL(target);
  } catch {
    return null;
  }
  if (!["http:", "https:", "mailto:"].includes(url.protocol)) return null;
  return element("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow", title: url.href }, ...children);
}
