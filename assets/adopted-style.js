/**
 * Stands for a style element, which our content security policy forbids to scripts: its text becomes a style sheet
 * of the document, which the policy leaves to scripts that it let in (CSS Object Model, "adoptedStyleSheets").
 */
class AdoptedStyle extends HTMLElement {
  #sheet = new CSSStyleSheet();

  connectedCallback() {
    this.hidden = true;
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, this.#sheet];
  }

  disconnectedCallback() {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => sheet !== this.#sheet);
  }

  set textContent(text) {
    this.#sheet.replaceSync(text);
  }
}
customElements.define("adopted-style", AdoptedStyle);
