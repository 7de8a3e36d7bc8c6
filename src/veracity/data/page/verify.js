// Sends files to the verifier behind this page and shows its verdict.

const VALUES = ["png", "ppm", "npy", "vseal"];
const KINDS = {
  proof: ["vproof", "vtrain"], model: ["vcom"], receipt: ["json"], publisher: ["pub", "pem"],
  input: VALUES, output: VALUES, samples: ["npz"], training: ["vtrain"], data: ["vdata"],
};
const FOLDS = ["more", "network"];
const LOOKS = { ACCEPTED: "good", REJECTED: "bad", UNDECIDED: "doubt" };
let running = null;

const ending = (file) => file.name.split(".").pop().toLowerCase();

const fitting = (file) => Object.keys(KINDS).filter((name) => KINDS[name].includes(ending(file)));

// The place of a dropped file: the one it fell on, else the first empty one of its kind, else the last.
function placeOf(file, on) {
  const fits = fitting(file);
  return fits.find((name) => on && on.contains($(name))) || fits.find((name) => !$(name).files.length) || fits.pop();
}

function take(files, on) {
  const unknown = [];
  for (const file of [...files].sort((a, b) => fitting(a).length - fitting(b).length)) {
    const place = placeOf(file, on);
    if (!place) {
      unknown.push(file.name);
      continue;
    }
    const one = new DataTransfer();
    one.items.add(file);
    $(place).files = one.files;
    for (const fold of FOLDS) if ($(fold).contains($(place))) $(fold).open = true;
  }
  show($("fault"), unknown.length ? "No file that a check knows: " + unknown.join(", ") : "");
  const ready = $("proof").files.length && $("model").files.length;
  show($("status"), ready ? "Proof and commitment are here." : "The " + ($("proof").files.length ? "commitment" : "proof") + " is missing.");
  if (ready) $("go").focus();
}

function parts() {
  const found = [];
  for (const place of Object.keys(KINDS)) {
    const file = $(place).files[0];
    const name = place === "model" ? "commitment" : KINDS[place] === VALUES ? place + "." + (file ? ending(file) : "") : place;
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
  if (event.dataTransfer) take(event.dataTransfer.files, event.target.closest && event.target.closest("label"));
});
