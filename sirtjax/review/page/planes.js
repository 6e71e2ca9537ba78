// The three planes of a grid. `axes` are its horizontal axis, its vertical axis and the one it is a slice of; `ends`
// say where the first two begin and where they grow to (the page's grids grow to the patient's right, front and head).
export const PLANES = [
  { name: "axial", axes: [0, 1, 2], ends: [["L", "R"], ["P", "A"]] },
  { name: "coronal", axes: [0, 2, 1], ends: [["L", "R"], ["I", "S"]] },
  { name: "sagittal", axes: [1, 2, 0], ends: [["P", "A"], ["I", "S"]] },
];

/** Size of a slice and how far apart its neighbours lie in the array. */
export function sliceSteps(shape, plane) {
  const strides = [1, shape[0], shape[0] * shape[1]];
  const [u, v, w] = PLANES[plane].axes;
  return { nu: shape[u], nv: shape[v], nw: shape[w], su: strides[u], sv: strides[v], sw: strides[w] };
}

/** A copy of one slice, its horizontal axis fastest. */
export function takeSlice(data, shape, plane, index) {
  const { nu, nv, su, sv, sw } = sliceSteps(shape, plane);
  const found = new data.constructor(nu * nv);
  for (let v = 0, at = 0; v < nv; v++) {
    for (let u = 0, from = v * sv + index * sw; u < nu; u++, from += su) found[at++] = data[from];
  }
  return found;
}
