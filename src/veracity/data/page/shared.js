"use strict";
// What both pages use. Text of strangers becomes text nodes and nothing else.

const $ = (name) => document.getElementById(name);

// As on the command line (cli/printable.py): what drives a terminal or hides is shown by code; signs
// and joiners that scripts need, and flags of regions, stay.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
const NEEDED = new Set(
  [0x200c, 0x200d, 0x600, 0x601, 0x602, 0x603, 0x604, 0x605, 0x6dd, 0x70f, 0x890, 0x891, 0x8e2, 0x110bd, 0x110cd, 0xa, 0x9]
);
const FLAG = /(\u{1F3F4}[\u{E0030}-\u{E0039}\u{E0061}-\u{E007A}]{3,6}\u{E007F})/u;

function isSeen(character) {
  return NEEDED.has(character.codePointAt(0)) || !UNSEEN.test(character);
}

function node(tag, attributes = {}, ...content) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...content);
  return made;
}

function shown(text) {
  const parts = [];
  let plain = "";
  text.split(FLAG).forEach((part, index) => {
    if (index % 2) {
      plain += part;
      return;
    }
    for (const character of part) {
      if (isSeen(character)) {
        plain += character;
        continue;
      }
      const code = "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      parts.push(plain, node("span", { class: "unseen" }, code));
      plain = "";
    }
  });
  parts.push(plain);
  return parts;
}

function show(element, text) {
  element.replaceChildren(...shown(text));
}

function rows(pairs) {
  const list = node("dl");
  for (const [name, value] of pairs) list.append(node("dt", {}, name), node("dd", {}, ...shown(String(value))));
  return list;
}

class Fault extends Error {
  constructor(message, status, facts = {}) {
    super(message);
    this.status = status;
    this.facts = facts;
  }
}

// The bearer key is in this variable only, until the page is closed.
let key = "";

async function call(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (key) headers.authorization = "Bearer " + key;
  let reply;
  try {
    reply = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Fault("No reply from the server. See whether it still runs.", 0);
  }
  if (reply.ok) return reply;
  let said = {};
  try {
    said = await reply.json();
  } catch {
    said = {};
  }
  const wait = reply.headers.get("retry-after");
  const message = (said.error && said.error.message) || "The server refused (" + reply.status + ").";
  throw new Fault(message + (wait ? "; try again in " + wait + " s" : ""), reply.status, said);
}

function save(name, data, type) {
  const place = URL.createObjectURL(new Blob([data], { type }));
  const link = node("a", { href: place, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(place), 60000);
}
