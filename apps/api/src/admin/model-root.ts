import { configTokens, type ModelConfig } from '@app/config';
import { EngineClient, type ModelChoice } from '@app/engine';
import { Inject, Injectable } from '@nestjs/common';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { got } from '../fields/field-rules.js';
import { invalidFields } from '../fields/invalid-fields.js';

const maxListed = 50;

/** Which folders may be loaded while the server runs: those in `model.root`, and the one that it was started with. */
@Injectable()
export class ModelRoot {
  private readonly first: ModelChoice;

  constructor(
    private readonly engine: EngineClient,
    @Inject(configTokens.model) private readonly config: Pick<ModelConfig, 'name' | 'path' | 'root'>,
  ) {
    this.first = { name: config.name, folder: config.path };
  }

  /**
   * By its name; null: what is loaded, or was last. What a request says is compared with names, and never becomes a path.
   *
   * @throws ServiceError INVALID_ARGUMENT which lists the names there are
   */
  async find(name: string | null): Promise<ModelChoice> {
    if (name === null) return this.engine.status().choice;
    const { folders, hint } = await this.inRoot();
    const choices = folders.some((choice) => choice.name === this.first.name) ? folders : [this.first, ...folders];
    const found = choices.find((choice) => choice.name === name);
    if (found) return found;
    const known = choices.slice(0, maxListed).map((choice) => choice.name);
    throw invalidFields([{ field: 'model', message: `must be one of ${known.join(', ')}${got(name)}${hint}` }]);
  }

  /** `hint` is why there are none. */
  private async inRoot(): Promise<{ folders: ModelChoice[]; hint: string }> {
    const { root } = this.config;
    if (root === null) return { folders: [], hint: '; model.root is not set' };
    const names = await readdir(root).catch((error: unknown) => (error as NodeJS.ErrnoException).code ?? 'unknown');
    // A disk that is mounted no more, or a folder that somebody has moved since the start.
    if (typeof names === 'string') return { folders: [], hint: `; model.root cannot be read: ${names}` };
    const folders: ModelChoice[] = [];
    for (const name of names.sort()) {
      const folder = join(root, name);
      // A snapshot folder may be a link.
      if (await isFolder(folder)) folders.push({ name, folder });
    }
    return { folders, hint: '' };
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isDirectory() ?? false;
}
