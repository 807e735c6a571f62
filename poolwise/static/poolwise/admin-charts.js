// The style of the dashboard's charts: in the colours of the current theme.
"use strict";
{
    const narrow = 480;
    const stacked = 720;
    const axisRoom = 72;

    function colours(element) {
        const style = getComputedStyle(element);
        const variable = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
        return {
            text: style.color,
            quiet: variable("--body-quiet-color", style.color),
            line: variable("--border-color", "#888"),
            grid: variable("--hairline-color", "#8884"),
            font: style.fontFamily,
        };
    }

    function config(element, spec) {
        const { text, quiet, line, grid, font } = colours(element);
        const label = { labelColor: quiet, titleColor: text, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500 };
        return {
            background: "transparent",
            font,
            view: { stroke: null },
            title: { color: text, anchor: "start", fontSize: 14, fontWeight: 600, offset: 8 },
            axis: { ...label, gridColor: grid, domainColor: line, tickColor: line, titlePadding: 10 },
            // Titles of panels alternate with their axes; the names beside bars need their full width.
            axisY: spec.vconcat || spec.concat ? { minExtent: 46, maxExtent: 46, tickCount: 4 } : { grid: false },
            legend: { ...label, labelFontSize: 13, titleFontSize: 13 },
        };
    }

    function panelsOf(spec) {
        return spec.vconcat || spec.concat || [spec];
    }

    function fit(spec, width) {
        const small = width < narrow;
        if (spec.concat) {
            // Side by side if there is room, else one below the other.
            spec.columns = width < stacked ? 1 : spec.columns;
            for (const panel of spec.concat) panel.width = Math.floor((width - 14) / spec.columns) - axisRoom;
        } else if (spec.vconcat) {
            for (const panel of spec.vconcat) panel.width = Math.max(160, Math.floor(width) - axisRoom);
        } else {
            spec.width = width;
            spec.autosize = { type: "fit-x", contains: "padding" };
        }
        for (const layer of panelsOf(spec).flatMap((panel) => [panel, ...(panel.layer ?? [])])) {
            const { x, color, strokeDash } = layer.encoding ?? {};
            if (x?.axis && width / (spec.columns ?? 1) < narrow) x.axis.tickCount = 3;
            // Names side by side would not fit a phone's screen.
            if (small && color?.legend) color.legend.columns = spec.vconcat ? 2 : 1;
            if (small && strokeDash?.legend) strokeDash.legend.columns = 1;
        }
        return spec;
    }

    drawCharts({ config, fit });
}
