// The few fields of a NIfTI-1 file that the page needs. The server sends every array on the page's own grid, with
// axes in the viewer's order, so that an index here is an index there.

const TYPES = { 2: Uint8Array, 4: Int16Array, 512: Uint16Array };

/** @returns {{shape: number[], data: ArrayLike<number>, text: string, buffer: ArrayBuffer}} */
export function parseNifti(buffer) {
  const view = new DataView(buffer);
  if (view.getInt32(0, true) !== 348) throw new Error("the server did not send a NIfTI image");
  const Kind = TYPES[view.getInt16(70, true)];
  if (!Kind) throw new Error("the server sent an image of an unknown type");
  const shape = [1, 2, 3].map((axis) => view.getInt16(40 + 2 * axis, true));
  const start = view.getFloat32(108, true);
  const count = shape[0] * shape[1] * shape[2];
  const data = new Kind(buffer.slice(start, start + count * Kind.BYTES_PER_ELEMENT));
  const bytes = new Uint8Array(buffer, 148, 80);
  const end = bytes.indexOf(0);
  const text = new TextDecoder().decode(bytes.subarray(0, end < 0 ? 80 : end));
  return { shape, data, text, buffer };
}

/** The same header around other voxels of one byte, as an image for the viewer. */
export function withBytes(buffer, voxels) {
  const start = new DataView(buffer).getFloat32(108, true);
  const made = new Uint8Array(start + voxels.length);
  made.set(new Uint8Array(buffer, 0, start));
  made.set(voxels, start);
  const view = new DataView(made.buffer);
  view.setInt16(70, 2, true);
  view.setInt16(72, 8, true);
  return made.buffer;
}
