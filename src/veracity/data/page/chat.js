// The conversation: asks, shows what streams in, keeps receipts, orders proofs.

let model = null;
let past = [];
let running = null;

async function begin() {
  try {
    model = (await (await call("/v1/models")).json()).data[0];
  } catch (error) {
    $("door").hidden = error.status !== 401;
    if (error.status === 401 && !key) return $("key").focus();
    return show($("fault"), error.message);
  }
  $("fault").replaceChildren();
  $("door").hidden = true;
  const facts = model.veracity;
  show($("model"), model.id);
  show($("commitment"), facts.commitment);
  show($("about"), facts.receipts ? "; each comes with a signed receipt" : "; this server signs no receipts");
  document.title = model.id + ": veracity";
  $("system-field").hidden = !facts.conversations;
  $("most").max = facts.context;
  show($("kind"), kindOf(facts));
}

function kindOf(facts) {
  if (facts.conversations) return "The model reads the whole conversation.";
  if (facts.chat_frame === "raw") return "This model goes on with a text; it reads one message at a time.";
  return "The model reads one message at a time.";
}

function asked(text) {
  const before = model.veracity.conversations ? past : [];
  const system = before === past && $("system").value ? [{ role: "system", content: $("system").value }] : [];
  const body = {
    model: model.id,
    messages: [...system, ...before, { role: "user", content: text }],
    max_tokens: Number($("most").value) || 128,
    stream: true,
  };
  const temperature = Number($("temperature").value);
  if (temperature > 0) {
    body.temperature = temperature;
    const seed = $("seed").value.trim();
    // A seed has 64 bits, more than a number of this language holds: it goes as its digits.
    if (seed) return JSON.stringify(body).replace(/}$/, ',"seed":' + BigInt(seed) + "}");
  }
  return JSON.stringify(body);
}

function withConsent(text) {
  return $("auditable").checked ? text.replace(/}$/, ',"veracity":{"auditable":true}}') : text;
}

function turnFor(text) {
  const answer = node("p", { class: "said answer", dir: "auto" });
  const below = node("div", { class: "below" });
  const item = node(
    "li",
    { "aria-busy": "true" },
    node("h2", {}, "You"),
    node("p", { class: "said asked", dir: "auto" }, ...shown(text)),
    node("h2", {}, "Answer"),
    answer,
    below
  );
  $("talk").append(item);
  $("empty").hidden = true;
  return { item, answer, below };
}

async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      if (block === "data: [DONE]") return;
      if (block.startsWith("data: ")) yield JSON.parse(block.slice(6));
    }
  }
}

async function ask(text) {
  const turn = turnFor(text);
  running = new AbortController();
  busy(true);
  let said = "";
  let finish = null;
  let facts = {};
  try {
    const reply = await call("/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: withConsent(asked(text)),
      signal: running.signal,
    });
    for await (const chunk of events(reply)) {
      if (chunk.error) throw new Fault(chunk.error.message, 500, chunk);
      const choice = chunk.choices[0];
      if (!choice) continue;
      said += choice.delta.content || "";
      if (choice.finish_reason) finish = choice.finish_reason;
      facts = chunk.veracity || facts;
      show(turn.answer, said);
      follow();
    }
    if (!finish) throw new Fault("The answer broke off. See whether the server still runs.", 0);
    past.push({ role: "user", content: text }, { role: "assistant", content: said });
    ended(turn, finish, facts);
  } catch (error) {
    broken(turn, error, text);
  } finally {
    turn.item.setAttribute("aria-busy", "false");
    running = null;
    busy(false);
    follow();
  }
}

function broken(turn, error, text) {
  const left = error.name === "AbortError";
  const message = left ? "Stopped. There is no receipt of what was not finished." : error.message;
  turn.below.append(node("p", { class: left ? "soft" : "fault" }, ...shown(message)));
  say(message);
  if (error.status === 401) $("door").hidden = false;
  if (!$("prompt").value) $("prompt").value = text;
  const facts = error.facts && error.facts.veracity;
  if (facts && facts.receipt) turn.below.append(receiptOf(facts));
}

function ended(turn, finish, facts) {
  const why =
    facts.stopped === "range"
      ? "It ends here because a value left its calibrated range."
      : finish === "length"
        ? "Cut at the limit of tokens."
        : "The model ended it.";
  say("The answer has ended. " + why);
  turn.below.append(node("p", { class: "soft" }, why));
  if (facts.receipt) turn.below.append(receiptOf(facts));
}

function receiptOf(facts) {
  const bytes = Uint8Array.from(atob(facts.receipt.receipt.payload), (c) => c.charCodeAt(0));
  const signed = JSON.parse(new TextDecoder().decode(bytes));
  const ident = String(signed.ident);
  const name = "receipt-" + ident.replace(/[^0-9a-f]/g, "").slice(0, 8);
  const day = (seconds) => new Date(seconds * 1000).toISOString().replace("T", " ").slice(0, 16) + " UTC";
  const box = node("div", { class: "panel", role: "group", "aria-label": "Receipt " + ident.slice(0, 8) });
  const keep = node("button", { type: "button" }, "Save receipt");
  keep.addEventListener("click", () => save(name + ".json", JSON.stringify(facts.receipt, null, 1) + "\n", "application/json"));
  const actions = node("div", { class: "bar" }, keep);
  const more = node("details", {}, node("summary", {}, "Receipt " + ident.slice(0, 8)));
  more.append(
    rows([
      ["receipt", ident],
      ["says", signed.kind === "refused" ? "that this prompt was refused" : "that the committed model gives this answer"],
      ["signed", day(signed.time)],
      ["proof owed until", day(signed.prove_by)],
      ["auditors", signed.auditable ? "may read it" : "may not read it"],
      ["drawn", signed.temperature ? "at temperature " + signed.temperature / 1000 : "no: the most likely tokens"],
      ["commitment", signed.commitment],
    ])
  );
  box.append(more, actions);
  if (facts.proof_url && signed.kind === "answer") proofFor(facts.receipt, name, box, actions);
  box.append(node("p", { class: "soft" }, "Keep the receipt: without this file nobody can ask for a proof."));
  return box;
}

function proofFor(receipt, name, box, actions) {
  const warning = node("span", { class: "soft", id: name + "-shows" }, "A proof shows prompt and answer to whoever gets it.");
  const button = node("button", { type: "button", "aria-describedby": name + "-shows" }, "Prove");
  const bar = node("progress", { max: "1", value: "0", "aria-label": "Progress of the proof" });
  const state = node("span", { role: "status" });
  const end = node("button", { type: "button" }, "Cancel");
  const line = node("div", { class: "bar", hidden: "" }, bar, state, end);
  let job = null;
  end.addEventListener("click", async () => {
    if (!job) return;
    try {
      await call("/v1/proofs/" + encodeURIComponent(job.id), { method: "DELETE" });
    } catch (error) {
      show(state, error.message);
    }
  });
  const takes = node("span", { class: "soft" });
  actions.append(button, warning, takes);
  box.append(line);
  expected(receipt).then((text) => show(takes, text));
  button.addEventListener("click", async () => {
    button.disabled = true;
    line.hidden = false;
    bar.hidden = false;
    end.hidden = false;
    state.className = "soft";
    try {
      job = await proved(receipt, bar, state, (found) => (job = found));
      const get = node("button", { type: "button", class: "main" }, "Save proof");
      get.addEventListener("click", async () => {
        try {
          save(name.replace("receipt", "answer") + ".vproof", await (await call(job.file)).blob(), "application/octet-stream");
        } catch (error) {
          show(state, error.message);
        }
      });
      bar.hidden = true;
      end.hidden = true;
      button.hidden = true;
      takes.remove();
      actions.insertBefore(get, warning);
      state.replaceChildren("Proved. SHA-256 ", node("span", { class: "digest" }, ...shown(job.sha256)));
      say("The proof is done.");
    } catch (error) {
      bar.hidden = true;
      end.hidden = true;
      state.className = error.status === 404 ? "soft" : "fault";
      show(state, error.status === 404 ? "Cancelled. It may be ordered again." : error.message);
      button.disabled = false;
    }
  });
}

// What a proof of this receipt would take; nothing where the server does not say.
async function expected(receipt) {
  const count = receipt.opening.prompt_ids.length + receipt.opening.answer_ids.length;
  try {
    const told = await (await call("/v1/proofs/estimate?tokens=" + count)).json();
    const before = told.waiting ? ", " + told.waiting + " before it" : "";
    return "About " + Math.ceil(told.prove_s) + " s and " + Math.ceil(told.proof_bytes / 1000) + " kB" + before + ".";
  } catch {
    return "";
  }
}

async function proved(receipt, bar, state, told) {
  const body = JSON.stringify({ receipt });
  const headers = { "content-type": "application/json" };
  let job = await (await call("/v1/proofs", { method: "POST", headers, body })).json();
  let lost = 0;
  let since = null;
  told(job);
  while (job.status === "queued" || job.status === "running") {
    bar.value = job.progress;
    if (since === null && job.progress > 0) since = [performance.now(), job.progress];
    const text = job.status === "queued" ? "Waits for its turn" : "Proving: " + howFar(job.progress, since);
    if (state.textContent !== text) show(state, text);
    try {
      job = await (await call("/v1/proofs/" + encodeURIComponent(job.id) + "?wait=1")).json();
      lost = 0;
    } catch (error) {
      // A server that is started again still has the job.
      if (error.status || ++lost > 60) throw error;
      show(state, "No reply; trying again");
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
  if (job.status !== "done") throw new Fault("The proof failed. The receipt still binds the server: tell its owner.", 500);
  return job;
}

// How much is done, and how long the rest may take at the pace since the page looked first.
function howFar(share, since) {
  const done = Math.round(100 * share) + " %";
  const gained = since ? share - since[1] : 0;
  if (gained < 0.05) return done;
  return done + ", about " + Math.ceil((((performance.now() - since[0]) / 1000) * (1 - share)) / gained) + " s left";
}

function say(text) {
  show($("status"), text);
}

function busy(is) {
  $("send").hidden = is;
  $("stop").hidden = !is;
  $("fresh").hidden = is || !past.length || !model.veracity.conversations;
  if (is) say("Answering");
}

// Keeps the end of the conversation above the form, unless its reader has scrolled up.
function follow() {
  const last = $("talk").lastElementChild;
  const below = last.getBoundingClientRect().bottom - $("compose").getBoundingClientRect().top;
  if (below > 0 && below < 400) last.scrollIntoView({ block: "end" });
}

$("door").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value.trim();
  $("key").value = "";
  begin().then(() => model && $("prompt").focus());
});
$("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("prompt").value;
  if (!model || running || !text) return;
  const wrong = [$("most"), $("temperature"), $("seed")].find((field) => !field.checkValidity());
  if (wrong) {
    $("settings").open = true;
    wrong.reportValidity();
    return;
  }
  $("prompt").value = "";
  ask(text);
});
$("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("compose").requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running) running.abort();
});
$("stop").addEventListener("click", () => running && running.abort());
$("fresh").addEventListener("click", () => {
  past = [];
  $("talk").append(node("li", { class: "divide" }, "New conversation"));
  $("fresh").hidden = true;
  $("prompt").focus();
});
begin();
