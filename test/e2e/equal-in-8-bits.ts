import type { Picture } from './client.js';

/** A value of diffusers' float picture so near to x.5 may round either way in an equally right computation. */
export const nearHalf = 0.01;
/** Two equally right float pictures are so many levels apart on average: that share of the values is between two levels. */
const meanLevels = 0.0002;

/** Which values those are is chance: three standard deviations more may be off. */
function mostOff(values: number): number {
  const expected = meanLevels * values;
  return expected + 3 * Math.sqrt(expected);
}

/** Equal in 8 bits: hardly a value is off, none by more than 1, and each of those was as good as halfway. */
export function expectEqualIn8Bits(picture: Picture, expected: Picture, isNearHalf: (index: number) => boolean): void {
  expect([picture.width, picture.height]).toEqual([expected.width, expected.height]);
  const off = [...expected.data.keys()].filter((i) => picture.data[i] !== expected.data[i]);
  const unexplained = off.filter((i) => Math.abs((picture.data[i] ?? 0) - (expected.data[i] ?? 0)) > 1 || !isNearHalf(i));
  expect({ unexplained: unexplained.length, ofOff: off.length }).toEqual({ unexplained: 0, ofOff: off.length });
  expect(off.length).toBeLessThanOrEqual(mostOff(expected.data.length));
}

/** Mean distance of two pictures of one size, in 8-bit levels. */
export function meanDistance(a: Picture, b: Picture): number {
  expect([a.width, a.height]).toEqual([b.width, b.height]);
  return a.data.reduce((sum, value, i) => sum + Math.abs(value - (b.data[i] ?? 0)), 0) / a.data.length;
}
