// Cumulative dose-volume histograms of the masks as they are drawn now, and their picture.
const BINS = 400;
const SVG = "http://www.w3.org/2000/svg";

/** Volume, mean, D70 and the curve of the voxels with one label. */
export function histogram(labels, label, dose, stepGy, voxelMl) {
  const topGy = 65535 * stepGy;
  const counts = new Float64Array(BINS + 1);
  let voxels = 0;
  let sum = 0;
  for (let at = 0; at < labels.length; at++) {
    if (labels[at] !== label) continue;
    voxels++;
    if (!dose) continue;
    sum += dose[at];
    counts[Math.floor((dose[at] / 65535) * BINS)]++;
  }
  const found = { volumeMl: voxels * voxelMl, meanGy: null, d70Gy: null, curve: [], topGy };
  if (!voxels || !dose) return found;
  found.meanGy = (sum / voxels) * stepGy;
  let above = voxels;
  for (let bin = 0; bin <= BINS; bin++) {
    const gy = (bin / BINS) * topGy;
    found.curve.push([gy, (100 * above) / voxels]);
    if (found.d70Gy === null && above - counts[bin] < 0.7 * voxels) {
      const over = (above - 0.7 * voxels) / Math.max(counts[bin], 1);
      found.d70Gy = gy + (Math.max(over, 0) * topGy) / BINS;
    }
    above -= counts[bin];
  }
  return found;
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
