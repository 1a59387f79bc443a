/** 8-bit pixels, row-major, interleaved, no padding. The engine's RawImage has this shape too. */
export interface Pixels {
  width: number;
  height: number;
  channels: 3 | 4;
  data: Uint8Array;
}
