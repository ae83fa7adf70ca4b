// How photos are laid out: rows of one height that fill the width, each photo whole and in its own proportions.
// Rows that are complete never change again. New photos join a row above them until that is full too; older ones,
// which are asked for as the reader goes down, fill rows below.

const NARROWEST = 0.7, WIDEST = 2.4; // width over height beyond which a tile is cropped

export function proportion(photo) {
  const made = photo.made.find((item) => item.name === photo.small);
  return made ? Math.min(WIDEST, Math.max(NARROWEST, made.width / made.height)) : 1.5;
}

/** Lay `photos` out from the top down: rows of `{photos, height}`, the last one maybe not full. */
export function fill(photos, width, gap, height) {
  const rows = [];
  let row = [], sum = 0;
  for (const photo of photos) {
    row.push(photo);
    sum += proportion(photo);
    const room = width - gap * (row.length - 1);
    if (sum * height >= room) {
      rows.push({ photos: row, height: room / sum, full: true });
      row = [];
      sum = 0;
    }
  }
  if (row.length) rows.push({ photos: row, height, full: false });
  return rows;
}

/** Lay photos out that came above rows that are full: from the bottom up, so that the topmost row is the open one. */
export function fillAbove(photos, width, gap, height) {
  const rows = fill([...photos].reverse(), width, gap, height);
  for (const row of rows) row.photos.reverse();
  return rows.reverse();
}
