// What pages do beyond plain HTML. Everything here is a convenience: without it pages still work.

const dark = () => {
  const chosen = document.documentElement.dataset.bsTheme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

function toggleTheme() {
  const theme = dark() ? "light" : "dark";
  document.documentElement.dataset.bsTheme = theme;
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax${secure}`;
  document.dispatchEvent(new Event("keymeter:theme"));
}

async function copy(button) {
  const source = document.querySelector(button.dataset.copy);
  const text = source.value ?? source.textContent;
  try {
    await navigator.clipboard.writeText(text.trim());
  } catch {
    getSelection().selectAllChildren(source);
    return;
  }
  const label = button.querySelector("[data-label]");
  const before = label.textContent;
  button.classList.add("is-done");
  label.textContent = "Copied";
  setTimeout(() => {
    button.classList.remove("is-done");
    label.textContent = before;
  }, 2000);
}

function download(button) {
  const text = document.querySelector(button.dataset.download).textContent.trim();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/plain" }));
  link.download = button.dataset.filename;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.hasAttribute("data-theme-toggle")) toggleTheme();
  else if (button?.hasAttribute("data-dismiss")) button.closest("[role=status], [role=alert]").remove();
  else if (button?.dataset.dialog) document.querySelector(button.dataset.dialog).showModal();
  else if (button?.dataset.copy) copy(button);
  else if (button?.dataset.download) download(button);
  // A menu closes when something else is clicked.
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target) || button?.dataset.dialog) menu.open = false;
  }
});

// A second click doesn't send a form again. Coming back to the page makes it usable again.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  setTimeout(() => event.target.classList.add("is-sending"));
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "1";
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.classList.remove("is-sending");
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    return;
  }
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.key === " ") return;
  const target = document.querySelector(`[data-shortcut="${CSS.escape(event.key)}"]`);
  if (!target) return;
  event.preventDefault();
  if (target.matches("input, select")) target.focus();
  else target.click();
});

// A filter is applied by choosing; the button is for those without scripts.
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-submit-on-change]");
  if (!form) return;
  const chosen = [...new FormData(form)].filter(([, value]) => value);
  location.assign(`${location.pathname}${chosen.length ? "?" : ""}${new URLSearchParams(chosen)}`);
});

// The page that shows a secret once is the answer to a form: reloading it should show the key, not send the form again.
const replace = document.querySelector("[data-replace-address]");
if (replace) history.replaceState(null, "", replace.dataset.replaceAddress);

// --- Relative times -----------------------------------------------------------------------------------------------
const STEPS = [
  [60, 1, "s"],
  [3600, 60, "min"],
  [86400, 3600, "h"],
  [2592000, 86400, "d"],
];

function relative(at) {
  const past = Math.floor((Date.now() - at) / 1000);
  const seconds = Math.abs(past);
  if (seconds < 2) return "just now";
  for (const [limit, size, unit] of STEPS) {
    if (seconds < limit) {
      const count = Math.floor(seconds / size);
      return past < 0 ? `in ${count} ${unit}` : `${count} ${unit} ago`;
    }
  }
  return null;
}

setInterval(() => {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const text = relative(Date.parse(time.dateTime));
    if (text && text !== time.textContent) time.textContent = text;
  }
}, 5000);

// --- Live parts -----------------------------------------------------------------------------------------------------
// They rest while nobody looks, and while somebody reads further down, marks text or moves through them by keyboard.
function resting(part) {
  const selection = getSelection();
  const marked = !selection.isCollapsed && part.contains(selection.anchorNode);
  const above = part.getBoundingClientRect().top < -120;
  return document.hidden || marked || above || part.querySelector(":focus-visible") !== null;
}

document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt;
  if (part.hasAttribute("data-live") && resting(part)) event.preventDefault();
});

document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, target } = event.detail;
  if (xhr.responseURL && new URL(xhr.responseURL).pathname.startsWith("/account/")) {
    // Signed out meanwhile: the sign-in page, not a piece of it.
    event.detail.shouldSwap = false;
    location.reload();
    return;
  }
  const open = [...target.querySelectorAll("details[id][open]")].map((details) => details.id);
  document.addEventListener(
    "htmx:afterSettle",
    () => {
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    },
    { once: true },
  );
});
