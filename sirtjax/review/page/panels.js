// Lists and tables next to the slices, rebuilt from the state of the page.
import { drawCurves } from "./dvh.js";

const STATES = { given: "given", draft: "draft", verified: "verified", rejected: "rejected" };
const SVG = "http://www.w3.org/2000/svg";
export const $ = (id) => document.getElementById(id);

export function made(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/** A coloured patch; the page's policy allows no styles in the text of a page, but attributes of a drawing. */
export function patch(colour) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 10 10");
  svg.setAttribute("preserveAspectRatio", "none");
  const rect = document.createElementNS(SVG, "rect");
  Object.entries({ width: 10, height: 10, rx: 2, fill: colour }).forEach(([key, value]) => rect.setAttribute(key, value));
  svg.append(rect);
  return svg;
}

export function tag(mask) {
  if (mask.dirty) return made("span", { className: "tag unsaved", textContent: "unsaved" });
  const { state } = mask.told;
  return made("span", { className: `tag ${state}`, textContent: STATES[state] });
}

export function listMasks(masks, active, page) {
  const rows = masks.map((mask) => {
    const box = made("input", { type: "checkbox", checked: mask.visible, ariaLabel: `show ${mask.name}` });
    box.addEventListener("change", () => page.show(mask, box.checked));
    const button = made("button", { textContent: mask.name, title: mask.told.origin });
    button.dataset.mask = mask.key;
    button.addEventListener("click", () => page.choose(mask));
    const row = made("li", { className: mask === active ? "active" : "" }, box, patch(mask.colour), button, tag(mask));
    return row;
  });
  $("masks").replaceChildren(...rows);
}

export function showMask(mask, page) {
  $("state").replaceWith(Object.assign(tag(mask), { id: "state" }));
  $("reason").textContent = mask.dirty ? "The displayed changes are not saved." : told(mask.told);
  const rows = [...mask.told.versions].reverse().map((version) => {
    const signed = mask.told.signatures.filter((one) => one.sha256 === version.sha256).at(-1);
    const who = version.author || "the plan";
    const text = `${version.number} · ${who} · ${version.created_at.slice(0, 16).replace("T", " ")}`;
    const row = made("li", {}, made("span", {}, text, " ", made("code", { textContent: version.sha256.slice(0, 8) })));
    if (signed) row.append(made("span", { className: `tag ${signed.state}`, textContent: `${signed.state}: ${signed.reviewer}` }));
    else {
      const load = made("button", { textContent: "load" });
      load.addEventListener("click", () => page.loadVersion(mask, version.number));
      row.append(load);
    }
    return row;
  });
  $("versions").replaceChildren(...rows);
  const labels = mask.labels.map(({ value, name }) => made("option", { value, textContent: name }));
  $("label-row").hidden = labels.length < 2;
  if ($("label").dataset.mask !== mask.key) {
    $("label").dataset.mask = mask.key;
    $("label").replaceChildren(...labels);
  }
}

function told(mask) {
  const signed = mask.signatures.filter((one) => one.sha256 === mask.sha256).at(-1);
  if (signed) return `${signed.state} by ${signed.reviewer} on ${signed.signed_at.slice(0, 10)}${signed.comment ? `: ${signed.comment}` : ""}`;
  return mask.reason ? `Draft: ${mask.reason}.` : `Provided: ${mask.origin}.`;
}

/** Histograms and their table, of every mask that is loaded and shown; dots until the server has answered. */
export function showDoses(masks, active) {
  const rows = [];
  const curves = [];
  for (const mask of masks.filter((one) => one.data && (one.visible || one === active))) {
    for (const label of mask.labels) {
      const found = mask.counted?.[label.name];
      rows.push({ name: label.name, colour: label.colour, waiting: !mask.counted, found });
      const curve = (found?.dvh_dose_gy ?? []).map((gy, at) => [gy, found.dvh_volume_percent[at]]);
      curves.push({ colour: label.colour, curve, active: mask === active });
    }
  }
  const number = (value) => (value === undefined ? "–" : value.toPrecision(value < 100 ? 3 : 4));
  $("doses").tBodies[0].replaceChildren(
    ...rows.map((row) => {
      const name = made("td", {}, patch(row.colour), row.name);
      const values = [row.found?.volume_ml, row.found?.mean_gy, row.found?.d70_gy];
      const cells = values.map((value) => made("td", { textContent: row.waiting ? "…" : number(value) }));
      const line = made("tr", {}, name, ...cells);
      line.dataset.voi = row.name;
      return line;
    }),
  );
  drawCurves($("dvh"), curves);
}

export function showPlan(plan) {
  $("patient").textContent = plan.patient;
  $("kind").textContent = `${plan.kind} · ${plan.protocol}`;
  document.title = `${plan.patient} · sirtjax review`;
  const state = $("plan-state");
  state.hidden = false;
  state.className = plan.unreviewed_masks.length ? "tag draft" : "tag verified";
  state.textContent = plan.unreviewed_masks.length ? "DRAFT" : "no draft masks";
  const rows = plan.injections.map((row) =>
    made("div", {}, made("span", { textContent: row.territory }), made("b", { textContent: `${row.activity_mbq.toPrecision(4)} MBq` })),
  );
  const drafts = made("ul", {}, ...plan.unreviewed_masks.map((line) => made("li", { textContent: line })));
  $("plan").replaceChildren(...rows, drafts);
}

export function showLegend(levels, shown) {
  $("legend").hidden = !shown;
  $("legend").replaceChildren(...levels.map(({ gy, colour }) => made("span", {}, patch(colour), `${gy} Gy`)));
}

let hiding = 0;
export function toast(message, bad = false) {
  const box = $("toast");
  box.textContent = message;
  box.className = bad ? "bad" : "";
  box.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => (box.hidden = true), bad ? 9000 : 3500);
}
