// The viewer: NiiVue draws the image, the dose and the other image; where its tiles lie follows from its own numbers.
import { PLANES } from "./planes.js";
import { withBytes } from "./nifti.js";

const { Niivue, NVImage } = globalThis.niivue;
// NiiVue's: overlays below their lowest value are clear.
const CLEAR_BELOW = 1;
const GAP = 6;

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.layout = "all";
    this.zoom = 1;
    this.pan = [0, 0, 0];
    this.cross = [0, 0, 0];
    this.nv = new Niivue({
      isSliceMM: false, // slices along the voxels' own axes, so that what is painted is what is seen
      isRadiologicalConvention: true,
      isOrientationTextVisible: false,
      isColorbar: false,
      isOrientCube: false,
      crosshairWidth: 0,
      backColor: [0.035, 0.043, 0.055, 1],
      dragAndDropEnabled: false,
      interactive: false, // the page has its own mouse, pen and keys
      loadingText: "",
      logLevel: "silent",
    });
  }

  async attach() {
    await this.nv.attachToCanvas(this.canvas, false);
  }

  /** Show an image; the former one and what lay on it are gone. */
  async setImage(image, spacing, window) {
    while (this.nv.volumes.length) this.nv.removeVolume(this.nv.volumes[0]);
    this.shape = image.shape;
    this.spacing = spacing;
    this.base = await NVImage.new(image.buffer, "image.nii", "gray", 1);
    this.dose = this.other = null;
    // The page's grid has the viewer's own axes: anything else would show masks in the wrong place.
    if (this.base.permRAS.join() !== "1,2,3") throw new Error("the viewer turned the image; please report this");
    this.nv.addVolume(this.base);
    this.setWindow(window);
    this.arrange();
  }

  setWindow(window) {
    this.window = window;
    this.base.cal_min = window.low;
    this.base.cal_max = window.high;
    this.nv.updateGLVolume();
  }

  async setDose(image, lowSteps, highSteps, opacity) {
    if (this.dose) this.nv.removeVolume(this.dose);
    this.dose = null;
    if (!image) return;
    this.dose = await NVImage.new(image.buffer, "dose.nii", "inferno", opacity);
    this.dose.colormapType = CLEAR_BELOW;
    this.dose.cal_min = lowSteps;
    this.dose.cal_max = highSteps;
    this.nv.addVolume(this.dose);
  }

  setDoseOpacity(opacity) {
    if (!this.dose) return;
    this.dose.opacity = opacity;
    this.nv.updateGLVolume();
  }

  /** Grey values of 1 to 255 over the image, clear where 0; null takes them away. */
  async setOther(header, voxels, opacity) {
    if (this.other) this.nv.removeVolume(this.other);
    this.other = null;
    if (!voxels) return;
    this.other = await NVImage.new(withBytes(header, voxels), "other.nii", "gray", opacity);
    this.other.colormapType = CLEAR_BELOW;
    this.other.cal_min = 0.5;
    this.other.cal_max = 255;
    this.nv.addVolume(this.other);
  }

  setOtherOpacity(opacity) {
    if (!this.other) return;
    this.other.opacity = opacity;
    this.nv.updateGLVolume();
  }

  moveTo(voxel) {
    this.cross = voxel.map((at, axis) => Math.max(0, Math.min(this.shape[axis] - 1, Math.round(at))));
    this.nv.scene.crosshairPos = this.cross.map((at, axis) => (at + 0.5) / this.shape[axis]);
  }

  /** Places for the planes: one large and two beside or below it, or only one, each with the proportions of the patient. */
  arrange(layout = this.layout) {
    this.layout = layout;
    if (!this.shape) return;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const places = slots(layout, width, height, this.#extents());
    const custom = places.map(({ plane, place }) => {
      const [left, top, w, h] = fitted(place, this.#extents()[plane]);
      return { sliceType: plane, position: [left / width, top / height, w / width, h / height] };
    });
    this.nv.setCustomLayout(custom);
  }

  draw() {
    this.nv.scene.pan2Dxyzmm = [...this.pan, this.zoom];
    this.nv.drawScene();
  }

  reset() {
    this.zoom = 1;
    this.pan = [0, 0, 0];
  }

  /** What is on the screen: each plane's rectangle in CSS pixels, and the part of the patient it shows. */
  tiles() {
    const ratio = this.canvas.width / this.canvas.clientWidth;
    return this.nv.screenSlices.map((tile) => {
      const [left, top, width, height] = tile.leftTopWidthHeight.map((value) => value / ratio);
      return { plane: tile.axCorSag, left, top, width, height, from: tile.leftTopMM, fov: tile.fovMM };
    });
  }

  tileAt(x, y) {
    return this.tiles().find((t) => x >= t.left && x < t.left + t.width && y >= t.top && y < t.top + t.height) ?? null;
  }

  /** Pixel of a place in a slice (voxels, along the plane's two axes). */
  toScreen(tile, u, v) {
    const [x, y] = [this.#mm(tile, 0, u), this.#mm(tile, 1, v)];
    return [
      tile.left + ((x - tile.from[0]) / tile.fov[0]) * tile.width,
      tile.top + tile.height - ((y - tile.from[1]) / tile.fov[1]) * tile.height,
    ];
  }

  /** Place in the slice under a pixel: the reverse. */
  toSlice(tile, x, y) {
    const mm = [
      tile.from[0] + ((x - tile.left) / tile.width) * tile.fov[0],
      tile.from[1] + ((tile.top + tile.height - y) / tile.height) * tile.fov[1],
    ];
    return mm.map((value, at) => {
      const axis = PLANES[tile.plane].axes[at];
      const [low, high] = [this.base.extentsMinOrtho[axis], this.base.extentsMaxOrtho[axis]];
      return ((value - low) / (high - low)) * this.shape[axis] - 0.5;
    });
  }

  #mm(tile, at, voxel) {
    const axis = PLANES[tile.plane].axes[at];
    const [low, high] = [this.base.extentsMinOrtho[axis], this.base.extentsMaxOrtho[axis]];
    return low + ((voxel + 0.5) / this.shape[axis]) * (high - low);
  }

  #extents() {
    const mm = this.shape.map((count, axis) => count * this.spacing[axis]);
    return PLANES.map(({ axes }) => [mm[axes[0]], mm[axes[1]]]);
  }
}

function slots(layout, width, height, extents) {
  const single = PLANES.findIndex((plane) => plane.name === layout);
  if (single >= 0) return [{ plane: single, place: [0, 0, width, height] }];
  const landscape = width >= height;
  if (landscape) {
    const side = Math.round(width * 0.38);
    const half = (height - GAP) / 2;
    return [
      { plane: 0, place: [0, 0, width - side - GAP, height] },
      { plane: 1, place: [width - side, 0, side, half] },
      { plane: 2, place: [width - side, half + GAP, side, half] },
    ];
  }
  const low = Math.round(height * 0.36);
  const first = Math.round(((width - GAP) * extents[1][0]) / (extents[1][0] + extents[2][0]));
  return [
    { plane: 0, place: [0, 0, width, height - low - GAP] },
    { plane: 1, place: [0, height - low, first, low] },
    { plane: 2, place: [first + GAP, height - low, width - first - GAP, low] },
  ];
}

function fitted([left, top, width, height], [across, up]) {
  const scale = Math.min(width / across, height / up);
  const [w, h] = [across * scale, up * scale];
  return [left + (width - w) / 2, top + (height - h) / 2, w, h];
}
