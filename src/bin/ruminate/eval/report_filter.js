"use strict";
const [config, result, words] = ["config", "result", "words"].map((id) => document.getElementById(id));
const rows = [...document.querySelectorAll("#answers tbody tr")];
function filter() {
  const wanted = words.value.toLowerCase();
  let shown = 0;
  for (const row of rows) {
    row.hidden = (config.value && row.dataset.config !== config.value)
      || (result.value && row.dataset.result !== result.value)
      || (wanted && !row.textContent.toLowerCase().includes(wanted));
    shown += row.hidden ? 0 : 1;
  }
  document.getElementById("count").textContent = `${shown} of ${rows.length}`;
}
for (const control of [config, result, words]) control.addEventListener("input", filter);
filter();
