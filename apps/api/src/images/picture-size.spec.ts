import { demoModel } from '../../../../test/fixtures/scripted-engine.js';
import { testConfig } from '../../../../test/fixtures/test-api.js';
import { sizeLikeInput } from './picture-size.js';

describe('sizeLikeInput', () => {
  const { limits } = testConfig();
  const size = (width: number, height: number) => sizeLikeInput({ width, height }, demoModel, limits);

  it.each([
    [96, 96, 96, 96],
    [250, 190, 240, 176],
    [256, 256, 256, 256],
    // sqrt(65536 / 500000) = 0.362: 362 x 181 before rounding down
    [1000, 500, 352, 176],
    [4000, 3000, 288, 208],
    // A side never gets below the limit, whatever the shape.
    [10, 8, 32, 32],
    [200, 7, 192, 32],
  ])('draws %ix%i as %ix%i', (width, height, drawnWidth, drawnHeight) => {
    expect(size(width, height)).toEqual({ width: drawnWidth, height: drawnHeight });
  });

  it('is capped by maxPixels where the model’s default is larger', () => {
    const capped = { ...limits, maxPixels: 128 * 128 };
    expect(sizeLikeInput({ width: 256, height: 256 }, demoModel, capped)).toEqual({ width: 128, height: 128 });
  });

  it('finds no size for a thread', () => {
    expect(size(60_000, 1)).toBeNull();
  });

  it('rounds the smallest side up to a multiple', () => {
    expect(sizeLikeInput({ width: 8, height: 8 }, demoModel, { ...limits, minSide: 33 })).toEqual({ width: 48, height: 48 });
  });
});
