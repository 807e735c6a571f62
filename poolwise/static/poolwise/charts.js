// The style of the site's charts: in the colours of the page, as wide as their container.
"use strict";
{
  const narrow = 460;
  const axisRoom = 78;

  function config(element) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const [ink, soft, line] = [colour("--ink"), colour("--soft"), colour("--line")];
    const words = { labelColor: soft, titleColor: ink, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500 };
    return {
      background: "transparent",
      font: getComputedStyle(element).fontFamily,
      view: { stroke: null },
      title: { color: ink, anchor: "start", fontWeight: 600, offset: 8 },
      axis: { ...words, gridColor: line, gridOpacity: 0.7, domainColor: line, tickColor: line, titlePadding: 10 },
      legend: { ...words, labelFontSize: 13, titleFontSize: 13, symbolStrokeWidth: 2.5 },
      text: { fill: ink },
      rule: { color: ink },
      tick: { color: ink },
    };
  }

  function each(part, visit) {
    if (!part || typeof part !== "object") return;
    visit(part);
    for (const [key, value] of Object.entries(part)) if (key !== "datasets" && key !== "data") each(value, visit);
  }

  function fit(spec, width) {
    delete spec.title; // the page has it as a heading
    const small = width < narrow;
    if (spec.concat) {
      if (width < 620) spec.columns = 1;
      for (const panel of spec.concat) panel.width = Math.floor((width - 30) / spec.columns) - axisRoom;
      each(spec, (part) => { if (part.y?.axis) Object.assign(part.y.axis, { minExtent: 42, maxExtent: 42 }); });
    } else {
      spec.width = width;
      spec.autosize = { type: "fit-x", contains: "padding" };
    }
    each(spec, (part) => {
      if (!part.legend?.columns || !part.scale?.domain) return;
      const longest = Math.max(...part.scale.domain.map((name) => String(name).length));
      part.legend.columns = Math.max(1, Math.min(part.scale.domain.length, Math.floor((width - 90) / (longest * 7.2 + 32))));
    });
    if (small) {
      each(spec, (part) => {
        if (part.x?.axis) part.x.axis.tickCount = 3;
        if (part.y?.axis?.labelLimit) part.y.axis.title = null;
      });
    }
    return spec;
  }

  drawCharts({ config, fit });
}
