// A mask on the page: its labels on the scene's grid, what was done to them since it was loaded, and its colours.
import { History } from "./history.js";

const ROLE_COLOURS = { liver: ["#2ee6a8"], lungs: ["#9fb3c8"], territories: ["#6ec6ff", "#c39bff", "#ffd166", "#7bdff2", "#b2f7ef"] };
const LESION_COLOURS = ["#ff4fd8", "#ff8c42", "#ffe14d", "#ff5c5c", "#c77dff", "#f7a8b8"];

export class Mask {
  constructor(told, lesionNumber) {
    const own = told.role === "lesion" ? [LESION_COLOURS[lesionNumber % LESION_COLOURS.length]] : ROLE_COLOURS[told.role];
    this.labels = told.labels.map(([value, name], at) => ({ value, name, colour: own[at % own.length] }));
    this.tell(told);
    this.data = null;
    this.visible = told.role !== "territories";
    this.history = new History();
    this.counted = null; // histograms by label, from the server
    this.strokes = 0; // changes since the page was opened
    this.saved = null; // the last stroke that is in the saved version
    this.edited = PLANE_SETS();
  }

  /** What the server says of it. */
  tell(told) {
    this.told = told;
    this.key = told.key;
    this.name = told.name;
    this.colour = this.labels[0].colour;
  }

  load(data, sha256) {
    this.data = data;
    this.sha256 = sha256;
    this.history = new History();
    this.saved = null;
    this.edited = PLANE_SETS();
  }

  get dirty() {
    const last = this.history.done.at(-1) ?? null;
    return last !== this.saved || (last === null && this.history.dropped);
  }

  /** The strokes so far are in the version with this hash. */
  keep(sha256) {
    this.sha256 = sha256;
    this.saved = this.history.done.at(-1) ?? null;
  }
}

// Slices drawn on since loading or interpolating, by plane.
const PLANE_SETS = () => [new Set(), new Set(), new Set()];
