// Sends files to the verifier behind this page and shows its verdict.

const KINDS = { proof: ["vproof"], model: ["vcom"], receipt: ["json"], publisher: ["pub", "pem"] };
const LOOKS = { ACCEPTED: "good", REJECTED: "bad", UNDECIDED: "doubt" };
let running = null;

function take(files) {
  const unknown = [];
  for (const file of files) {
    const ending = file.name.split(".").pop().toLowerCase();
    const kind = Object.keys(KINDS).find((name) => KINDS[name].includes(ending));
    if (!kind) {
      unknown.push(file.name);
      continue;
    }
    const one = new DataTransfer();
    one.items.add(file);
    $(kind).files = one.files;
    if (kind === "receipt" || kind === "publisher") $("more").open = true;
  }
  show($("fault"), unknown.length ? "Not a .vproof, .vcom, .json, .pub or .pem file: " + unknown.join(", ") : "");
  const ready = $("proof").files.length && $("model").files.length;
  show($("status"), ready ? "Proof and commitment are here." : "The " + ($("proof").files.length ? "commitment" : "proof") + " is missing.");
  if (ready) $("go").focus();
}

function parts() {
  const found = [];
  for (const [name, field] of [["proof", "proof"], ["commitment", "model"], ["receipt", "receipt"], ["publisher", "publisher"]]) {
    const file = $(field).files[0];
    if (file) found.push([name, file]);
  }
  if ($("prompt").value) found.push(["prompt", new Blob([$("prompt").value])]);
  return found;
}

async function check() {
  const given = parts();
  const query = new URLSearchParams(given.map(([name, blob]) => [name, String(blob.size)]));
  const digest = $("digest").value.trim().toLowerCase();
  if (digest) query.set("digest", digest);
  running = new AbortController();
  $("go").disabled = true;
  $("stop").hidden = $("busy").hidden = false;
  $("result").hidden = true;
  $("fault").replaceChildren();
  show($("status"), "Checking. A proof of a small model takes seconds.");
  try {
    const reply = await call("/v1/verify?" + query, {
      method: "POST",
      headers: { "content-type": "application/octet-stream" },
      body: new Blob(given.map(([, blob]) => blob)),
      signal: running.signal,
    });
    tell(await reply.json());
    show($("status"), "");
  } catch (error) {
    show($("status"), error.name === "AbortError" ? "Stopped." : "");
    if (error.name !== "AbortError") show($("fault"), error.message);
    if (error.status === 401) $("door").hidden = false;
  } finally {
    running = null;
    $("go").disabled = false;
    $("stop").hidden = $("busy").hidden = true;
  }
}

function tell(found) {
  const heading = node("h2", { class: "verdict " + LOOKS[found.verdict] }, found.verdict);
  const tables = found.tables.map(({ title, rows }, index) => {
    const body = node("tbody");
    for (const [name, value] of rows) {
      if (name || value) {
        body.append(node("tr", {}, node("th", { scope: "row" }, ...shown(name)), node("td", {}, ...shown(value))));
      }
    }
    if (index && index === found.tables.length - 1) {
      return node("details", {}, node("summary", {}, ...shown(title)), node("table", {}, body));
    }
    return node("table", {}, ...(title ? [node("caption", {}, ...shown(title))] : []), body);
  });
  $("result").replaceChildren(heading, ...tables);
  $("result").hidden = false;
  $("result").focus();
}

$("door").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value.trim();
  $("key").value = "";
  $("door").hidden = true;
});
$("check").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) check();
});
$("stop").addEventListener("click", () => running && running.abort());
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => document.body.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer) take(event.dataTransfer.files);
});
