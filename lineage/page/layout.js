// Places the nodes of a graph in rows: a node stands below everything that it was made from.

const NODE = { width: 156, height: 46 };
const GAP = { x: 22, y: 44 };
const SWEEPS = 12;

// nodes: [{key}]; edges: [{from, to}]. Returns {nodes: Map key -> {x, y}, edges: [{edge, points}], width, height};
// x and y are those of the middle.
function place(nodes, edges) {
  const rowOf = longestPaths(nodes, edges);
  const rows = [];
  const put = (cell, row) => (rows[row] ??= []).push(cell);
  const cells = new Map(nodes.map(({ key }) => [key, { key, width: NODE.width, up: [], down: [] }]));
  for (const { key } of nodes) put(cells.get(key), rowOf.get(key));
  // An edge over several rows gets a narrow cell in each, so that it runs between the nodes.
  const routes = edges.map((edge) => {
    const { from, to } = edge;
    const chain = [cells.get(from)];
    for (let row = rowOf.get(from) + 1; row < rowOf.get(to); row++) {
      const bend = { width: 16, up: [], down: [] };
      put(bend, row);
      chain.push(bend);
    }
    chain.push(cells.get(to));
    for (let at = 1; at < chain.length; at++) {
      chain[at - 1].down.push(chain[at]);
      chain[at].up.push(chain[at - 1]);
    }
    return { edge, chain };
  });
  order(rows);
  const width = spread(rows);
  rows.forEach((row, at) => row.forEach((cell) => (cell.y = NODE.height / 2 + at * (NODE.height + GAP.y))));
  return {
    nodes: cells,
    edges: routes.map(({ edge, chain }) => ({ edge, points: chain.map(({ x, y }) => ({ x, y })) })),
    width,
    height: rows.length * (NODE.height + GAP.y) - GAP.y,
  };
}

// The row of each node: one below the lowest of its predecessors. A source stands just above its first use.
function longestPaths(nodes, edges) {
  const into = new Map(nodes.map(({ key }) => [key, []]));
  const out = new Map(nodes.map(({ key }) => [key, []]));
  for (const { from, to } of edges) {
    into.get(to).push(from);
    out.get(from).push(to);
  }
  const rows = new Map();
  const visit = (key, path) => {
    if (rows.has(key)) return rows.get(key);
    if (path.has(key)) return -1; // A cycle: the store is damaged.
    path.add(key);
    const row = 1 + Math.max(-1, ...into.get(key).map((from) => visit(from, path)));
    path.delete(key);
    rows.set(key, row);
    return row;
  };
  for (const { key } of nodes) visit(key, new Set());
  for (const { key } of nodes) {
    if (!into.get(key).length && out.get(key).length) {
      rows.set(key, Math.max(0, Math.min(...out.get(key).map((to) => rows.get(to))) - 1));
    }
  }
  return rows;
}

// Fewer crossings: each node goes to the mean place of its neighbours, row by row, down and up.
function order(rows) {
  const index = () => rows.forEach((row) => row.forEach((cell, at) => (cell.at = at)));
  index();
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const side = sweep % 2 ? "down" : "up";
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      for (const cell of row) cell.pull = mean(cell[side].map(({ at }) => at)) ?? cell.at;
      row.sort((one, other) => one.pull - other.pull);
      row.forEach((cell, at) => (cell.at = at));
    }
  }
}

// Gives each cell its x, near its neighbours and apart from the next; returns the width.
function spread(rows) {
  const apart = (one, other) => (one.width + other.width) / 2 + GAP.x;
  for (const row of rows) row.forEach((cell, at) => (cell.x = at ? row[at - 1].x + apart(row[at - 1], cell) : 0));
  for (let sweep = 0; sweep < 2 * SWEEPS; sweep++) {
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      // A cell without neighbours stays beside the next in its row, or the rest would drift away from it.
      row.forEach((cell, at) => {
        const beside = at ? row[at - 1].x + apart(row[at - 1], cell) : row[1] ? row[1].x - apart(cell, row[1]) : cell.x;
        cell.wish = mean([...cell.up, ...cell.down].map(({ x }) => x)) ?? beside;
      });
      const right = [];
      row.forEach((cell, at) => right.push(at ? Math.max(cell.wish, right[at - 1] + apart(row[at - 1], cell)) : cell.wish));
      const left = [];
      for (let at = row.length - 1; at >= 0; at--) {
        const next = row[at + 1];
        left[at] = next ? Math.min(row[at].wish, left[at + 1] - apart(row[at], next)) : row[at].wish;
      }
      row.forEach((cell, at) => (cell.x = (left[at] + right[at]) / 2));
    }
  }
  const every = rows.flat();
  const start = Math.min(...every.map((cell) => cell.x - cell.width / 2));
  for (const cell of every) cell.x -= start;
  return Math.max(0, ...every.map((cell) => cell.x + cell.width / 2));
}

function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}
