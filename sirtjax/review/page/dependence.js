// Contours coloured by their effect on the dose: which edges to check first.
import { getJson } from "./api.js";
import { $, made, patch } from "./panels.js";

// Cividis: from dark to light for every kind of colour vision, and in grey.
const COLOURS = ["#00204d", "#31446b", "#666970", "#958f78", "#cbba69", "#ffea46"];
const [NARROW, WIDE] = [1.6, 5];
// Outward raises the dose: the line is broken, in pieces of this many pixels.
const BROKEN = 6;

export class Dependence {
  constructor() {
    this.kept = new Map();
    this.map = null;
  }

  /** The table of the plan that states metric, patch and values of each lesion; null without one. */
  get table() {
    return this.told ?? null;
  }

  /** Loads the map of a scene if it is shown. */
  async show(plan, scene, on) {
    this.told = plan.where_to_check ?? null;
    this.map = null;
    if (!on || !this.told) return;
    const key = `${plan.created}|${scene.key}`;
    if (!this.kept.has(key)) {
      const found = await getJson(`/api/scenes/${scene.key}/contours`);
      found.data = Int8Array.from(atob(found.values), (letter) => letter.charCodeAt(0));
      this.kept.set(key, found);
    }
    this.map = this.kept.get(key);
  }

  forget() {
    this.kept.clear();
  }

  /** Change of the dose at a voxel of the scene, in Gy per mm: linear between the points of the lattice. */
  at(voxel) {
    const { shape, voxels, data } = this.map;
    const low = [0, 0, 0];
    const part = [0, 0, 0];
    for (let axis = 0; axis < 3; axis++) {
      const place = Math.max(0, Math.min(shape[axis] - 1, voxel[axis] / voxels[axis]));
      low[axis] = Math.min(shape[axis] - 2, Math.floor(place));
      part[axis] = place - low[axis];
    }
    let sum = 0;
    for (let corner = 0; corner < 8; corner++) {
      let weight = 1;
      let index = 0;
      let stride = 1;
      for (let axis = 0; axis < 3; axis++) {
        const up = (corner >> axis) & 1;
        weight *= up ? part[axis] : 1 - part[axis];
        index += (low[axis] + up) * stride;
        stride *= shape[axis];
      }
      if (weight) sum += weight * data[index];
    }
    return sum * this.map.step_gy_per_mm;
  }

  /** Row of a lesion, of the metric that the map has. */
  row(name) {
    return this.told?.rows.find((row) => row.voi === name && row.metric === this.told.shown_metric);
  }
}

export function colourOf(part) {
  return COLOURS[Math.max(0, Math.min(COLOURS.length - 1, Math.floor(part * COLOURS.length)))];
}

/** Draws the loops of one lesion. `at` returns the value at (u, v) of the slice, `screen` its place on the screen. */
export function strokeByValue(pen, loops, { at, screen, row, unit }) {
  const top = Math.max(Math.abs(row.largest_patch_gy_per_mm), 1e-9);
  pen.lineCap = "round";
  for (const loop of loops) {
    const count = loop.length / 2;
    let length = 0;
    const pieces = [];
    for (let piece = 0; piece < count; piece++) {
      const next = (piece + 1) % count;
      const [u0, v0, u1, v1] = [loop[2 * piece], loop[2 * piece + 1], loop[2 * next], loop[2 * next + 1]];
      const value = at((u0 + u1) / 2, (v0 + v1) / 2);
      const [from, to] = [screen(u0, v0), screen(u1, v1)];
      length += Math.hypot(to[0] - from[0], to[1] - from[1]);
      const gap = value > 0 && Math.floor(length / (BROKEN * unit)) % 2 === 1;
      pieces.push({ from, to, value, gap });
    }
    // The casing of all pieces first: white where the surface decides half.
    for (const cased of [true, false]) {
      for (const { from, to, value, gap } of pieces) {
        const part = Math.min(1, Math.abs(value) / top);
        const width = (NARROW + (WIDE - NARROW) * part) * unit;
        if (gap && !cased) continue;
        const half = row.half_gy_per_mm !== null && Math.abs(value) >= row.half_gy_per_mm;
        pen.strokeStyle = cased ? (half ? "#ffffff" : "#000000") : colourOf(part);
        pen.lineWidth = cased ? width + 2 * unit : width;
        pen.beginPath();
        pen.moveTo(...from);
        pen.lineTo(...to);
        pen.stroke();
      }
    }
  }
  pen.lineCap = "butt";
}

/** Legend and sentence of the active lesion, by its name; hidden if the colours are off. */
export function showDependence(dependence, name, on) {
  const box = $("contour-legend");
  const row = on && dependence.map ? dependence.row(name) : null;
  box.hidden = !on || !dependence.map;
  if (box.hidden) return;
  const { shown_metric: metric, patch_cm2: patchCm2 } = dependence.table;
  if (!row) {
    box.replaceChildren(made("p", { className: "soft", textContent: "Choose a lesion to see its scale." }));
    return;
  }
  const top = Math.abs(row.largest_patch_gy_per_mm);
  const steps = COLOURS.map((colour, at) => made("span", {}, patch(colour), number((top * (at + 0.5)) / COLOURS.length)));
  const whole = `${row.own_gy_per_mm > 0 ? "+" : "−"}${number(Math.abs(row.own_gy_per_mm))}`;
  box.replaceChildren(
    made("div", { className: "row" }, ...steps),
    made("p", { className: "soft", textContent: `Gy if a patch of ${patchCm2} cm² of the contour of ${row.voi} moves outward by 1 mm (${metric}).` }),
    made("p", { className: "soft", textContent: `1 mm outward over the whole surface: ${whole} Gy. White edge: the ${number(100 * row.half_area_fraction)} % of the surface that decide half. Broken line: outward raises the dose.` }),
    made("p", { className: "soft", textContent: "Of the plan, not of edits made since." }),
  );
}

function number(value) {
  return value === null || Number.isNaN(value) ? "–" : Number(value.toPrecision(2)).toString();
}
