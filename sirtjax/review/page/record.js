// Permanent changes on the server: saved masks, signatures, and planning again.
import { getJson, getMask, putMask, signMask, startReplan } from "./api.js";
import { $, showPlan, toast } from "./panels.js";

const POLL_MS = 700;

/** @param page has state, editor, and changed(mask, settled), panels(), loadDose() */
export function recorder(page) {
  const { state, editor } = page;

  async function save() {
    const mask = state.active;
    const reviewer = needName();
    if (!reviewer || !mask.dirty) return;
    if (editor.marks.size) return toast("grow or clear the marks first", true);
    try {
      const told = await putMask(mask.key, mask.data, { sha256: mask.sha256, grid: state.scene.grid, reviewer });
      mask.tell(told);
      mask.keep(told.sha256);
      toast(`saved as version ${told.versions.length}`);
    } catch (error) {
      if (error.status !== 412) throw error;
      $("conflict-text").textContent = error.message;
      $("conflict").showModal();
    }
    page.panels();
  }

  async function sign(decision) {
    const mask = state.active;
    const reviewer = needName();
    if (!reviewer) return;
    try {
      mask.tell(await signMask(mask.key, { sha256: mask.sha256, state: decision, reviewer, comment: $("comment").value }));
      mask.keep(mask.told.sha256);
      $("comment").value = "";
      toast(`${mask.name}: ${decision}`);
    } catch (error) {
      if (error.status !== 412) throw error;
      $("conflict-text").textContent = error.message;
      $("conflict").showModal();
    }
    page.panels();
  }

  function needName() {
    const name = $("reviewer").value.trim();
    if (!name) {
      toast("enter the reviewer's name first", true);
      $("reviewer").focus();
    }
    return name;
  }

  async function loadTheirs() {
    $("conflict").close();
    const mask = state.active;
    const found = await getMask(mask.key);
    mask.load(found.data, found.etag);
    mask.own = mask.data;
    const plan = await getJson("/api/plan");
    mask.tell(plan.masks.find((one) => one.key === mask.key));
    page.changed(mask, true);
  }

  async function loadVersion(mask, number) {
    const found = await getMask(mask.key, number);
    editor.replace(mask, found.data);
    toast(`version ${number} is displayed; save it to use it`);
  }

  async function planAgain() {
    const unsaved = state.masks.filter((mask) => mask.dirty).map((mask) => mask.name);
    if (unsaved.length) return toast(`save first: ${unsaved.join(", ")}`, true);
    $("replan").disabled = true;
    try {
      await startReplan();
      const progress = await untilPlanned();
      if (progress.state === "failed") return toast(progress.message, true);
      await showNewPlan();
    } finally {
      $("replan").disabled = false;
    }
    return null;
  }

  async function untilPlanned() {
    for (;;) {
      const progress = await getJson("/api/replan");
      $("replan-state").textContent = progress.state === "running" ? `planning: ${progress.message}` : progress.message;
      if (progress.state !== "running") return progress;
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
  }

  async function showNewPlan() {
    const plan = await getJson("/api/plan");
    state.plan = plan;
    plan.masks.forEach((told) => state.masks.find((mask) => mask.key === told.key).tell(told));
    showPlan(plan);
    await page.loadDose();
    page.panels();
    toast(plan.unreviewed_masks.length ? "planned again: a DRAFT" : "planned again");
  }

  return { save, sign, loadTheirs, loadVersion, planAgain };
}
