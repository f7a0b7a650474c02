// Copies a text to the clipboard. The page is whole without it.
for (const block of document.querySelectorAll("[data-text]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy " + block.dataset.text);
  button.addEventListener("click", async () => {
    const source = block.querySelector("pre, code");
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      const details = source.closest("details");
      if (details) details.open = true;
      getSelection().selectAllChildren(source);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  block.append(button);
}
