// Contents on small screens, dark or light, search, links to headings, copying of code. Nothing is fetched.
"use strict";
const root = document.body.dataset.root;
const by = (id) => document.getElementById(id);

by("menu").onclick = () => {
  const open = by("contents").classList.toggle("open");
  by("menu").setAttribute("aria-expanded", String(open));
};
document.querySelector("#contents [aria-current]")?.scrollIntoView({ block: "nearest" });

by("theme").onclick = () => {
  const now = document.documentElement.dataset.theme ||
    (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const next = now === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("theme", next);
};

for (const heading of document.querySelectorAll("main :is(h2, h3, h4)[id]")) {
  const link = document.createElement("a");
  link.className = "anchor";
  link.href = "#" + heading.id;
  link.textContent = "#";
  link.setAttribute("aria-label", "Link to this section");
  heading.append(link);
}

for (const block of document.querySelectorAll("main pre")) {
  const frame = document.createElement("div");
  frame.className = "code";
  block.replaceWith(frame);
  const button = document.createElement("button");
  button.className = "copy";
  button.textContent = "copy";
  button.onclick = async () => {
    await navigator.clipboard.writeText(block.textContent);
    button.textContent = "copied";
    setTimeout(() => (button.textContent = "copy"), 1200);
  };
  frame.append(block, button);
}

const input = by("search");
const results = by("results");

// Every word must be somewhere in a section; headings count more than text.
function found(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const scored = [];
  for (const [page, chapter, heading, text] of window.searchIndex) {
    let score = 0;
    for (const word of words) {
      const inHeading = heading.toLowerCase().includes(word);
      const inText = text.toLowerCase().includes(word);
      if (!inHeading && !inText) { score = 0; break; }
      score += (inHeading ? 10 : 0) + (heading.toLowerCase() === word ? 20 : 0) + (inText ? 1 : 0);
    }
    if (score > 0) scored.push({ score, page, chapter, heading, text, word: words[0] });
  }
  return scored.sort((a, b) => b.score - a.score).slice(0, 12);
}

function around(text, word) {
  const place = text.toLowerCase().indexOf(word);
  const start = Math.max(0, place - 40);
  return (start > 0 ? "…" : "") + text.slice(start, start + 140);
}

function entry(section) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  const where = document.createElement("small");
  link.href = root + section.page;
  link.textContent = section.heading === section.chapter ? section.chapter : `${section.chapter} › ${section.heading}`;
  where.textContent = around(section.text, section.word);
  link.append(where);
  item.append(link);
  return item;
}

input.oninput = () => {
  results.replaceChildren(...found(input.value).map(entry));
  results.hidden = input.value.trim() === "";
  if (!results.hidden && results.children.length === 0) {
    const none = document.createElement("li");
    none.className = "none";
    none.textContent = "nothing found";
    results.append(none);
  }
  results.firstElementChild?.classList.add("chosen");
};
input.onkeydown = (event) => {
  const chosen = results.querySelector(".chosen");
  const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  if (step && chosen?.[step]) {
    chosen.classList.remove("chosen");
    chosen[step].classList.add("chosen");
    chosen[step].scrollIntoView({ block: "nearest" });
    event.preventDefault();
  } else if (event.key === "Enter") {
    chosen?.querySelector("a")?.click();
    results.hidden = true;
  } else if (event.key === "Escape") {
    results.hidden = true;
    input.blur();
  }
};
addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== input) {
    event.preventDefault();
    input.focus();
  }
});
addEventListener("click", (event) => {
  if (!event.target.closest(".search")) results.hidden = true;
});
