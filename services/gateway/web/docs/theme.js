// Runs before the first paint: the theme is the one that was selected on the page, or else the system's.
(() => {
  const chosen = localStorage.getItem("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const isDark = chosen === "dark" || (chosen !== "light" && system.matches);
    document.documentElement.classList.toggle("dark-mode", isDark);
  };
  apply();
  system.addEventListener("change", apply);
})();
