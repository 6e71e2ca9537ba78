// Initial display of images: windows, isodoses and position.

export const WINDOWS = {
  liver: { low: -60, high: 200 }, abdomen: { low: -160, high: 240 }, "low contrast": { low: 20, high: 130 },
  lung: { low: -1350, high: 150 }, bone: { low: -450, high: 1050 },
};
export const PLAIN_WINDOWS = { "whole range": { low: 0, high: 4095 }, bright: { low: 0, high: 2600 }, brighter: { low: 0, high: 1600 } };
export const ISODOSES_GY = [20, 40, 70, 100, 150, 205, 300, 400];

/** The centre of a mask, or of the grid if the mask is empty. */
export function middle(data, shape) {
  const sum = [0, 0, 0];
  let count = 0;
  const [nx, ny] = shape;
  data?.forEach((label, at) => {
    if (!label) return;
    count++;
    sum[0] += at % nx;
    sum[1] += Math.floor(at / nx) % ny;
    sum[2] += Math.floor(at / (nx * ny));
  });
  return count ? sum.map((total) => total / count) : shape.map((size) => size / 2);
}
