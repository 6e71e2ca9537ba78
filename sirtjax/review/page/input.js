// Mouse, pen, touch and keys on the slices. Tools draw with the main button; all other input navigates.
import { PLANES } from "./planes.js";

const KEYS = { v: "navigate", p: "pen", e: "erase", f: "fill", i: "inside", o: "outside" };

export class Input {
  /** @param page answers to: tool, paintBegin, paintMove, paintEnd, navigate, scroll, zoomBy, panBy, hover, command */
  constructor(canvas, view, page) {
    this.canvas = canvas;
    this.view = view;
    this.page = page;
    this.fingers = new Map();
    this.action = null;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.#up(event));
    canvas.addEventListener("pointerleave", () => page.hover(null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #down(event) {
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    const [x, y] = this.#at(event);
    this.fingers.set(event.pointerId, [x, y]);
    if (this.fingers.size === 2) {
      // A second finger: the first was no stroke but half of a pinch.
      if (this.action === "paint") this.page.paintCancel();
      this.action = "pinch";
      return;
    }
    const tile = this.view.tileAt(x, y);
    if (!tile) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.tile = tile;
    this.last = [x, y];
    if (event.button === 1 || event.button === 2 || event.shiftKey) this.action = "pan";
    else if (this.page.tool() === "navigate") this.action = "navigate";
    else this.action = "paint";
    if (this.action === "navigate") this.page.navigate(tile, this.view.toSlice(tile, x, y));
    if (this.action === "paint") this.page.paintBegin(tile, this.view.toSlice(tile, x, y));
  }

  #move(event) {
    const [x, y] = this.#at(event);
    const tile = this.view.tileAt(x, y);
    this.page.hover(tile && { tile, place: this.view.toSlice(tile, x, y) });
    if (!this.fingers.has(event.pointerId)) return;
    const before = this.fingers.get(event.pointerId);
    if (this.action === "pinch" && this.fingers.size === 2) {
      const other = [...this.fingers].find(([id]) => id !== event.pointerId)[1];
      const spread = (p) => Math.max(10, Math.hypot(p[0] - other[0], p[1] - other[1]));
      this.page.zoomBy(spread([x, y]) / spread(before));
    }
    this.fingers.set(event.pointerId, [x, y]);
    if (this.action === "paint") {
      // The places the pen went through since the last frame too: a quick stroke stays round.
      const passed = event.getCoalescedEvents?.() ?? [];
      for (const one of passed.length ? passed : [event]) {
        this.page.paintMove(this.view.toSlice(this.tile, ...this.#at(one)));
      }
    } else if (this.action === "navigate") this.page.navigate(this.tile, this.view.toSlice(this.tile, x, y));
    else if (this.action === "pan") {
      const [from, to] = [this.view.toSlice(this.tile, ...this.last), this.view.toSlice(this.tile, x, y)];
      this.page.panBy(this.tile.plane, to[0] - from[0], to[1] - from[1]);
      this.last = [x, y];
    }
  }

  #up(event) {
    if (!this.fingers.delete(event.pointerId)) return;
    if (this.action === "paint") {
      if (event.type === "pointercancel") this.page.paintCancel();
      else this.page.paintEnd();
    }
    if (!this.fingers.size || this.action !== "pinch") this.action = null;
  }

  #wheel(event) {
    event.preventDefault();
    const tile = this.view.tileAt(...this.#at(event));
    if (!tile) return;
    if (event.ctrlKey || event.metaKey) this.page.zoomBy(Math.exp(-event.deltaY / 400));
    else this.page.scroll(tile.plane, event.deltaY > 0 ? -1 : 1);
  }

  #key(event) {
    // A box that was just ticked has the focus, but no use for letters.
    if (event.target.closest("input:not([type=checkbox], [type=range]), select, textarea, dialog")) return;
    const letter = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      const command = { z: event.shiftKey ? "redo" : "undo", y: "redo", s: "save" }[letter];
      if (!command) return;
      event.preventDefault();
      this.page.command(command);
      return;
    }
    if (event.altKey) return;
    const plane = this.page.plane();
    const moves = { arrowup: 1, pageup: 5, arrowdown: -1, pagedown: -5 };
    if (KEYS[letter]) this.page.command("tool", KEYS[letter]);
    else if (letter in moves) this.page.scroll(plane, moves[letter]);
    else if (letter === "[" || letter === "]") this.page.command("brush", letter === "]" ? 1.25 : 0.8);
    else if (letter === "+" || letter === "-") this.page.zoomBy(letter === "+" ? 1.2 : 1 / 1.2);
    else if (letter === "0") this.page.command("reset");
    else if (letter === "d") this.page.command("dose");
    else return;
    event.preventDefault();
  }
}

/** Whole voxel of a place in a tile's slice. */
export function voxelOf(view, tile, [u, v]) {
  const [a, b] = PLANES[tile.plane].axes;
  const voxel = [...view.cross];
  voxel[a] = Math.round(u);
  voxel[b] = Math.round(v);
  return voxel.every((at, axis) => at >= 0 && at < view.shape[axis]) ? voxel : null;
}
