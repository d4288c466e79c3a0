// Passkeys: what the browser is asked is allauth's (mfa/js/webauthn.js). This says what went wrong, in the page.
(() => {
  "use strict";
  const show = (selector) => {
    for (const element of document.querySelectorAll(selector)) element.hidden = false;
  };
  document.addEventListener("allauth.error", (event) => {
    event.preventDefault();
    show("[data-passkey-failed]");
  });
  // Of an address without a name a browser makes no passkey.
  const named = !/^[\d.]+$|^\[/.test(location.hostname);
  if (window.PublicKeyCredential && named) return;
  show("[data-passkey-absent]");
  for (const element of document.querySelectorAll("[data-passkeys]")) element.hidden = true;
})();
