/** What both panels do with the page's elements. */

export const HAS_WEBASSEMBLY = typeof WebAssembly === "object";

export function element(id) {
  return document.getElementById(id);
}

/** Says something below a panel's buttons; in words that are seen, and heard by a screen reader. */
export function tell(id, message = "", wrong = false) {
  element(id).textContent = message;
  element(id).classList.toggle("wrong", wrong);
}

/** Takes a file that is chosen in an input, or dropped on its panel. */
export function acceptFiles(panelId, inputId, take) {
  const panel = element(panelId);
  const input = element(inputId);
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = ""; // the same file again is a change too
    if (file) {
      take(file);
    }
  });
  panel.addEventListener("dragover", (event) => {
    event.preventDefault();
    panel.classList.add("over");
  });
  panel.addEventListener("dragleave", () => panel.classList.remove("over"));
  panel.addEventListener("drop", (event) => {
    event.preventDefault();
    panel.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) {
      take(file);
    }
  });
}
