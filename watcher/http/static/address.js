// What the page shows is in its address: `?q=` a search, `?photo=` one photo. So it can be sent, and Back works.

/** What the address names; what is not named is empty. */
export function shown() {
  const named = new URLSearchParams(location.search);
  return { q: named.get("q") ?? "", photo: named.get("photo") ?? "" };
}

/** Name something else; unless `replace`, Back leads to what was named before. */
export function name(what, replace) {
  const named = Object.entries({ ...shown(), ...what }).filter(([, value]) => value);
  const address = named.length ? `?${new URLSearchParams(named)}` : location.pathname;
  if (replace) history.replaceState(history.state, "", address);
  else history.pushState({ opened: Boolean(what.photo) }, "", address);
}

/** Name no photo any more: go back to where it was opened, if that was in this page. */
export function leavePhoto() {
  if (!shown().photo) return;
  if (history.state?.opened) history.back();
  else name({ photo: "" }, true);
}
