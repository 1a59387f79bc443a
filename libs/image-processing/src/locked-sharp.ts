import sharp from 'sharp';

/*
 * sharp with the doors shut: libvips reads a dozen formats, some through large third-party parsers, and strangers' files
 * come in here. Only these three loaders are left, for bytes in memory; paths, SVG, TIFF, GIF and the rest are refused.
 */
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({ operation: ['VipsForeignLoadJpegBuffer', 'VipsForeignLoadPngBuffer', 'VipsForeignLoadWebpBuffer'] });
// Each picture is seen once, and the cores belong to the engine.
sharp.cache(false);
sharp.concurrency(1);

export { sharp };
