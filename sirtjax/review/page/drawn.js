// The overlay of the image: masks, isodoses, brush, marks and deformation grid, as set by the page's controls.
import { $ } from "./panels.js";

/** What `Overlay` draws for a page of this state. */
export function drawn({ state, editor, comparison, dependence }) {
  const opacity = Number($("fill-opacity").value);
  const masks = state.masks.filter((mask) => mask.data && mask.visible).map((mask) => ({
    name: mask.key, data: mask.data, labels: mask.labels, active: mask === state.active, opacity,
    fill: $("show-fill").checked && mask.told.role !== "lungs", outline: $("show-outline").checked,
    dashed: mask.told.role === "territories",
    dependence: dependence.map && mask.told.role === "lesion" ? dependence : null,
  }));
  const colour = { erase: "#ff8080", outside: "#ff8080", inside: "#7dff9a" }[editor.tool] ?? state.active?.colour ?? "#fff";
  const brushes = !["navigate", "fill"].includes(editor.tool);
  const { hover, dose } = state;
  return {
    masks,
    dose: dose && $("show-isodoses").checked ? { data: dose.data, levels: dose.levels } : null,
    brush: brushes && hover ? { plane: hover.tile.plane, u: hover.place[0], v: hover.place[1], radiusMm: editor.radiusMm, colour } : null,
    path: editor.stroke && editor.tool === "fill" ? { plane: editor.stroke.plane, points: editor.stroke.path, colour } : null,
    grid: $("show-grid").checked ? comparison.lattice : null,
    marks: editor.marks,
  };
}
