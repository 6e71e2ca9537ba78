// Mouse and touch actions on the planes: navigate, paint, scroll, zoom and pan.
import { PLANES } from "./planes.js";
import { toast } from "./panels.js";

/** What `Input` calls, for a page of this state. */
export function gestures({ state, view, editor, redraw, readout, command }) {
  return {
    tool: () => editor.tool,
    plane: () => state.plane,
    paintBegin: (tile, place) => {
      state.plane = tile.plane;
      const here = state.active.told.scene === state.scene.key;
      if (!here || !editor.begin(tile, place)) toast("this mask is contoured on another image: select that image in the list", true);
    },
    paintMove: (place) => editor.move(place) ?? redraw(true),
    paintEnd: () => editor.end(),
    paintCancel: () => editor.cancel(),
    navigate: (tile, [u, v]) => {
      state.plane = tile.plane;
      const [a, b] = PLANES[tile.plane].axes;
      const to = [...view.cross];
      [to[a], to[b]] = [u, v];
      view.moveTo(to);
      redraw();
    },
    scroll: (plane, step) => {
      state.plane = plane;
      const to = [...view.cross];
      to[PLANES[plane].axes[2]] += step;
      view.moveTo(to);
      readout();
      redraw();
    },
    zoomBy: (factor) => {
      view.zoom = Math.max(1, Math.min(12, view.zoom * factor));
      if (view.zoom === 1) view.pan = [0, 0, 0];
      redraw();
    },
    panBy: (plane, du, dv) => {
      const { axes } = PLANES[plane];
      view.pan[axes[0]] += du * view.spacing[axes[0]];
      view.pan[axes[1]] += dv * view.spacing[axes[1]];
      redraw();
    },
    hover: (place) => {
      state.hover = place;
      readout();
      redraw(true);
    },
    command,
  };
}
