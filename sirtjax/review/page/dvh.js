// Cumulative dose-volume histograms: requested from the server, which also computes those of the report, and drawn.
import { getHistograms } from "./api.js";

const SVG = "http://www.w3.org/2000/svg";

/** Ask for the histograms of masks that have none; `told` is called for each answer. One question per mask at a time. */
export async function count(masks, grid, told) {
  for (const mask of masks.filter((one) => one.data && !one.counted && !one.asking)) {
    mask.asking = true;
    try {
      // A stroke while the answer is on its way sets `stroke` to another value: the answer is then out of date.
      let stroke;
      do {
        stroke = mask.strokes;
        const found = await getHistograms(mask.key, mask.dirty ? mask.data : null, grid);
        if (stroke === mask.strokes) mask.counted = found;
      } while (stroke !== mask.strokes);
    } finally {
      mask.asking = false;
    }
    told();
  }
}

/** Draw curves into an <svg>; each is {name, colour, curve, dashed}. */
export function drawCurves(svg, curves) {
  const [width, height, left, bottom, top, right] = [360, 220, 34, 26, 8, 8];
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  const reach = Math.max(10, ...curves.map((one) => lastGy(one.curve)));
  const step = niceStep(reach / 5);
  const x = (gy) => left + (gy / reach) * (width - left - right);
  const y = (percent) => top + (1 - percent / 100) * (height - top - bottom);
  const add = (name, attributes, text = "") => {
    const made = document.createElementNS(SVG, name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    made.textContent = text;
    svg.append(made);
  };
  for (let percent = 0; percent <= 100; percent += 25) {
    add("line", { x1: left, x2: width - right, y1: y(percent), y2: y(percent), class: "grid" });
    add("text", { x: left - 5, y: y(percent) + 3.5, "text-anchor": "end" }, `${percent}`);
  }
  for (let gy = 0; gy <= reach; gy += step) {
    add("line", { x1: x(gy), x2: x(gy), y1: top, y2: height - bottom, class: "grid" });
    add("text", { x: x(gy), y: height - bottom + 13, "text-anchor": "middle" }, `${gy}`);
  }
  add("text", { x: width - right, y: height - 2, "text-anchor": "end", class: "unit" }, "dose (Gy)");
  add("text", { x: left + 4, y: top + 9, class: "unit" }, "volume (%)");
  for (const one of curves) {
    const points = one.curve.filter(([gy]) => gy <= reach).map(([gy, percent]) => `${x(gy).toFixed(1)},${y(percent).toFixed(1)}`);
    if (points.length) add("polyline", { points: points.join(" "), stroke: one.colour, class: one.active ? "curve active" : "curve" });
  }
}

function lastGy(curve) {
  for (let at = curve.length - 1; at >= 0; at--) if (curve[at][1] > 0.5) return curve[at][0];
  return 0;
}

function niceStep(about) {
  const ten = 10 ** Math.floor(Math.log10(Math.max(about, 1)));
  return [1, 2, 5, 10].map((factor) => factor * ten).find((step) => step >= about) ?? 10 * ten;
}
