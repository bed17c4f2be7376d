/** Numbers of numbers. */

export function median(values: number[]): number {
  return percentile(values, 50);
}

/** The nearest-rank percentile; of an even count the median is the mean of the two in the middle. */
export function percentile(values: number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  if (percent === 50 && sorted.length % 2 === 0) {
    const middle = sorted.length / 2;
    return ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
  }
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? 0;
}

/** The median of what is known; null if nothing is. */
export function medianKnown(values: (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : median(known);
}

export const round = (value: number, digits = 0) => Math.round(value * 10 ** digits) / 10 ** digits;
