"use strict";
// Draws every chart of the page; what cannot be drawn says so, and its table stays.
const drawing = [...document.querySelectorAll("[data-spec]")].map(async (place) => {
  const spec = JSON.parse(document.getElementById(place.dataset.spec).textContent);
  try {
    // Into a child: vega-embed gives its element a role, and the place itself is the picture that has its text.
    const canvas = place.appendChild(document.createElement("div"));
    canvas.setAttribute("aria-hidden", "true");
    const options = { actions: false, renderer: "svg", ast: true, tooltip: { theme: "custom" } };
    const { view } = await vegaEmbed(canvas, spec, options);
    // A legend's rows depend on the width, which is known only now: laid out once, its upper row would be cut off.
    await view.resize().runAsync();
    addEventListener("resize", () => { view.runAfter(() => view.resize().runAsync()); });
  } catch (error) {
    place.textContent = `This chart could not be drawn: ${error.message}`;
    throw error;
  }
});
Promise.all(drawing).then(() => { document.documentElement.dataset.drawn = "yes"; });
// On paper nothing can be unfolded.
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details:not([open])")) { one.dataset.folded = "yes"; one.open = true; }
});
addEventListener("afterprint", () => {
  for (const one of document.querySelectorAll("details[data-folded]")) { delete one.dataset.folded; one.open = false; }
});
