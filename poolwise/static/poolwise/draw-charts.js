// Draws each [data-chart] from the JSON that it names, and again when its size or the colours change.
"use strict";
{
  async function draw(element, { config, fit }) {
    const spec = JSON.parse(document.getElementById(element.dataset.chart).textContent);
    const options = {
      actions: false,
      ast: true,
      config: config(element, spec),
      defaultStyle: false,
      renderer: "svg",
      tooltip: { disableDefaultStyle: true, theme: "poolwise" },
    };
    try {
      element.vega?.finalize();
      element.vega = await vegaEmbed(element, fit(spec, element.clientWidth), options);
      element.setAttribute("aria-busy", "false");
    } catch (error) {
      element.textContent = "The chart could not be drawn; the table below has its figures.";
      console.error(error);
    }
  }

  function watch(element, look) {
    let width = element.clientWidth;
    let timer = 0;
    const later = () => {
      clearTimeout(timer);
      timer = setTimeout(() => draw(element, look), 120);
    };
    new ResizeObserver(() => {
      if (element.clientWidth !== width) {
        width = element.clientWidth;
        later();
      }
    }).observe(element);
    new MutationObserver(later).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later);
    draw(element, look);
  }

  // `config(element, spec)` gives Vega its fonts and colours, `fit(spec, width)` makes a chart as wide as its container.
  window.drawCharts = (look) => {
    document.addEventListener("DOMContentLoaded", () => {
      document.querySelectorAll("[data-chart]").forEach((element) => watch(element, look));
    });
  };
}
