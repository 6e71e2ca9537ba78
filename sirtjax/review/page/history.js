// Undo and redo: the voxels that each stroke changed. Old strokes are dropped when they contain too many voxels.
const MAX_VOXELS = 2e7;

export class History {
  constructor() {
    this.done = [];
    this.undone = [];
    this.dropped = false; // whether the oldest strokes can no longer be undone
  }
  add(change) {
    this.done.push(change);
    this.undone = [];
    let held = this.done.reduce((sum, one) => sum + one.index.length, 0);
    while (held > MAX_VOXELS && this.done.length > 1) {
      held -= this.done.shift().index.length;
      this.dropped = true;
    }
  }
  undo(data) {
    return this.#move(data, this.done, this.undone, "before");
  }
  redo(data) {
    return this.#move(data, this.undone, this.done, "after");
  }
  #move(data, from, to, which) {
    const change = from.pop();
    if (!change) return null;
    change.index.forEach((index, at) => (data[index] = change[which][at]));
    to.push(change);
    return change;
  }
}
