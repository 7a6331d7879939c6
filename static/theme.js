// Runs before the first paint: says that scripts run, and applies a remembered theme.
// Without a choice, and without scripts, `color-scheme: light dark` follows the system.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const remembered = document.cookie.match(/(?:^|; )theme=(light|dark)/);
  if (remembered) root.dataset.bsTheme = remembered[1];
})();
