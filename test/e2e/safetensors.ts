import { readFileSync, writeFileSync } from 'node:fs';

export interface Tensor {
  shape: number[];
  bytes: Buffer;
}

/** Tensors of a golden file, by name. */
export function readSafetensors(path: string): (name: string) => Tensor {
  return tensorsIn(readFileSync(path), path);
}

/** Changes one tensor of a file: `edit` writes into its bytes. */
export function editSafetensors(path: string, name: string, edit: (tensor: Tensor) => void): void {
  const file = readFileSync(path);
  edit(tensorsIn(file, path)(name));
  writeFileSync(path, file);
}

/** Each shares its bytes with the file's. */
function tensorsIn(file: Buffer, path: string): (name: string) => Tensor {
  const headerEnd = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, headerEnd)) as Record<
    string,
    { shape: number[]; data_offsets: [number, number] }
  >;
  return (name) => {
    const entry = header[name];
    if (!entry) throw new Error(`${path} has no ${name}`);
    const [from, to] = entry.data_offsets;
    return { shape: entry.shape, bytes: file.subarray(headerEnd + from, headerEnd + to) };
  };
}

export function floatsOf({ bytes }: Tensor): Float32Array {
  return new Float32Array(Uint8Array.from(bytes).buffer);
}
