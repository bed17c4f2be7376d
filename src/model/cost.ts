/** What a run cost the two live systems, and how long it stood back for them; milliseconds are summed over all activities. */
export interface Cost {
  source: {
    rows: number;
    /** statements that read were open for so long, in sum */
    readMs: number;
    /** reading stood still for `source.rowsPerSecondMax` */
    waitedMs: number;
  };
  target: {
    /** sent to LOAD DATA */
    bytes: number;
    /** LOAD DATA worked or waited for rows for so long, in sum */
    loadMs: number;
    mergeMs: number;
    /** nothing was begun since more than `target.threadsRunningMax` threads worked */
    waitedMs: number;
  };
}

export function noCost(): Cost {
  return {
    source: { rows: 0, readMs: 0, waitedMs: 0 },
    target: { bytes: 0, loadMs: 0, mergeMs: 0, waitedMs: 0 },
  };
}

/** Both together, in whole milliseconds. */
export function sumOfCosts(left: Cost, right: Cost): Cost {
  const sum = <T extends Record<string, number>>(a: T, b: T) =>
    Object.fromEntries(
      Object.entries(a).map(([name, value]) => [name, Math.round(value + (b[name] ?? 0))]),
    ) as T;
  return { source: sum(left.source, right.source), target: sum(left.target, right.target) };
}
