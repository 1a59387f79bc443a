import sharp from 'sharp';

export interface Pictures {
  /** Files that every route takes. */
  right: readonly Buffer[];
  /** Files that are of another type, broken or a trap. */
  wrong: readonly Buffer[];
}

/** An image header that promises far more pixels than there are bytes. */
function pixelBomb(png: Buffer): Buffer {
  const bomb = Buffer.from(png);
  bomb.writeUInt32BE(60_000, 16);
  bomb.writeUInt32BE(60_000, 20);
  return bomb;
}

export async function makePictures(): Promise<Pictures> {
  const blank = (width: number, height: number, channels: 3 | 4 = 3) =>
    sharp({ create: { width, height, channels, background: { r: 200, g: 30, b: 30, alpha: 0.5 } } });
  const png = await blank(32, 32).png().toBuffer();
  const jpeg = await blank(40, 24).jpeg().toBuffer();
  const webp = await blank(32, 48).webp().toBuffer();
  const right = [
    png,
    jpeg,
    webp,
    await blank(1, 1).png().toBuffer(),
    await blank(33, 31, 4).png().toBuffer(),
    await blank(32, 32).png({ palette: true }).toBuffer(),
    await blank(32, 32).toColourspace('b-w').jpeg().toBuffer(),
    await blank(32, 20).jpeg({ progressive: true }).withMetadata({ orientation: 6 }).toBuffer(),
  ];
  const wrong = [
    Buffer.alloc(0),
    Buffer.from([0]),
    png.subarray(0, 8),
    png.subarray(0, 33),
    png.subarray(0, png.length - 20),
    jpeg.subarray(0, 30),
    jpeg.subarray(0, Math.floor(jpeg.length / 2)),
    webp.subarray(0, webp.length - 9),
    pixelBomb(png),
    await blank(32, 32).gif().toBuffer(),
    await blank(32, 32).tiff().toBuffer(),
    Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32"><image href="file:///etc/passwd"/></svg>'),
    Buffer.from('<html><script>alert(1)</script></html>'),
    Buffer.from('%PDF-1.7\n'),
    Buffer.concat([Buffer.from('GIF89a'), png]),
    // More than limits.maxUploadBytes of the server under test.
    Buffer.concat([png, Buffer.alloc(1_100_000)]),
  ];
  return { right, wrong };
}
