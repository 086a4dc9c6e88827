"use strict";
const seen = [], kept = 60;
const shown = document.getElementById("shown"), stripes = document.getElementById("stripes");
function note() {
  const answer = document.getElementById("answer");
  seen.push(answer ? answer.dataset.version : "none");
  if (seen.length > kept) seen.shift();
  stripes.replaceChildren(...Array.from({ length: kept }, (_, i) => {
    const stripe = document.createElement("i");
    const version = seen[seen.length - kept + i];
    if (version) stripe.className = version;
    return stripe;
  }));
  const count = {};
  for (const version of seen) count[version] = (count[version] || 0) + 1;
  document.getElementById("shares").textContent = Object.keys(count).sort()
    .map((v) => `${v === "none" ? "no answer" : v}: ${Math.round(100 * count[v] / seen.length)} %`).join(" · ");
}
async function refresh() {
  try {
    const answer = await fetch("/fragment", { cache: "no-store" });
    shown.innerHTML = answer.ok ? await answer.text() : `<p class="card error">The gateway answered ${answer.status}.</p>`;
  } catch (error) {
    shown.innerHTML = '<p class="card error">The shop does not answer: has the demo ended?</p>';
  }
  note();
}
note();
setInterval(refresh, 1000);
