// All requests of the page go to its own server, with the browser's cookie.
import { parseNifti } from "./nifti.js";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function asked(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Refused(0, "the server does not respond; check that sirtjax review is running");
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({ error: response.statusText }));
  throw new Refused(response.status, told.error);
}

export async function getJson(path) {
  return (await asked(path)).json();
}

export async function getImage(path) {
  const response = await asked(path);
  const etag = (response.headers.get("ETag") || "").replaceAll('"', "");
  return { ...parseNifti(await response.arrayBuffer()), etag };
}

const address = (key) => `/api/masks/${encodeURIComponent(key)}`;

export function getMask(key, version = null) {
  return getImage(address(key) + (version === null ? "" : `?version=${version}`));
}

/** Save a mask; refused with 412 where somebody saved since the version with this hash. */
export async function putMask(key, voxels, { sha256, grid, reviewer }) {
  const packed = new Response(new Blob([voxels]).stream().pipeThrough(new CompressionStream("gzip")));
  const response = await asked(address(key), {
    method: "PUT",
    body: await packed.arrayBuffer(),
    headers: {
      "Content-Encoding": "gzip",
      "Content-Type": "application/octet-stream",
      "If-Match": `"${sha256}"`,
      "X-Grid": grid,
      "X-Reviewer": encodeURIComponent(reviewer),
    },
  });
  return response.json();
}

/** Volume, mean, D70 and curve by label, as in the report: of these voxels, or of the newest version. */
export async function getHistograms(key, voxels, grid) {
  if (!voxels) return (await getJson(`${address(key)}/histograms`)).vois;
  const packed = new Response(new Blob([voxels]).stream().pipeThrough(new CompressionStream("gzip")));
  const response = await asked(`${address(key)}/histograms`, {
    method: "POST",
    body: await packed.arrayBuffer(),
    headers: { "Content-Encoding": "gzip", "Content-Type": "application/octet-stream", "X-Grid": grid },
  });
  return (await response.json()).vois;
}

export async function signMask(key, { sha256, state, reviewer, comment }) {
  const response = await asked(`${address(key)}/sign`, {
    method: "POST",
    body: JSON.stringify({ state, reviewer, comment }),
    headers: { "Content-Type": "application/json", "If-Match": `"${sha256}"` },
  });
  return response.json();
}

export async function startReplan() {
  return (await asked("/api/replan", { method: "POST" })).json();
}
