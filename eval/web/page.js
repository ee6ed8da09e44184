// Marks and their places lead to each other; reasons on hover and focus; copy and download, made in the browser so that no file
// is kept by the server. Gradio draws the result anew each time, so that all of it listens on the document.
"use strict";
(() => {
  const tip = document.createElement("div");
  tip.id = "cs-tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  let told = null;
  let last = { mark: null, turn: 0 };

  const near = (event, what) => event.target.closest?.(what);

  function tell(mark) {
    hush();
    told = mark;
    tip.textContent = mark.dataset.why;
    if (!tip.isConnected) document.body.append(tip);
    tip.hidden = false;
    mark.setAttribute("aria-describedby", "cs-tip");
    follow();
  }

  function follow() {
    if (!told) return;
    const place = told.getClientRects()[0] ?? told.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(place.left, innerWidth - tip.offsetWidth - 8))}px`;
    const below = place.bottom + tip.offsetHeight + 8 < innerHeight;
    tip.style.top = `${below ? place.bottom + 4 : place.top - tip.offsetHeight - 4}px`;
  }

  function hush() {
    told?.removeAttribute("aria-describedby");
    told = null;
    tip.hidden = true;
  }

  // The side scrolls within itself where it can, and the page comes along where the two sides stand below each other.
  function show(targets, focus) {
    for (const one of document.querySelectorAll(".cs .here")) one.classList.remove("here");
    const [target] = targets;
    if (!target) return;
    for (const one of targets) one.classList.add("here");  // the pieces of one place
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    target.scrollIntoView({ block: "center", behavior: calm ? "auto" : "smooth" });
    if (focus) target.focus({ preventScroll: true });
  }

  function go(mark, focus) {
    const places = (mark.dataset.places ?? mark.dataset.place ?? "").split(" ").filter(Boolean);
    if (!places.length) return;
    const turn = last.mark === mark ? (last.turn + 1) % places.length : 0;
    last = { mark, turn };
    show(mark.closest(".cs").querySelectorAll(`.source [data-at~="${places[turn]}"]`), focus);
    mark.classList.add("here");
  }

  function back(place, focus) {
    const marks = place.dataset.back.split(" ").filter(Boolean);
    if (!marks.length) return;
    const turn = last.mark === place ? (last.turn + 1) % marks.length : 0;
    last = { mark: place, turn };
    show(document.querySelectorAll(`#cs-mark-${marks[turn]}`), focus);
    place.classList.add("here");
  }

  function press(event, focus) {
    const mark = near(event, ".cs [data-places], .cs [data-place]");
    const place = near(event, ".cs [data-back]");
    if (mark) go(mark, focus);
    else if (place) back(place, focus);
    return mark ?? place;
  }

  const text = (section, name) => section.querySelector(`.as-${name}`).value;

  async function copy(section) {
    try {
      await navigator.clipboard.writeText(text(section, "markdown"));
      return "copied";
    } catch {  // a page that is not served over https
      const area = section.querySelector(".as-markdown");
      area.hidden = false;
      area.select();
      const done = document.execCommand("copy");
      area.hidden = true;
      return done ? "copied" : "the browser does not let this page copy; use the download";
    }
  }

  function download(section, kind) {
    const what = kind === "json" ? "application/json" : "text/markdown";
    const address = URL.createObjectURL(new Blob([text(section, kind), "\n"], { type: `${what};charset=utf-8` }));
    const name = (section.getAttribute("aria-label") ?? "summary").replace(/^Summary of /, "").replace(/[^\w.-]+/g, "_");
    const link = Object.assign(document.createElement("a"), { href: address, download: `${name}.${kind === "json" ? "json" : "md"}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
    return "saved";
  }

  document.addEventListener("click", async (event) => {
    const button = near(event, ".cs [data-do]");
    if (!button) {
      press(event, false);
      return;
    }
    const section = button.closest(".cs");
    section.querySelector(".said").textContent =
      button.dataset.do === "copy" ? await copy(section) : download(section, button.dataset.do);
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hush();
    const isMark = near(event, ".cs [role='button']");
    if (isMark && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      press(event, true);
    }
  });

  for (const [begin, end] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
    document.addEventListener(begin, (event) => {
      const mark = near(event, ".cs [data-why]");
      if (mark) tell(mark);
    });
    document.addEventListener(end, hush);
  }
  addEventListener("scroll", follow, { passive: true, capture: true });
})();
