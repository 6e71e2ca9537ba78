// The other image over this one, blended or as a checkerboard, and the lattice deformed by the registration.
import { getImage, getJson } from "./api.js";

export class Comparison {
  constructor(view) {
    this.view = view;
    this.clear();
  }

  clear() {
    this.mode = "off";
    this.moment = "after";
    this.amount = 0.5;
    this.images = {};
    this.lattice = null;
    this.shown = null;
  }

  async grid(scene) {
    this.lattice ??= await getJson(`/api/scenes/${scene}/deformation`);
    return this.lattice;
  }

  /** @param window for an image in HU; one without a unit is shown from its darkest to nearly its brightest */
  async show(scene, unit, window) {
    if (this.mode === "off") {
      this.shown = null;
      return this.view.setOther(null, null, 1);
    }
    this.images[this.moment] ??= await getImage(`/api/scenes/${scene}/${this.moment}`);
    const image = this.images[this.moment];
    const range = unit === "HU" ? window : { low: 0, high: 2600 };
    const size = this.#checkSize();
    // The graphics card blends the images: nothing is recomputed while the slider moves.
    const wanted = [this.mode, this.moment, range.low, range.high, this.mode === "checks" ? size : 0].join();
    if (wanted !== this.shown) {
      this.shown = wanted;
      const voxels = this.#grey(image, range, this.mode === "checks" ? size : 0);
      await this.view.setOther(image.buffer, voxels, this.#opacity());
    } else this.view.setOtherOpacity(this.#opacity());
  }

  #opacity() {
    return this.mode === "blend" ? this.amount : 1;
  }

  // Side of a check in mm.
  #checkSize() {
    return Math.round(15 + 85 * this.amount);
  }

  #grey(image, { low, high }, size) {
    const [nx, ny, nz] = image.shape;
    const found = new Uint8Array(image.data.length);
    const [sx, sy, sz] = this.view.spacing.map((mm) => Math.max(1, Math.round(size / mm)));
    for (let z = 0, at = 0; z < nz; z++) {
      for (let y = 0; y < ny; y++) {
        for (let x = 0; x < nx; x++, at++) {
          const other = !size || (Math.floor(x / sx) + Math.floor(y / sy) + Math.floor(z / sz)) % 2;
          if (other) found[at] = 1 + 254 * Math.max(0, Math.min(1, (image.data[at] - low) / (high - low)));
        }
      }
    }
    return found;
  }
}
