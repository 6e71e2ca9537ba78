// The page: what is loaded, what is chosen, and what every control does.
import { getImage, getJson, getMask, Refused } from "./api.js";
import { Comparison } from "./compare.js";
import { ISODOSES_GY, middle, PLAIN_WINDOWS, WINDOWS } from "./display.js";
import { Dependence, showDependence } from "./dependence.js";
import { drawn } from "./drawn.js";
import { count } from "./dvh.js";
import { Editor } from "./editor.js";
import { gestures } from "./gestures.js";
import { Input, voxelOf } from "./input.js";
import { Mask } from "./masks.js";
import { ISODOSE_COLOURS, Overlay } from "./overlay.js";
import { $, listMasks, showDoses, showLegend, showMask, showPlan, toast } from "./panels.js";
import { PLANES } from "./planes.js";
import { recorder } from "./record.js";
import { View } from "./view.js";

const view = new View($("gl"));
const overlay = new Overlay($("overlay"), view);
const comparison = new Comparison(view);
const dependence = new Dependence();
const state = { plan: null, scene: null, masks: [], active: null, image: null, dose: null, window: null, hover: null, plane: 0 };
const editor = new Editor({
  view,
  active: () => state.active,
  changed,
  get image() {
    return state.image.data;
  },
  get window() {
    return state.window;
  },
});
const record = recorder({ state, editor, changed, panels, loadDose });
// For the tests of the page, which read the displayed state.
globalThis.review = { state, view, editor, overlay, dependence };

// ---- drawing -------------------------------------------------------------------------------------------------

let asked = false;
let stale = false;

/** Draw again with the next frame: everything, or only the lines, which is fast. */
function redraw(linesOnly = false) {
  stale ||= linesOnly !== true;
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    if (!state.image) return;
    if (stale) view.draw();
    stale = false;
    overlay.draw(drawn({ state, editor, comparison, dependence }));
  });
}

let counting = 0;
function changed(mask, settled) {
  if (mask) {
    overlay.forget(mask.key);
    mask.counted = null;
    mask.strokes++;
  }
  redraw(true);
  if (!settled) return;
  // The server computes the histograms: only after editing has paused.
  clearTimeout(counting);
  counting = setTimeout(panels, 60);
}

function panels() {
  if (!state.active) return;
  listMasks(state.masks, state.active, { show: showOrHide, choose });
  showMask(state.active, record);
  const label = state.active.labels.find(({ value }) => value === editor.label) ?? state.active;
  showDependence(dependence, label.name, $("show-contours").checked);
  // Warped masks are only displayed; the dose of the lungs is that of their shunt, not of voxels.
  const counted = state.masks.filter((mask) => mask.told.scene === state.scene.key && mask.told.role !== "lungs");
  const { scene } = state;
  const doses = () => state.scene === scene && showDoses(counted, state.active);
  doses();
  const shown = counted.filter((mask) => mask.visible || mask === state.active);
  guarded(() => count(shown, scene.grid, doses))();
  const { active } = state;
  const here = active.told.scene === state.scene.key;
  const able = here && Boolean(active.data);
  const set = (id, on) => ($(id).disabled = !on);
  document.querySelectorAll("[data-tool]").forEach((button) => {
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(button.dataset.tool === editor.tool));
    button.disabled = !able && button.dataset.tool !== "navigate";
  });
  set("undo", able && active.history.done.length);
  set("redo", able && active.history.undone.length);
  set("fill-slice", able);
  set("interpolate", able && editor.keys(state.plane).length);
  set("grow", able && editor.canGrow);
  set("clear-marks", editor.marks.size);
  set("save", able && active.dirty);
  set("verify", able && !active.dirty);
  set("reject", able && !active.dirty);
  $("brush-size").textContent = `${(2 * editor.radiusMm).toFixed(editor.radiusMm < 5 ? 1 : 0)} mm`;
}

function readout() {
  const { hover } = state;
  const voxel = hover && voxelOf(view, hover.tile, hover.place);
  if (!voxel) return ($("readout").textContent = "");
  const at = voxel[0] + view.shape[0] * (voxel[1] + view.shape[1] * voxel[2]);
  const parts = [state.scene.unit === "HU" ? `${state.image.data[at]} HU` : `grey ${state.image.data[at]}`];
  if (state.dose) parts.push(`${(state.dose.data[at] * state.dose.stepGy).toFixed(1)} Gy`);
  for (const mask of state.masks.filter((one) => one.data && one.visible)) {
    const label = mask.labels.find(({ value }) => value === mask.data[at]);
    if (label) parts.push(label.name);
  }
  $("readout").textContent = parts.join(" · ");
}

// ---- loading -------------------------------------------------------------------------------------------------

async function busy(message, work) {
  $("busy").hidden = false;
  $("busy").textContent = message;
  try {
    return await work();
  } finally {
    $("busy").hidden = true;
  }
}

async function openScene(key) {
  const scene = state.plan.scenes.find((one) => one.key === key);
  await busy("loading the image …", async () => {
    const image = await getImage(`/api/scenes/${key}/image`);
    state.scene = scene;
    state.image = null; // nothing is drawn while masks of the former scene are there
    overlay.forget();
    comparison.clear();
    editor.marks.clear();
    fillWindows(scene);
    await view.setImage(image, scene.spacing_mm, state.window);
    state.image = image;
    $("compare").hidden = !scene.compare;
    $("compare-mode").value = "off";
    $("show-grid").checked = false;
    $("busy").textContent = "loading masks …";
    for (const mask of state.masks) {
      await loadMask(mask, scene);
      if (mask.told.role === "lungs") mask.visible = mask.told.scene === key;
    }
    const mine = state.masks.filter((mask) => mask.told.scene === key);
    state.active = mine[0] ?? state.masks[0];
    // If the only masks are the lungs, the view still starts at the liver.
    const first = state.active.told.role === "lungs" ? state.masks[0] : state.active;
    view.moveTo(middle(first.data, view.shape));
    $("busy").textContent = "loading the dose …";
    await loadDose();
  });
  document.body.dataset.ready = key;
  editor.label = state.active.labels[0].value;
  panels();
  redraw();
}

async function loadMask(mask, scene) {
  if (mask.told.scene === scene.key) {
    // Edits stay when another scene is opened meanwhile.
    if (mask.own) return ([mask.data, mask.sha256] = [mask.own, mask.sha256]);
    const found = await getMask(mask.key);
    mask.load(found.data, found.etag);
    mask.own = mask.data;
    return null;
  }
  try {
    mask.data = (await getImage(`/api/scenes/${scene.key}/masks/${encodeURIComponent(mask.key)}`)).data;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    mask.data = null;
  }
  return null;
}

async function loadDose() {
  state.dose = null;
  try {
    const image = await getImage(`/api/scenes/${state.scene.key}/dose`);
    const stepGy = Number.parseFloat(image.text);
    const levels = ISODOSES_GY.filter((gy) => gy < 65535 * stepGy).map((gy, at) => ({ gy, steps: gy / stepGy, colour: ISODOSE_COLOURS[at] }));
    state.dose = { ...image, stepGy, levels };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    toast(`no dose here: ${error.message}`, true);
  }
  // A new dose, perhaps: its histograms too.
  for (const mask of state.masks) mask.counted = null;
  overlay.forget();
  await colours();
  await edges();
}

async function colours() {
  const { dose } = state;
  const on = dose && $("show-dose").checked;
  await view.setDose(on ? dose : null, 20 / (dose?.stepGy ?? 1), 65535, Number($("dose-opacity").value));
  showLegend(dose?.levels ?? [], dose && $("show-isodoses").checked);
  redraw();
}

/** The effect of the contours on the dose, of the plan that is open. */
async function edges() {
  $("contours").hidden = !state.plan.where_to_check;
  await dependence.show(state.plan, state.scene, $("show-contours").checked);
  panels();
  redraw(true);
}

function fillWindows(scene) {
  const named = scene.unit === "HU" ? WINDOWS : PLAIN_WINDOWS;
  $("window").replaceChildren(...Object.keys(named).map((name) => new Option(name)));
  state.window = Object.values(named)[0];
}

// ---- what controls do ----------------------------------------------------------------------------------------

async function choose(mask) {
  if (mask.told.scene !== null && mask.told.scene !== state.scene.key) {
    $("scene").value = mask.told.scene;
    await openScene(mask.told.scene);
  }
  state.active = mask;
  mask.visible = true;
  editor.label = mask.labels[0].value;
  editor.marks.clear();
  view.moveTo(middle(mask.data, view.shape));
  panels();
  redraw();
}

function showOrHide(mask, on) {
  mask.visible = on;
  panels();
  redraw(true);
}

async function compare() {
  comparison.mode = $("compare-mode").value;
  comparison.moment = $("compare-moment").value;
  comparison.amount = Number($("compare-amount").value);
  await busy("loading the other image …", () => comparison.show(state.scene.key, state.scene.other_unit, state.window));
  redraw();
}

const commands = {
  undo: () => editor.undo(),
  redo: () => editor.redo(),
  save: () => record.save(),
  tool: (name) => {
    editor.tool = name;
    panels();
    redraw(true);
  },
  brush: (factor) => {
    editor.size = Math.max(0, Math.min(1, editor.size + 0.05 * Math.sign(factor - 1)));
    $("brush").value = editor.size;
    panels();
    redraw(true);
  },
  reset: () => {
    view.reset();
    redraw();
  },
  dose: () => {
    $("show-dose").checked = !$("show-dose").checked;
    return colours();
  },
};

/** Reports each failure once, where it can be read. */
function guarded(work) {
  return async (...given) => {
    try {
      await work(...given);
    } catch (error) {
      toast(error.message, true);
      if (!(error instanceof Refused)) throw error;
    }
  };
}

function wire() {
  const on = (id, event, work) => $(id).addEventListener(event, guarded(work));
  on("scene", "change", () => openScene($("scene").value));
  on("window", "change", async () => {
    state.window = (state.scene.unit === "HU" ? WINDOWS : PLAIN_WINDOWS)[$("window").value];
    view.setWindow(state.window);
    if (comparison.mode !== "off") await compare();
    redraw();
  });
  on("layout", "change", () => {
    const single = PLANES.findIndex((plane) => plane.name === $("layout").value);
    state.plane = Math.max(0, single);
    view.arrange($("layout").value);
    panels();
    redraw();
  });
  for (const id of ["show-outline", "show-fill", "fill-opacity"]) on(id, "input", () => redraw(true));
  on("label", "change", () => {
    editor.label = Number($("label").value);
    panels();
  });
  on("brush", "input", () => {
    editor.size = Number($("brush").value);
    panels();
    redraw(true);
  });
  document.querySelectorAll("[data-tool]").forEach((button) => button.addEventListener("click", () => commands.tool(button.dataset.tool)));
  on("fill-slice", "click", () => editor.fillOutlines(state.plane));
  on("interpolate", "click", () => editor.interpolate(state.plane));
  on("grow", "click", () => busy("growing …", async () => editor.grow()));
  on("clear-marks", "click", () => editor.clearMarks());
  for (const id of ["undo", "redo", "save", "reset"]) on(id, "click", commands[id]);
  on("verify", "click", () => record.sign("verified"));
  on("reject", "click", () => record.sign("rejected"));
  on("show-dose", "change", colours);
  on("show-isodoses", "change", colours);
  on("show-contours", "change", edges);
  on("dose-opacity", "input", () => {
    view.setDoseOpacity(Number($("dose-opacity").value));
    redraw();
  });
  for (const id of ["compare-mode", "compare-moment"]) on(id, "change", compare);
  on("compare-amount", "input", compare);
  on("show-grid", "change", async () => {
    if ($("show-grid").checked) await comparison.grid(state.scene.key);
    redraw(true);
  });
  on("replan", "click", record.planAgain);
  on("conflict-load", "click", record.loadTheirs);
  on("conflict-stay", "click", () => $("conflict").close());
  on("reviewer", "change", () => localStorage.setItem("reviewer", $("reviewer").value.trim()));
  $("reviewer").value = localStorage.getItem("reviewer") ?? "";
  new ResizeObserver(() => {
    view.nv.resizeListener();
    view.arrange();
    redraw();
  }).observe($("stage"));
  addEventListener("beforeunload", (event) => {
    if (state.masks.some((mask) => mask.dirty)) event.preventDefault();
  });
}

async function start() {
  await view.attach();
  state.plan = await getJson("/api/plan");
  let lesions = 0;
  state.masks = state.plan.masks.map((told) => new Mask(told, told.role === "lesion" ? lesions++ : 0));
  showPlan(state.plan);
  const names = { activity: "SPECT/PET side", diagnostic: "diagnostic" };
  const label = (scene) => `${names[scene.frame]}: ${scene.masks.length > 2 ? `${scene.masks.length} masks` : scene.masks.join(", ") || "compare"}`;
  $("scene").replaceChildren(...state.plan.scenes.map((scene) => new Option(label(scene), scene.key)));
  // Three planes of a phone's width show nothing; one does.
  if (innerWidth < 700) {
    $("layout").value = "axial";
    view.layout = "axial";
  }
  wire();
  const command = (name, ...given) => guarded(commands[name])(...given);
  new Input($("overlay"), view, gestures({ state, view, editor, redraw, readout, command }));
  await openScene(state.plan.scenes[0].key);
}

guarded(start)();
