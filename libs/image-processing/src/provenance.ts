import { xmpPacket, type DigitalSourceType } from './xmp-packet.js';

/** What a picture tells of its making. Nothing in it may differ between two equal requests. */
export interface Provenance {
  /** The request held a picture: the result is partly that picture. */
  fromImage: boolean;
  /** Null keeps prompt and parameters out of the file. */
  description: PictureDescription | null;
}

export interface PictureDescription {
  prompt: string;
  negative_prompt: string;
  seed: number;
  parameters: Readonly<Record<string, unknown>>;
  model: string;
  software: string;
}

/** As JSON that XML can hold: JSON.stringify escapes controls and lone surrogates, the two non-characters are left. */
export function describeAsJson(description: object): string {
  return JSON.stringify(description).replace(/[\uFFFE\uFFFF]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16)}`);
}

export function provenancePacket({ fromImage, description }: Provenance): string {
  const sourceType: DigitalSourceType = fromImage ? 'compositeWithTrainedAlgorithmicMedia' : 'trainedAlgorithmicMedia';
  return xmpPacket(sourceType, description && describeAsJson(description));
}

/** The packet with its texts cut until it fits, and said so in `truncated`: a JPEG segment has a fixed limit. */
export function provenancePacketWithin(maxBytes: number, provenance: Provenance): string {
  let packet = provenancePacket(provenance);
  const { description } = provenance;
  if (!description) return packet;
  let keptChars = Math.max(description.prompt.length, description.negative_prompt.length);
  while (Buffer.byteLength(packet) > maxBytes) {
    keptChars = Math.floor(keptChars / 2);
    const prompt = description.prompt.slice(0, keptChars);
    const negative_prompt = description.negative_prompt.slice(0, keptChars);
    const cut = { ...description, prompt, negative_prompt, truncated: true };
    packet = provenancePacket({ ...provenance, description: cut });
  }
  return packet;
}
